"""Predictions at every offset: one offset after the other, against each frame encoded once by each network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from experiments.benchmarks.sizes import Sizes, model_of, take_turns
from experiments.costs.speed import Measured
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE2
from mila.data.clips import frames_needed
from mila.data.packed import PackedClips
from mila.evaluation import SharedFrames
from mila.model import MILA
from mila.video_model import VideoModel

Predictions = list[dict[str, Tensor]]
"""By offset."""

_ROUNDS = 2


@torch.no_grad()
def one_after_the_other(model: VideoModel, frames: Tensor) -> Predictions:
    """Of the longest clips that any offset needs, `[B, T, 3, H, W]`, at each offset as `mila.evaluation` does."""
    return [
        model(frames[:, -frames_needed(offset, model.history) :], offset) for offset in range(model.keyframe_interval)
    ]


@torch.no_grad()
def shared(model: VideoModel, frames: Tensor) -> Predictions:
    """The same, each frame encoded at most once by each network."""
    predict = SharedFrames(model, frames, range(model.keyframe_interval))
    return [predict.at(offset) for offset in range(model.keyframe_interval)]


def offsets(sizes: Sizes, clips: PackedClips, device: str) -> Iterator[Measured]:
    """Time both ways for MILA at K = 5 and at the longest interval, and compare what they predict."""
    for interval in sorted({min(5, sizes.interval), sizes.interval}):
        model = _mila(sizes, interval, device)
        indices = range(min(4, len(clips)))
        frames, _ = clips.batch(indices, interval - 1, model.history, device)
        ways = {"apart": one_after_the_other, "shared": shared}
        seconds = take_turns({name: partial(way, model, frames) for name, way in ways.items()}, _ROUNDS, device)
        both = (one_after_the_other(model, frames), shared(model, frames))
        worst = max(float((a[n] - b[n]).abs().max() / a[n].abs().max()) for a, b in zip(*both, strict=True) for n in a)
        each = f"MILA, all offsets of K = {interval}, a clip"
        yield Measured(f"{each}, one after the other", 1e3 * seconds["apart"] / len(indices), "ms")
        yield Measured(
            f"{each}, frames shared",
            1e3 * seconds["shared"] / len(indices),
            "ms",
            seconds["shared"] / seconds["apart"],
            "one after the other",
        )
        yield Measured(f"{each}, both ways", worst, "relative difference", most=1e-3)


def _mila(sizes: Sizes, interval: int, device: str) -> MILA:
    grid: Grid = TABLE2
    model = model_of("MILA", sizes, grid)
    assert isinstance(model, MILA)
    model.keyframe_interval = interval  # which no weight depends on
    return model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload,no-any-return]
