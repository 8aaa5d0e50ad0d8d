"""A synthetic store, as large as one likes: what the runner and the reports are timed on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.grids import find_grids
from experiments.models import is_mila
from experiments.plan import Plan, make_plan
from experiments.profiles import QUICK
from experiments.sources import MODES, world_of
from experiments.stages import Data, Evaluate, Measure, Stage, Train, in_order
from experiments.store import Store
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.tasks import FLOW

_CURVE = 52  # points of a training's curve, as the trainings of the profile `quick` have
_PICTURES = 3
_ABOUT = {
    "seconds": 100.0,
    "finished": "2026-01-02T03:04:05+00:00",
    "environment": {"python": "3", "torch": "2", "device": "cpu", "threads": 1, "commit": "synthetic"},
}


def plans_of(seeds: int) -> list[Plan]:
    """Every grid at profile `quick` on embedded videos, with so many seeds: what `--grid all --seeds ...` plans."""
    plans = []
    for grid in find_grids("all"):
        world = world_of(grid.suite)
        plans.append(make_plan(grid, QUICK, world, mode=MODES[world][0], seeds=tuple(range(seeds))))
    return plans


def stages_of(plans: Sequence[Plan]) -> list[Stage]:
    """All stages of the plans, each once."""
    return in_order([stage for plan in plans for stage in plan.stages()])


def seeds_for(stages: int) -> int:
    """How many seeds it takes for at least so many stages."""
    one, two = len(stages_of(plans_of(1))), len(stages_of(plans_of(2)))
    return 1 + max(0, -(-(stages - one) // (two - one)))


def fill(store: Store, plans: Sequence[Plan]) -> None:
    """Finish every stage with synthetic results of a real one's size and shape.

    What is kept to be looked at, a handful of stages whatever the seeds, is left waiting.
    Of the scored clips the first few are rendered and packed; every score is given the same predictions of them, in one
    file that the folders share.
    """
    generator, pictures = np.random.default_rng(0), _Pictures(store, _scored(plans))
    for stage in stages_of(plans):
        result = _result(stage, generator)
        if result is None:
            continue
        folder = store.begin(stage)
        lines = (f"2026-01-02T03:04:05+00:00  {step} of 1125, {step / 10:.0f} s\n" for step in range(0, 1125, 125))
        (folder / "log.txt").write_text("".join(lines), encoding="utf-8")
        store.finish(stage, result, **_ABOUT)
        if isinstance(stage, Evaluate) and stage.data.source.suite != FLOW:
            os.link(pictures.file(stage.data), folder / "pictures.npz")


def _scored(plans: Sequence[Plan]) -> list[Data]:
    return list({plan.test_data.key: plan.test_data for plan in plans}.values())


class _Pictures:
    """Rendered clips, and predictions of them: the truth with noise."""

    def __init__(self, store: Store, scored: Sequence[Data]) -> None:
        self._files: dict[str, Path] = {}
        generator = np.random.default_rng(0)
        for data in scored:
            folder = store.folder(data) / "clips"
            pack(replace(data.source, clips=_PICTURES).open(), data.length, folder)
            packed = PackedClips(folder)
            clips = [packed.clip(index, 1) for index in range(_PICTURES)]
            predictions: dict[str, Any] = {}
            for task in packed.suite.tasks:
                truth = np.stack([clip.targets[task.name] for clip in clips])
                is_labels = task.name == "segmentation"
                predictions[task.name] = truth.astype(np.int8) if is_labels else _noisy(truth, generator)
            path = store.folder(data) / "predictions.npz"
            np.savez_compressed(path, allow_pickle=False, **predictions)
            self._files[data.key] = path

    def file(self, data: Data) -> Path:
        """Predictions of the clips of a split."""
        return self._files[data.key]


def _noisy(truth: Any, generator: np.random.Generator) -> Any:
    return (truth * generator.normal(1.0, 0.1, truth.shape)).astype(np.float32)


def _result(stage: Stage, generator: np.random.Generator) -> dict[str, Any] | None:
    """None for what is kept to be looked at."""
    if isinstance(stage, Data):
        return {"clips": stage.count, "frames": stage.length, "manifest": stage.source.manifest()}
    if isinstance(stage, Measure):
        return {"gflops": float(generator.uniform(10, 100)), "parameters": 10_000_000}
    if isinstance(stage, Train):
        names: list[str] = [task.name for task in stage.data.source.suite.tasks]
        names += ["mimicry_adversarial", "mimicry_l1"] * is_mila(stage.model)
        points = [22 * (1 + i) for i in range(_CURVE)] * (stage.schedule is not None)
        curve = [{"step": step, **{name: float(generator.uniform(0, 1)) for name in names}} for step in points]
        return {"curve": curve, "steps": points[-1] if points else 0, "clips": stage.data.count, "parameters": 1000}
    if not isinstance(stage, Evaluate):
        return None
    metrics = [m.name for task in stage.data.source.suite.tasks for m in task.metrics]
    values = {name: float(generator.uniform(0.1, 0.9)) for name in metrics}
    shown = list(range(_PICTURES))
    return {
        "offset": stage.offset,
        "metrics": values,
        "states": {"model.pt": values},
        "clips": stage.data.count,
        "pictures": shown,
    }
