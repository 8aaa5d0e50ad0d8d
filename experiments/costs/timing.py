"""Time the models of grids at a profile's sizes, and find the finished runs of what was timed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

import torch

from experiments.costs.latency import LatencyRecord, LatencyRow
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE2
from experiments.models import build, without_weights
from experiments.plan import Plan, RowPlan
from experiments.profiles import PROFILES, Profile
from experiments.runs import Runs, embedded_plan, finished_runs
from experiments.store import Store
from mila.common.types import Progress
from mila.common.versions import environment
from mila.cost.conventions import COMPLETE, PUBLISHED, count
from mila.cost.energy import find_meter
from mila.cost.latency import Latency, Subject, measure
from mila.streaming.optimise import optimise


def bench(
    grids: Sequence[Grid],
    profile: Profile,
    device: str,
    *,
    rounds: int,
    frames: int,
    warm_up: int = 1,
    optimised: bool = True,
    progress: Progress | None = None,
) -> LatencyRecord:
    """Time every model of some grids, with random weights, which time does not depend on; plain and optimised in turns.

    Args:
        grids: the paper's tables.
        profile: sizes.
        device: `cpu` or `cuda`.
        rounds: see `mila.cost.latency.measure`, as for `frames`, `warm_up` and `progress`.
        frames: of a whole stream.
        warm_up: rounds that do not count.
        optimised: time `mila.streaming.optimise` as well.
        progress: called with (done, total).
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    timed = [
        _Timed(grid, plan, row, profile)
        for grid in grids
        for plan in [embedded_plan(grid, profile)]
        for row in plan.rows
        if not row.is_constant
    ]
    subjects = {one.name: one.subject(device) for one in timed}
    others = {one.name: optimise(one.model) for one in timed} if optimised else {}
    for name, other in others.items():
        subjects[_optimised(name)] = Subject(other, subjects[name].frame)
    meter, energy = find_meter(device)
    latencies = measure(subjects, rounds=rounds, frames=frames, warm_up=warm_up, meter=meter, progress=progress)
    return LatencyRecord(
        profile=profile.name,
        device=device,
        rounds=rounds,
        warm_up=warm_up,
        frames=frames,
        energy=energy,
        load=load,
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        environment=environment(device),
        rows=tuple(one.row(latencies[one.name], latencies.get(_optimised(one.name))) for one in timed),
        optimisation="; ".join(dict.fromkeys(other.about for other in others.values())),
    )


def _optimised(name: str) -> str:
    return f"{name}, optimised"


class _Timed:
    """A row's model, ready to be timed."""

    def __init__(self, grid: Grid, plan: Plan, row: RowPlan, profile: Profile) -> None:
        self.name = f"{grid.name} {row.label}"
        self._grid, self._row = grid.name, row
        self._height, self._width = profile.size(plan.suite)
        train = row.evaluations[0][0].train
        torch.manual_seed(0)
        self.model = build(train.model, plan.suite, without_weights(train.arguments)).eval()
        self.model.for_inference()
        costs = [count(self.model, self._height, self._width, convention) for convention in (PUBLISHED, COMPLETE)]
        self._gflops = [cost.gflops for cost in costs]
        self._frame = torch.randn(1, 3, self._height, self._width)

    def subject(self, device: str) -> Subject:
        """The model and a random frame, both on the device."""
        return Subject(self.model.to(device), self._frame.to(device))

    def row(self, latency: Latency, optimised: Latency | None) -> LatencyRow:
        """Its row in the record."""
        return LatencyRow(
            grid=self._grid,
            label=self._row.label,
            published=self._row.published,
            height=self._height,
            width=self._width,
            interval=self.model.keyframe_interval,
            published_gflops=self._gflops[0],
            complete_gflops=self._gflops[1],
            latency=latency,
            optimised=optimised,
        )


def timed_runs(store: Store, records: Iterable[LatencyRecord]) -> list[Runs]:
    """What is finished of Table 2, the table of Figure 1, in the profiles that were timed."""
    profiles = dict.fromkeys(record.profile for record in records)
    return [run for name in profiles for run in finished_runs(store, PROFILES[name], (TABLE2,))]
