"""Steps of a training, the models taking turns: milliseconds, the share that a batch takes to read, peak memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from experiments.benchmarks.sizes import ROWS, Sizes, model_of, synchronise, take_turns
from experiments.costs.speed import Measured
from mila.data.packed import PackedClips
from mila.schedule import one_part
from mila.training_steps import Recipe, Training, batch_of

_BATCH = 4  # the paper's
_ROUNDS = 2
_WAITING = 0.05
"""Share of a step that may be spent on reading its batch, on a GPU."""


def steps(sizes: Sizes, clips: PackedClips, device: str, folder: Path) -> Iterator[Measured]:
    """Time the steps of `ROWS` at the profile's size."""
    trainings, peaks = dict[str, Training](), dict[str, float]()
    total = (_ROUNDS + 1) * sizes.steps + 1
    for row in ROWS:
        before = torch.cuda.memory_allocated() if device == "cuda" else 0
        recipe = Recipe(one_part(epochs=total / max(1, len(clips) // _BATCH), batch=_BATCH), seed=0)
        trainings[row] = Training(model_of(row, sizes), clips, recipe, device, folder / row)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainings[row].step()
        synchronise(device)
        peaks[row] = (torch.cuda.max_memory_allocated() - before) / 2**30 if device == "cuda" else 0.0

    def several(training: Training) -> None:
        for _ in range(sizes.steps):
            training.step()

    calls = {row: lambda training=training: several(training) for row, training in trainings.items()}
    seconds = {row: each / sizes.steps for row, each in take_turns(calls, _ROUNDS, device).items()}
    first = ROWS[0]
    for row in ROWS:
        own = row != first
        yield Measured(
            f"{row}, a step of batch {_BATCH}",
            1e3 * seconds[row],
            "ms",
            seconds[row] / seconds[first] if own else None,
            f"{first}, a step" if own else "",
        )
        if device == "cuda":
            yield Measured(f"{row}, peak memory", peaks[row], "GiB")
    reading = _reading(sizes, clips, device)
    for row in ROWS:
        most = _WAITING if device == "cuda" else None
        yield Measured(f"{row}, reading its batch", 1e3 * reading, "ms", reading / seconds[row], "the whole step", most)


def _reading(sizes: Sizes, clips: PackedClips, device: str) -> float:
    """Median seconds until a batch is where the model is."""
    interval, history, seconds = 5, 1, []
    for step in range(sizes.steps):
        indices, offset = batch_of(step, len(clips), _BATCH, interval, 0)
        start = time.perf_counter()
        clips.batch(indices, offset, history, device)
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
