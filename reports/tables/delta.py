"""Delta-MTL: how much better or worse than the single-task row a row is, on average over the tasks.

Each metric's difference from the single-task row is relative to that row and signed so that more is better; the metrics
of a task are averaged, then the tasks (Maninis, Radosavovic and Kokkinos, CVPR 2019; Vandenhende et al., TPAMI 2021,
whose tasks have one metric each). Of printed numbers and of measured ones, each against the single-task row of their
own; the paper prints no such number. A measured one is formed seed by seed, so its spread is that of row and
single-task row together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.plan import Plan
from mila.common.types import FloatArray
from mila.tasks import Metric, Suite, TaskName
from reports.contrasts import Sample
from reports.differences import Family
from reports.tables.table import DELTA, Column

SINGLE_TASK = "single_task"
"""Model of the single-task row."""

Metrics = tuple[tuple[TaskName, Metric], ...]


def headline_metrics(suite: Suite) -> Metrics:
    """What is averaged: the metrics that the paper's tables have a column for, with their tasks."""
    return tuple((task.name, metric) for task in suite.tasks for metric in task.metrics if metric.headline)


def delta_column(*, published: bool) -> Column:
    """The column; `published` says whether the printed numbers give one."""
    return Column(DELTA, "All tasks", "Δ MTL", "%", "higher", 100.0, 1, headline=True, published=published)


def single_task_row(plan: Plan) -> tuple[str, str | None] | None:
    """Label and published name of the row that the others are compared with; None where the table has none."""
    for row in plan.grid.rows:
        if row.model == SINGLE_TASK and len(plan.suite.tasks) > 1:
            return row.label, row.published
    return None


def why_not(plan: Plan, *, measured: bool) -> str:
    """Why the table has no such column, or no measured number in it; empty where it has."""
    single = single_task_row(plan)
    if len(plan.suite.tasks) == 1:
        return "There is no average over tasks (Δ MTL): there is one task."
    if single is None:
        return "There is no average over tasks against the single-task row (Δ MTL): the table has no such row."
    return "" if measured else f"No average over tasks is measured yet: {single[0]} has no number to compare with."


def published_deltas(
    printed: Mapping[str, Mapping[str, float]], single: str | None, metrics: Metrics
) -> dict[str, float]:
    """Of every row that is printed with all `metrics`, against the row `single`: shares, not per cent."""
    reference = _numbers(printed.get(single or "", {}), metrics)
    if reference is None or not reference.all():
        return {}
    found = {row: _numbers(cells, metrics) for row, cells in printed.items()}
    weights = _weights(metrics)
    return {row: float(weights @ (x / reference - 1)) for row, x in found.items() if x is not None}


def measured_deltas(families: Mapping[str, Family], single: str, metrics: Metrics) -> Family:
    """Of every row that has all metrics at a seed that the row `single` has as well; shares, not per cent."""
    of_metrics = [families[metric.name] for _, metric in metrics if metric.name in families]
    samples = []
    if len(of_metrics) == len(metrics) and all(single in family.samples for family in of_metrics):
        references = [family.samples[single] for family in of_metrics]
        for row in of_metrics[0].samples:
            if all(row in family.samples for family in of_metrics):
                ours = [family.samples[row] for family in of_metrics]
                samples.append(_sample(row, ours, references, _weights(metrics)))
    return Family([sample for sample in samples if sample.by_seed])


def _sample(row: str, samples: Sequence[Sample], references: Sequence[Sample], weights: FloatArray) -> Sample:
    by_seed: dict[int, float] = {}
    by_clip: dict[int, FloatArray] = {}
    everything = [*samples, *references]
    for seed in samples[0].by_seed:
        if not all(seed in sample.by_seed for sample in everything):
            continue
        ours, theirs = (np.array([sample.by_seed[seed] for sample in part]) for part in (samples, references))
        if not theirs.all():
            continue  # nothing is relative to 0
        by_seed[seed] = float(weights @ (ours / theirs - 1))
        clips = [sample.by_clip[seed] for sample in everything if seed in sample.by_clip]
        if len(clips) == len(everything) and len({len(values) for values in clips}) == 1:
            apart = np.array([values - values.mean() for values in clips])  # [2 * metrics, clips]
            # To first order, as the pseudo-values are: a / b changes by da / b - a db / b^2.
            slopes = np.concatenate([weights / theirs, -weights * ours / theirs**2])
            by_clip[seed] = by_seed[seed] + slopes @ apart
    return Sample(row, by_seed, by_clip)


def _weights(metrics: Metrics) -> FloatArray:
    """Of every metric, signed; the metrics of a task share the weight of the task."""
    tasks = [task for task, _ in metrics]
    shares = [1 / tasks.count(task) / len(set(tasks)) for task in tasks]
    return np.array([s if m.better == "higher" else -s for (_, m), s in zip(metrics, shares, strict=True)])


def _numbers(cells: Mapping[str, float], metrics: Metrics) -> FloatArray | None:
    """In the order of `metrics`; None where one is missing."""
    values = [cells.get(metric.name, math.nan) for _, metric in metrics]
    return np.array(values) if all(map(math.isfinite, values)) else None
