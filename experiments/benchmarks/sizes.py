"""How large the parts of `nox -s bench` are, and what they share: a model of Table 2, packed clips, a clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.models import build, without_weights
from experiments.plan import usual_suite
from experiments.profiles import PROFILES, Profile
from experiments.runs import embedded_plan
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.video_model import VideoModel

Name = TypeVar("Name", bound=Hashable)

ROWS = ("D101-MultiTask", "MILA")
"""What is compared, as the paper calls it: the deep network on every frame, and the paper's method."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run of all benchmarks.

    Attributes:
        name: on the command line.
        profile: of `experiments.profiles`: networks and frames.
        grids: whose `ROWS` are timed as streams.
        maps: (batch, height, width) of the maps that attention is timed on, at 36 and 512 channels.
        rounds: that count, of everything that takes turns.
        frames: of a whole stream.
        steps: of a training that are timed.
        clips: that are packed, for trainings and scores.
        interval: the longest keyframe interval whose offsets are scored.
        rendered: height and width of rendered frames.
        read_batch: clips a batch that is read; 0 leaves reading out.
    """

    name: str
    profile: str
    grids: tuple[Grid, ...]
    maps: tuple[tuple[int, int, int], ...]
    rounds: int
    frames: int
    steps: int
    clips: int
    interval: int
    rendered: tuple[int, int]
    read_batch: int

    @property
    def networks(self) -> Profile:
        """The profile itself."""
        return PROFILES[self.profile]


SMALL = Sizes("small", "smoke", (TABLE2,), ((1, 9, 17),), 1, 5, 2, 4, 2, (32, 64), 0)
QUICK = Sizes("quick", "quick", (TABLE1, TABLE2), ((1, 33, 65), (1, 37, 49)), 5, 10, 10, 8, 10, (256, 512), 2)
PAPER = Sizes(
    "paper", "reference", (TABLE1, TABLE2), ((1, 33, 65), (1, 37, 49), (8, 129, 257)), 5, 10, 20, 8, 10, (256, 512), 2
)
SIZES = {sizes.name: sizes for sizes in (SMALL, QUICK, PAPER)}


def model_of(published: str, sizes: Sizes, grid: Grid = TABLE2) -> VideoModel:
    """A row's model, freshly initialised from seed 0."""
    rows = tuple(row for row in grid.rows if row.published == published)
    plan = embedded_plan(replace(grid, rows=rows), sizes.networks)
    train = plan.rows[0].evaluations[0][0].train
    torch.manual_seed(0)
    return build(train.model, plan.suite, without_weights(train.arguments))


def pack_clips(sizes: Sizes, folder: Path) -> PackedClips:
    """Clips of the world that stands in for Table 2's data, long enough for every offset."""
    profile, suite = sizes.networks, usual_suite(TABLE2, "street")
    height, width = profile.size(suite)
    source = WorldClips(
        "street", "train", clips=sizes.clips, height=height, width=width, stride=profile.stride, suite=suite
    )
    pack(source, max(sizes.interval, TABLE2.longest_interval) + 1, folder)
    return PackedClips(folder)


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def take_turns(calls: Mapping[Name, Callable[[], object]], rounds: int, device: str) -> dict[Name, float]:
    """Median seconds of each call, the calls taking turns; one round before does not count."""
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            synchronise(device)
            start = time.perf_counter()
            call()
            synchronise(device)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
