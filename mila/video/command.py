"""The command `python -m mila predict RUN INPUT --out OUT`: a trained model on a video, a folder or a camera."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mila.common.arguments import given_path
from mila.common.progress import progress_bar
from mila.errors import UserError
from mila.streaming.run_options import add_run_options, open_run

if TYPE_CHECKING:  # `--help` needs no PyTorch
    from rich.console import Console

    from mila.streaming.description import Description
    from mila.streaming.optimise import Optimised
    from mila.video.frames import Frame, Frames
    from mila.video.outputs import Outputs, Wanted
    from mila.video.predict import Prediction
    from mila.video_model import VideoModel

ABOUT = "run a trained model along a video, a folder of images or a camera"

_STRETCH = 1.1
"""Ratio of width by height of the video to that of the model's frames that is worth a note."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_run_options(parser)
    parser.add_argument("input", metavar="INPUT", help="a video, a folder of images, an address, camera or camera:N")
    parser.add_argument(
        "--out",
        metavar="OUT",
        type=given_path,
        required=True,
        help="a video (.mp4, .mkv, .mov, .webm, .avi), or a folder",
    )
    parser.add_argument(
        "--layout",
        choices=("side-by-side", "apart", "none"),
        default="side-by-side",
        help="input and all tasks in one picture, a picture a task, or none (default: side-by-side)",
    )
    parser.add_argument("--raw", choices=("png", "npz"), help="write the raw predictions, too")
    parser.add_argument(
        "--depth-range",
        metavar=("NEAR", "FAR"),
        nargs=2,
        type=float,
        help="depth that the colours cover (default: found, see the docs)",
    )
    parser.add_argument("--fps", metavar="N", type=Fraction, default=Fraction(25), help="of a folder (default: 25)")
    parser.add_argument("--max-frames", metavar="N", type=int, help="the first so many frames alone")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    parser.add_argument(
        "--optimised",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with the faster copy of the model that mila.streaming.optimise makes (the default), or as it was scored",
    )
    parser.add_argument("--force", action="store_true", help="replace what is there")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command.

    Returns:
        0 where all of the input is in the output, 1 where something of it was broken or missing, 130 where it was
        interrupted; the output is whole in all three cases.

    Raises:
        UserError: bad input; nothing was written.
    """
    from mila.video.ahead import Ahead
    from mila.video.outputs import Outputs, Wanted
    from mila.video.source import open_frames

    _check(options)
    device = _device(options.device)
    model, description = open_run(options)
    depth_range = None if options.depth_range is None else (options.depth_range[0], options.depth_range[1])
    wanted = Wanted(options.out, options.layout, options.raw, depth_range, options.force)
    wanted.check(description.suite, Path(options.input))
    fast = _optimised(model, device, options.optimised)
    with open_frames(options.input, options.fps) as frames, Ahead(frames) as ahead:
        about = {"title": description.title, "class": description.name, "provenance": dict(description.provenance)}
        outputs = Outputs(wanted, description.suite, frames, fast.keyframe_interval, description.title, about)
        _print_start(description, frames, fast, device, console)
        try:
            total = min((n for n in (frames.count, options.max_frames) if n is not None), default=None)
            pace = _predict(fast, islice(ahead, options.max_frames), total, outputs, description, device, console)
            places = outputs.finish()  # before `ahead` ends, which may wait for a camera
        finally:
            outputs.drop()
    _print_notes(frames, outputs, description, wanted, console)
    console.print(pace.about)
    for place in places:
        console.print(f"written: {place}")
    if pace.interrupted:
        console.print("interrupted; " + ("what was predicted until then is kept." if places else "nothing is written."))
        return 130
    return 1 if frames.problems else 0


@dataclass
class _Pace:
    """How many frames there were, and how fast.

    Attributes:
        wall: seconds of everything.
        model: seconds that the model took, frame by frame.
        interval: K.
        interrupted: whether it was cut off.
    """

    interval: int
    wall: float = 0.0
    model: list[float] = field(default_factory=list)
    interrupted: bool = False

    @property
    def about(self) -> str:
        """In words; the model's first frames, in which it warms up, do not count where there are enough others."""
        count, first = len(self.model), 2 * self.interval
        if not count:
            return "no frame was predicted."
        alone = self.model[first:] if count > 2 * first else self.model
        return (
            f"{_counted(count)} in {self.wall:.1f} s: {count / self.wall:.1f} frames a second; "
            f"the model alone {len(alone) / sum(alone):.1f}."
        )


