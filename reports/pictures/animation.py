"""The animation: slow and fast predictions along a video, in place of the paper's supplementary video."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.records import DamagedRecordError
from experiments.results import Results
from mila.common.files import write_atomic
from mila.common.types import Array
from mila.data.colours import Pixels, depth_limits, paint
from mila.data.tools.canvas import ALARM, LINE, MUTED, SMALL, Canvas, wrapped
from mila.tasks import Suite
from reports.titles import short_title

_WIDTHS = (208, 160, 112, 80)  # of a picture in pixels; the largest that keeps the animation small enough
_BUDGET = 2_000_000  # bytes
_MILLISECONDS = 400  # a frame
_GAP, _NAME = 8, 104


@dataclass(frozen=True)
class Column:
    """One way to predict a video.

    Attributes:
        title: as the animation prints it.
        interval: K; 1 where every frame is a keyframe.
        predictions: by task, one entry a frame.
    """

    title: str
    interval: int
    predictions: Mapping[str, Array]


@dataclass(frozen=True)
class Animation:
    """The finished animation.

    Attributes:
        file: an animated PNG.
        still: its last frame between keyframes, for those who want no motion, and for paper.
        height, width: in pixels.
        frames, interval: how many, and the largest K.
        records: (row, hash of the stage).
    """

    file: bytes
    still: bytes
    height: int
    width: int
    frames: int
    interval: int
    records: tuple[tuple[str, str], ...]

    @property
    def moving(self) -> str:
        """As data URI."""
        return _uri(self.file)

    @property
    def standing(self) -> str:
        """As data URI."""
        return _uri(self.still)

    def write(self, folder: Path) -> None:
        """Write `animation.png` into a folder."""
        write_atomic(folder / "animation.png", lambda file: file.write(self.file))


def make_animation(results: Results) -> Animation | None:
    """The animation of the predictions along a video that are there and whole; None where there are none."""
    columns, videos = [], []
    for video in results.videos:
        try:
            kept = {name: values[0] for name, values in video.predictions.read().items()}
        except DamagedRecordError:
            continue
        videos.append(video)
        columns.append(Column(video.label, video.interval, _of(kept, "stream")))
    if not videos:
        return None
    title = f"{videos[-1].label}, slow network on every frame"
    columns.insert(len(columns) - 1, Column(title, 1, _of(kept, "slow")))
    clips = videos[0].clips
    frames = clips.clip(0, clips.length).frames.transpose(0, 2, 3, 1)
    records = tuple((video.label, video.key) for video in videos)
    for width in _WIDTHS:
        images = _draw(results.plan.suite, frames, columns, width)
        file = _animated(images)
        if len(file) <= _BUDGET:
            break
    intervals = [column.interval for column in columns]
    between = max(t for t in range(len(frames)) if len(frames) == 1 or t % max(intervals))
    still = _animated(images[between : between + 1])
    return Animation(file, still, images[0].height, images[0].width, len(frames), max(intervals), records)


def _of(kept: Mapping[str, Array], which: str) -> dict[str, Array]:
    values = {name.split("/")[1]: values for name, values in kept.items() if name.startswith(f"{which}/")}
    return {name: x.astype(np.float32) if x.dtype == np.float16 else x for name, x in values.items()}


def _draw(suite: Suite, frames: Array, columns: Sequence[Column], width: int) -> list[Image.Image]:
    """One image a frame: the frame, then each column's predictions, one line a task."""
    tall = round(width * frames.shape[1] / frames.shape[2])
    titles = ["Frame", *(column.title for column in columns)]
    headers = [wrapped(title, width) for title in titles]
    top = LINE * max(map(len, headers)) + LINE + _GAP
    size = (top + len(suite.tasks) * (tall + _GAP), _NAME + len(titles) * (width + _GAP))
    limits = {"depth": depth_limits([x for c in columns for x in c.predictions.get("depth", ())], 0.98)}
    images = []
    for time, frame in enumerate(frames):
        canvas = Canvas(*size)
        for place, lines in enumerate(headers):
            x = _NAME + place * (width + _GAP)
            for number, line in enumerate(lines):
                canvas.text(x, LINE * number, line.strip(), size=SMALL, bold=True)
            if place:
                offset = time % columns[place - 1].interval
                words, colour = ("keyframe: slow", ALARM) if offset == 0 else (f"offset {offset}: fast", MUTED)
                canvas.text(x, top - LINE - _GAP // 2, words, size=SMALL, colour=colour)
            else:
                canvas.text(x, top - LINE - _GAP // 2, f"{time + 1} of {len(frames)}", size=SMALL, colour=MUTED)
        for number, task in enumerate(suite.tasks):
            y = top + number * (tall + _GAP)
            canvas.text(0, y + tall // 2 - SMALL, short_title(task.name), size=SMALL)
            if number == 0:
                canvas.picture(_NAME, y, _resized(frame, tall, width))
            for place, column in enumerate(columns, 1):
                painted = paint(task, column.predictions[task.name][time], limits.get(task.name, (0.0, 1.0)))
                canvas.picture(_NAME + place * (width + _GAP), y, _resized(painted, tall, width))
        images.append(canvas.image)
    return images


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """By the nearest pixel, which keeps the colours of classes."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.NEAREST))


def _animated(images: Sequence[Image.Image]) -> bytes:
    file = io.BytesIO()
    images[0].save(file, "PNG", save_all=len(images) > 1, append_images=images[1:], duration=_MILLISECONDS, loop=0)
    return file.getvalue()


def _uri(file: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(file).decode()
