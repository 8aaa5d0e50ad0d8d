"""Measure how fast this machine is at what a plan needs, in its first seconds: rendering, steps, scores.

Runs in a process of its own, which ends, and with it all that it held of the device.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import torch

from experiments.models import build
from experiments.reference.pace import (
    Pace,
    PartPace,
    RenderingPace,
    TrainingPace,
    kind_of_data,
    kind_of_training,
    rendering_pace,
)
from experiments.runner.workers import start_worker
from experiments.stages import Data, Stage, Train, in_order
from mila.common.checkpoint import load_checkpoint, save_checkpoint
from mila.common.processes import cores, holding_interrupts
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.errors import UserError
from mila.evaluation import evaluate_offsets
from mila.schedule import Part, Schedule
from mila.training_steps import Recipe, Training
from mila.video_model import VideoModel

_WARM, _LONGEST = 15.0, 4.0
"""Seconds that are enough for steps of one training: those before the others, some of which compile, and the others."""
_LEAST = 2
"""Steps that are timed at least."""
_CLIPS = 8
"""That are rendered at least: a batch of the largest schedule."""


def measure_pace(stages: Iterable[Stage], device: str) -> Pace:
    """Measure what these stages, and those that they need, take on this machine.

    Raises:
        UserError: something cannot be rendered or trained here.
    """
    asked = time.time()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start_worker, (device,)) as pool:
        with holding_interrupts():
            found = pool.submit(_measure, list(stages), device, asked)
        try:
            return found.result()
        except (BrokenProcessPool, torch.OutOfMemoryError, MemoryError) as error:
            raise UserError(
                "the networks cannot be trained here (killed, or out of memory); take a profile with smaller ones."
            ) from error
        except BaseException:  # a Ctrl-C: nobody waits for what is measured
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _measure(stages: list[Stage], device: str, asked: float) -> Pace:
    worker = time.time() - asked
    rendering: dict[Hashable, RenderingPace] = {}
    training: dict[Hashable, TrainingPace] = {}
    clips: dict[Hashable, PackedClips] = {}
    with tempfile.TemporaryDirectory(prefix="mila-pace-") as folder:
        for stage in in_order(stages):
            place = Path(folder) / str(len(clips))
            if isinstance(stage, Data) and kind_of_data(stage) not in rendering:
                rendering[kind_of_data(stage)], clips[kind_of_data(stage)] = _render(stage, place)
            elif isinstance(stage, Train) and kind_of_training(stage) not in training:
                training[kind_of_training(stage)] = _train(stage, clips[kind_of_data(stage.data)], device, place)
    return Pace(worker, rendering, training)


def _render(stage: Data, folder: Path) -> tuple[RenderingPace, PackedClips]:
    """Two clips a core and one before them; of real data as many, where there are."""
    count = min(stage.count, max(_CLIPS, 2 * cores() + 1))
    source = replace(stage.source, clips=count).open()
    calls: list[tuple[float, int]] = []
    begun = time.monotonic()
    pack(source, stage.length, folder, lambda done, _: calls.append((time.monotonic() - begun, done)))
    return rendering_pace(calls, count), PackedClips(folder)


def _seconds(call: Callable[[], object], device: str) -> float:
    """How long a call takes, with all that it gives the device to do."""
    _wait_for(device)
    start = time.perf_counter()
    call()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _train(stage: Train, clips: PackedClips, device: str, folder: Path) -> TrainingPace:
    """Build a network, make steps of each part of its schedule, write it and read it again, and score it."""
    made: list[VideoModel] = []
    folder.mkdir(exist_ok=True)
    torch.manual_seed(stage.seed)
    building = _seconds(lambda: made.append(build(stage.model, clips.suite, dict(stage.arguments))), device)
    model = made.pop()
    if stage.schedule is None:
        parts: tuple[PartPace, ...] = (PartPace(_seconds(lambda: model.fit(clips.targets()), device), 0.0),)
    else:
        parts = tuple(_part(stage, part, model, clips, device, folder) for part in stage.schedule.parts)
    offsets = range(model.keyframe_interval)
    score = _seconds(lambda: evaluate_offsets(model, clips, offsets, device=device), device)
    state, path = {"model": model.cpu().state_dict()}, folder / "model.pt"
    keep = _seconds(lambda: save_checkpoint(path, "pace", state), device)
    keep += _seconds(lambda: load_checkpoint(path, "pace"), device)
    path.unlink()
    return TrainingPace(len(clips), building, keep, parts, score / len(clips))


def _part(stage: Train, part: Part, model: VideoModel, clips: PackedClips, device: str, folder: Path) -> PartPace:
    """Steps at offsets as they are drawn; as many again go before them, in which kernels are chosen and made ready."""
    steps = max(3, model.keyframe_interval)
    long = replace(part, epochs=float(3 * steps + 1), batch=min(part.batch, len(clips)))
    recipe = Recipe(Schedule((long,)), stage.seed, stage.weighting, stage.augmentation, stage.precision)
    training = Training(model, clips, recipe, device, folder)
    begin = _seconds(training.step, device)
    _each(training, steps, device, _WARM)
    each = _each(training, 2 * steps, device, _LONGEST)
    training.close()
    return PartPace(begin, each)


def _each(training: Training, steps: int, device: str, longest: float) -> float:
    """Mean seconds of so many steps, or of fewer once they have taken `longest`."""
    spent, done = 0.0, 0
    while done < steps and (done < _LEAST or spent < longest):
        spent += _seconds(training.step, device)
        done += 1
    return spent / done
