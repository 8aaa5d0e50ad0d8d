"""Plots of what a table varies: the window of ILA, or the keyframe interval."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from experiments.plan import Plan
from experiments.results import RowResult
from reports.csv_text import csv_text
from reports.plots.chart import Chart, limits, ticks_in
from reports.plots.drawing import MARKERS, SERIES, Figure, canvas_of, finish, width_of
from reports.tables.table import Column, ResultTable

_WIDTH, _HEIGHT = 330.0, 230.0  # points
_LEFT, _TICK = 36.0, 9.0


def ablation_figures(plan: Plan, table: ResultTable, results: Sequence[RowResult]) -> list[Figure]:
    """For the main metric of each task, measured: over the window, where rows differ in it; over K, where in that."""
    rows = plan.grid.rows
    intervals = [dict(row.arguments).get("keyframe_interval", plan.grid.keyframe_interval) for row in rows]
    by_label = {r.plan.label: r for r in results if r.values}
    if any("window" in dict(row.arguments) for row in rows):
        series = [("", [(row.label, by_label[row.label]) for row in rows if row.label in by_label])]
        return [_figure(c, series, [row.label for row in rows], "window") for c in table.main_columns if series[0][1]]
    if len(set(intervals)) < 2 or 1 in intervals:
        return []
    groups: dict[str, list[tuple[str, RowResult]]] = {}
    for row, interval in zip(rows, intervals, strict=True):
        if row.label in by_label:
            groups.setdefault(_without_interval(row.label), []).append((str(interval), by_label[row.label]))
    ticks = [str(k) for k in sorted(set(intervals))]
    return [_figure(c, list(groups.items()), ticks, "keyframe interval") for c in table.main_columns if groups]


def _without_interval(label: str) -> str:
    """`D101-18, ILA (ours)` of `D101-18, K = 5, ILA (ours)`."""
    return re.sub(r",? *K = \d+", "", label).strip(", ")


def _figure(
    column: Column, series: Sequence[tuple[str, Sequence[tuple[str, RowResult]]]], ticks: Sequence[str], over: str
) -> Figure:
    names = max((width_of(name) for name, _ in series if name), default=0.0)
    gap = _TICK + names + 4 if names else 8.0
    drawn: list[tuple[str, list[_Place]]] = []
    for place, (name, points) in enumerate(series):
        shift = 0.04 * (place - (len(series) - 1) / 2)
        drawn.append(
            (name, [_place(column, ticks, shift, *point) for point in points if column.key in point[1].values])
        )
    reached = [p.y + d for _, places in drawn for p in places for d in (-(p.std or 0.0), p.std or 0.0)]
    with canvas_of(_WIDTH, _HEIGHT) as canvas:
        box = (_LEFT, 39.0, _WIDTH - _LEFT - gap, 152.0)
        chart = Chart(canvas, box, (-0.3, len(ticks) - 0.7), limits(reached, 0.1))
        chart.titles(f"{column.short_task}: {column.label}, {column.unit}", f"{column.better} is better {column.arrow}")
        chart.y_axis(ticks_in(*chart.y_range, 6))
        chart.x_axis(over, range(len(ticks)), ticks, rules=False)
        labels = []
        for i, (name, places) in enumerate(drawn):
            if not places:
                continue
            colour, xs, ys = SERIES[i % len(SERIES)], [p.x for p in places], [p.y for p in places]
            chart.error_bars(xs, ys, [p.std or 0.0 for p in places], colour)
            chart.line(xs, ys, color=colour, marker=MARKERS[i % len(MARKERS)], markersize=4.5, linewidth=1.5)
            labels.append((ys[-1], name, colour))
        if names:
            chart.name_ends(labels, _TICK)
        name = f"{over.replace(' ', '-')}-{column.key.replace('_', '-')}"
        lines = [(p.label, p.tick, p.y, p.std, p.seeds) for _, places in drawn for p in places]
        data = csv_text(("row", over, f"{column.key} ({column.unit})", "std over seeds", "n_seeds"), lines)
        return finish(canvas, name, f"Measured {column.label} of {column.task} by {over}", data)


class _Place(NamedTuple):
    """A row where it is drawn, in the printed unit."""

    x: float
    y: float
    std: float | None
    tick: str
    label: str
    seeds: int


def _place(column: Column, ticks: Sequence[str], shift: float, tick: str, row: RowResult) -> _Place:
    value = row.values[column.key]
    std = None if value.std is None else column.scale * value.std
    return _Place(ticks.index(tick) + shift, column.scale * value.mean, std, tick, row.plan.label, value.seeds)
