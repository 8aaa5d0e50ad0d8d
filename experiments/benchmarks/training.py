"""Steps of a training, the models taking turns: milliseconds, the share that waits for a batch, peak memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from experiments.benchmarks.sizes import ROWS, Sizes, model_of, synchronise, take_turns
from experiments.costs.speed import Measured
from mila.data.packed import PackedClips
from mila.names import Precision
from mila.schedule import one_part
from mila.training_steps import Recipe, Training

_BATCH = 4  # the paper's
_ROUNDS = 2
_WARM = 8
"""Steps for each offset before the clock starts, in which about all of them come up twice."""
_LONG = 100_000
"""Steps of a training of which the first are made, as a point on the curve waits for the device: of 60 each would be
one."""
_WAITING = 0.05
"""Share of a step that may be spent on waiting for its batch, on a GPU."""


@dataclass(frozen=True)
class _Way:
    """How a step is made: in which precision, and whether it is recorded and replayed (`mila.recorded_steps`)."""

    name: str
    precision: Precision
    recorded: bool


_WAYS = {
    "cpu": (_Way("float32", "float32", False),),
    "cuda": (
        _Way("float32, as it comes", "float32", False),
        _Way("bfloat16, as it comes", "bfloat16", False),
        _Way("bfloat16, replayed", "bfloat16", True),
    ),
}
"""By kind of device; on a GPU the first is what the others are compared with."""
_FASTER = 2.5
"""So many times as fast as the first way should the last be."""


def steps(sizes: Sizes, clips: PackedClips, device: str, folder: Path) -> Iterator[Measured]:
    """Time the steps of `ROWS` at the profile's size, each in every way."""
    trainings, peaks = dict[tuple[str, _Way], Training](), dict[tuple[str, _Way], float]()
    ways = _WAYS[device]
    for row in ROWS:
        for way in ways:
            training, peaks[row, way] = _begin(row, way, sizes, clips, device, folder / f"{row}-{ways.index(way)}")
            trainings[row, way] = training

    def several(training: Training) -> None:
        for _ in range(sizes.steps):
            training.step()

    waited = {key: training.waited for key, training in trainings.items()}
    calls = {key: partial(several, training) for key, training in trainings.items()}
    seconds = {key: each / sizes.steps for key, each in take_turns(calls, _ROUNDS, device).items()}
    for (row, way), each in seconds.items():
        first = way == ways[0]
        against = (ROWS[0], way) if first else (row, ways[0])
        yield Measured(
            f"{row}, a step of batch {_BATCH}, {way.name}",
            1e3 * each,
            "ms",
            None if (row, way) == against else each / seconds[against],
            "" if (row, way) == against else f"{against[0]}, {against[1].name}",
            1 / _FASTER if way.recorded else None,
        )
        if device == "cuda":
            yield Measured(f"{row}, {way.name}, peak memory", peaks[row, way], "GiB")
        training = trainings[row, way]
        waiting = (training.waited - waited[row, way]) / (sizes.steps * (_ROUNDS + 1))
        most = _WAITING if way.recorded else None
        yield Measured(
            f"{row}, {way.name}, waiting for its batch", 1e3 * waiting, "ms", waiting / each, "the step", most
        )
    for training in trainings.values():
        training.close()


def _begin(row: str, way: _Way, sizes: Sizes, clips: PackedClips, device: str, folder: Path) -> tuple[Training, float]:
    """A training whose steps are recorded by now, if they are; and its peak memory in GiB."""
    on_gpu = device == "cuda"
    model = model_of(row, sizes)
    warm = _WARM * model.keyframe_interval if way.recorded else 1
    # what is recorded keeps memory that no tensor stands for
    peak_of = torch.cuda.max_memory_reserved if way.recorded else torch.cuda.max_memory_allocated
    before = 0
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = peak_of()
    epochs = _LONG / max(1, len(clips) // _BATCH)
    recipe = Recipe(one_part(epochs=epochs, batch=_BATCH), seed=0, precision=way.precision)
    training = Training(model, clips, recipe, device, folder, record="auto" if way.recorded else None)
    for _ in range(warm):
        training.step()
    synchronise(device)
    return training, (peak_of() - before) / 2**30 if on_gpu else 0.0
