"""How long trainings take on a GPU: their steps, at what a step was measured to take on one.

python -m experiments.costs.training_time            hours of the profiles `reference` and `paper`

What was measured: a step of batch 4 at 256x512, two tasks, float32 with TF32 convolutions, on an H100 80GB with PyTorch
2.11 at commit cd909d3. A model that was not measured is taken to be as much slower or faster than the one that is most
like it as it executes more or fewer operations a frame, and so is a frame of another size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import torch

from experiments.grids import find_grids
from experiments.grids.multi_task import TABLE2
from experiments.models import accepted, build, without_weights
from experiments.profiles import PAPER, REFERENCE, Profile
from experiments.runs import embedded_plan
from experiments.stages import Arguments, Stage, Train, in_order
from mila.cost.conventions import COMPLETE, count
from mila.tasks import CITYSCAPES, Suite

MEASURED_MS: Mapping[str, float] = {
    "D101-MultiTask": 32.8,
    "D18-MultiTask": 7.7,
    "MILA": 64.2,
    "MultiNet++": 39.8,
}
"""Milliseconds a step; see above."""

_BATCH = 4
_MODELS: Mapping[str, tuple[str, Arguments]] = {
    "D101-MultiTask": ("multi_task", (("depth", 101),)),
    "D18-MultiTask": ("multi_task", (("depth", 18),)),
    "MILA": ("mila", (("fast", 18), ("slow", 101))),
    "MultiNet++": ("multinetpp", (("fast", 18), ("slow", 101))),
}
_DEEP = 50
"""ResNets from this depth on have bottlenecks, as the D101 has."""

NYUV2_CLIPS = 795
"""Of the training split of NYUd v2, Table 1's data; Table 2's have `PAPER.train_clips`."""


def like(stage: Train) -> str:
    """Which measured model a training is most like."""
    names, arguments = accepted(stage.model), dict(stage.arguments)
    if "slow" in names:
        mimics = stage.model == "mila" and arguments.get("mimicry", True) is not None
        return "MILA" if mimics else "MultiNet++"
    return "D18-MultiTask" if arguments.get("depth", 101) < _DEEP else "D101-MultiTask"


def step_ms(stage: Train) -> float:
    """Milliseconds of a step, measured or estimated.

    Raises:
        ValueError: a model that is fitted, not trained.
    """
    if stage.schedule is None:
        raise ValueError(f"{stage.title} is fitted, not trained")
    source, near = stage.data.source, like(stage)
    model, own = _MODELS[near]
    measured = _macs(model, own, CITYSCAPES, CITYSCAPES.height, CITYSCAPES.width)
    arguments = tuple(without_weights(stage.arguments).items())
    ours = _macs(stage.model, arguments, source.suite, source.height, source.width)
    return MEASURED_MS[near] * ours / measured * stage.schedule.parts[0].batch / _BATCH


@lru_cache(maxsize=256)
def _macs(model: str, arguments: Arguments, suite: Suite, height: int, width: int) -> float:
    """Operations a frame, on average over the keyframe interval."""
    with torch.device("meta"):
        made = build(model, suite, dict(arguments))
    return count(made, height, width, COMPLETE).gflops


def hours(stages: Iterable[Stage]) -> float:
    """Of all trainings among some stages and what they need, one after the other."""
    return hours_of(stage for stage in in_order(list(stages)) if isinstance(stage, Train))


def hours_of(trainings: Iterable[Train]) -> float:
    """Of these trainings alone; what is fitted takes none."""
    return sum(step_ms(s) * s.schedule.steps(s.data.count) for s in trainings if s.schedule is not None) / 3.6e6


def hours_of_profiles() -> dict[str, float]:
    """What the documentation says, by what it is of."""

    def of(grid: str, profile: Profile) -> float:
        return hours(_stages([embedded_plan(g, profile).stages() for g in find_grids(grid)]))

    return {
        "reference, Table 1": of("table1", REFERENCE),
        "reference, all": of("all", REFERENCE),
        "paper, Table 1": of("table1", replace(PAPER, train_clips=NYUV2_CLIPS)),
        "paper, Table 2": of(TABLE2.name, PAPER),
    }


def _stages(several: Sequence[Sequence[Stage]]) -> list[Stage]:
    return [stage for stages in several for stage in stages]


if __name__ == "__main__":
    for what, found in hours_of_profiles().items():
        print(f"{what}: {found:.1f} hours")
