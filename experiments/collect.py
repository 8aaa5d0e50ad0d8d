"""The numbers of a plan, read from its records: every offset of every seed, their means and spreads."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from experiments.plan import Plan, RowPlan
from experiments.store import Record, Store


@dataclass(frozen=True)
class Value:
    """One measured cell: the mean over seeds of the mean over offsets.

    Attributes:
        mean: in the metric's SI unit.
        std: sample standard deviation over seeds; None with one seed.
        seeds: n.
        by_offset: mean over seeds at each offset 0..K-1 (one entry for a frame-by-frame model).
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


def collect(plan: Plan, store: Store) -> list[RowResult]:
    """Each row's result, in the plan's order. A seed counts once all its offsets are finished."""
    return [_row(row, store) for row in plan.rows]


def _row(row: RowPlan, store: Store) -> RowResult:
    measure = None
    if row.measure is not None and store.state(row.measure) == "done":
        measure = store.record(row.measure)
    complete = [seed for seed in row.evaluations if all(store.state(stage) == "done" for stage in seed)]
    evaluations = tuple(tuple(store.record(stage) for stage in seed) for seed in complete)
    values = {}
    if evaluations:
        for name in evaluations[0][0].result["metrics"]:
            values[name] = _value([[r.result["metrics"][name] for r in seed] for seed in evaluations])
    return RowResult(
        plan=row,
        values=values,
        missing=_missing(row, len(complete), store),
        gflops=None if measure is None else float(measure.result["gflops"]),
        trains=tuple(store.record(seed[0].train) for seed in complete),
        evaluations=evaluations,
        measure=measure,
    )


def _value(numbers: list[list[float]]) -> Value:
    """From numbers by seed and offset."""
    means = [statistics.fmean(offsets) for offsets in numbers]
    by_offset = list(zip(*numbers, strict=True))
    several = len(numbers) > 1
    return Value(
        mean=statistics.fmean(means),
        std=statistics.stdev(means) if several else None,
        seeds=len(means),
        by_offset=tuple(statistics.fmean(column) for column in by_offset),
        by_offset_std=tuple(statistics.stdev(column) for column in by_offset) if several else None,
    )


def _missing(row: RowPlan, complete: int, store: Store) -> str:
    if not row.evaluations:
        return "not built yet"
    if complete == len(row.evaluations):
        return ""
    stages = [stage for seed in row.evaluations for stage in (seed[0].train, *seed)]
    if any(store.state(stage) == "failed" for stage in stages):
        return "a stage failed"
    return "not run" if not complete else f"{complete} of {len(row.evaluations)} seeds run"