def _counted(frames: int) -> str:
    return "1 frame" if frames == 1 else f"{frames} frames"


def _predict(
    model: VideoModel | Optimised,
    frames: Iterable[Frame],
    total: int | None,
    outputs: Outputs,
    description: Description,
    device: str,
    console: Console,
) -> _Pace:
    """All frames through the model into the outputs; Ctrl-C ends it as the end of the video would."""
    import torch

    from mila.video.ahead import Behind
    from mila.video.predict import predict_video

    pace, start = _Pace(model.keyframe_interval), time.perf_counter()
    with progress_bar("predict", console) as progress, Behind() as writing, Behind() as drawing:

        def draw(prediction: Prediction) -> None:
            writing.call(outputs.write, outputs.draw(prediction))

        try:
            for prediction in predict_video(model, frames, description.height, description.width, device):
                drawing.call(draw, prediction)
                pace.model.append(prediction.seconds)
                done = len(pace.model)
                progress(done, None if total is None else max(total, done))
            if pace.model and len(pace.model) != total:
                progress(len(pace.model), len(pace.model))
        except KeyboardInterrupt:
            pace.interrupted = True
        except torch.OutOfMemoryError as error:
            raise UserError("the GPU has too little memory for this model; give --device cpu.") from error
    pace.wall = time.perf_counter() - start
    return pace


def _check(options: argparse.Namespace) -> None:
    if options.max_frames is not None and options.max_frames < 1:
        raise UserError("--max-frames takes a number from 1 up.")
    if not 0 < options.fps <= 1000:
        raise UserError("--fps takes a number above 0, up to 1000.")
    if options.depth_range is not None and not 0 <= options.depth_range[0] < options.depth_range[1] < math.inf:
        raise UserError("--depth-range takes two numbers from 0 up, the nearer first.")


def _device(asked: str) -> str:
    import torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU here; use --device cpu or auto.")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def _optimised(model: VideoModel, device: str, asked: bool) -> VideoModel | Optimised:
    """The model on the device, or the fast copy of it."""
    from mila.streaming.optimise import optimise

    model.to(device).eval()
    return optimise(model) if asked else model


def _print_start(
    description: Description, frames: Frames, model: VideoModel | Optimised, device: str, console: Console
) -> None:
    how = getattr(model, "about", "as trained")  # of an optimised one
    console.print(
        f"{description.title}: {description.height} x {description.width} pixels (height x width), keyframe interval "
        f"{model.keyframe_interval}; on {device}, {how}."
    )
    console.print(frames.title if frames.count is None else f"{frames.title}: about {_counted(frames.count)}.")


def _print_notes(frames: Frames, outputs: Outputs, description: Description, wanted: Wanted, console: Console) -> None:
    from mila.video.video_writer import keeps_times

    notes = [*frames.notes]
    height, width = frames.size or (description.height, description.width)
    stretch = width / height * description.height / description.width
    if not 1 / _STRETCH < stretch < _STRETCH:
        notes.append(
            f"Frames of {width} x {height} pixels are resized to the {description.width} x {description.height} that "
            "the model was trained on, which changes their proportions; it predicts best what looks as in training."
        )
    if wanted.is_video and not keeps_times(wanted.out.suffix) and frames.is_variable:
        notes.append(f"The frame rate varies, but {wanted.out.suffix} has one for all; write .mp4 or .mkv to keep it.")
    if outputs.depth_range is not None and outputs.depth_range.moves:
        notes.append("The colours of depth were widened along the video; fix their range with --depth-range NEAR FAR.")
    if outputs.clipped:
        notes.append(f"{outputs.clipped} pixels lie farther than 16-bit PNG files hold; --raw npz keeps them.")
    for note in notes:
        console.print(f"Note: {note}")
    for problem in frames.problems:
        console.print(f"Warning: {problem}")
