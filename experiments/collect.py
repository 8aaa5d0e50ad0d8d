"""The numbers of a plan, read from its records: every offset of every seed, their means and spreads."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from experiments.plan import Plan, RowPlan
from experiments.stages import Evaluate, in_order
from experiments.store import Record, Store


@dataclass(frozen=True)
class Value:
    """One measured cell: the mean over seeds of the mean over offsets.

    Attributes:
        mean: in the metric's SI unit.
        std: sample standard deviation over seeds; None with one seed.
        seeds: n.
        by_offset: mean over seeds at each offset 0..K-1 (one entry for a frame-by-frame model and for K = 1).
        by_offset_std: their sample standard deviations; None with one seed.
    """

    mean: float
    std: float | None
    seeds: int
    by_offset: tuple[float, ...]
    by_offset_std: tuple[float, ...] | None


@dataclass(frozen=True)
class RowResult:
    """A row and what is known of it.

    Attributes:
        plan: its stages.
        values: by metric; empty where no seed is finished.
        missing: why `values` is empty or incomplete, in words; empty where nothing is missing.
        gflops: at the paper's size, measured; None where it is not.
        trains, evaluations, measure: records behind the numbers, finished seeds only.
    """

    plan: RowPlan
    values: dict[str, Value]
    missing: str
    gflops: float | None
    trains: tuple[Record, ...]
    evaluations: tuple[tuple[Record, ...], ...]
    measure: Record | None


@dataclass(frozen=True)
class FlowResult:
    """How good FlowNet-S is, on flow that is known exactly.

    Attributes:
        values: `epe` and `epe_zero` in pixels, and `ratio`, the first over the second seed by seed; empty where no seed
            is finished.
        missing: see `RowResult`.
        trains, evaluations: records behind the numbers, finished seeds only.
    """

    values: dict[str, Value]
    missing: str
    trains: tuple[Record, ...]
    evaluations: tuple[Record, ...]


def collect(plan: Plan, store: Store) -> list[RowResult]:
    """Each row's result, in the plan's order. A seed counts once all its offsets are finished."""
    return [_row(row, store) for row in plan.rows]


def collect_flow(plan: Plan, store: Store) -> FlowResult | None:
    """The scores of FlowNet-S; None where no row of the plan starts from it."""
    if not plan.flow:
        return None
    seeds = tuple((stage,) for stage in plan.flow)
    complete = _complete(seeds, store)
    records = tuple(store.record(stage) for (stage,) in complete)
    numbers = [record.result["metrics"] for record in records]
    values = {name: _value([[n[name]] for n in numbers]) for name in ("epe", "epe_zero") if numbers}
    if numbers and all(n["epe_zero"] for n in numbers):
        values["ratio"] = _value([[n["epe"] / n["epe_zero"]] for n in numbers])
    return FlowResult(
        values=values,
        missing=_missing(seeds, len(complete), store),
        trains=tuple(store.record(stage.train) for (stage,) in complete),
        evaluations=records,
    )


def _row(row: RowPlan, store: Store) -> RowResult:
    measure = None
    if row.measure is not None and store.state(row.measure) == "done":
        measure = store.record(row.measure)
    complete = _complete(row.evaluations, store)
    evaluations = tuple(tuple(store.record(stage) for stage in seed) for seed in complete)
    values = {}
    if evaluations:
        for name in evaluations[0][0].result["metrics"]:
            values[name] = _value([[r.result["metrics"][name] for r in seed] for seed in evaluations])
    return RowResult(
        plan=row,
        values=values,
        missing=_missing(row.evaluations, len(complete), store),
        gflops=None if measure is None else float(measure.result["gflops"]),
        trains=tuple(store.record(seed[0].train) for seed in complete),
        evaluations=evaluations,
        measure=measure,
    )


def _complete(seeds: tuple[tuple[Evaluate, ...], ...], store: Store) -> list[tuple[Evaluate, ...]]:
    """The seeds whose every score is there."""
    return [seed for seed in seeds if all(store.state(stage) == "done" for stage in seed)]


def _value(numbers: list[list[float]]) -> Value:
    """From numbers by seed and offset."""
    means = [statistics.fmean(offsets) for offsets in numbers]
    by_offset = list(zip(*numbers, strict=True))
    several = len(numbers) > 1
    return Value(
        mean=statistics.fmean(means),
        std=float(np.std(means, ddof=1)) if several else None,
        seeds=len(means),
        by_offset=tuple(statistics.fmean(column) for column in by_offset),
        by_offset_std=tuple(np.std(numbers, axis=0, ddof=1).tolist()) if several else None,
    )


def _missing(seeds: tuple[tuple[Evaluate, ...], ...], complete: int, store: Store) -> str:
    if complete == len(seeds):
        return ""
    needed = in_order([stage for seed in seeds for stage in seed])  # what the row starts from may have failed as well
    states = {store.state(stage) for stage in needed}
    if "damaged" in states:
        return "a record was changed"
    if "failed" in states:
        return "a stage failed"
    return "not run" if not complete else f"{complete} of {len(seeds)} seeds run"
