"""Plots of what a table varies: the window of ILA, or the keyframe interval."""

from __future__ import annotations

import re
from collections.abc import Sequence

from experiments.collect import RowResult
from experiments.plan import Plan
from reports.drawing import (
    INK,
    MARKERS,
    MUTED,
    SERIES,
    Figure,
    canvas_of,
    finish,
    label_ends,
    plain,
    table_of,
    width_of,
)
from reports.tables import Column, ResultTable

_WIDTH, _HEIGHT = 330.0, 230.0  # points
_LEFT, _TICK = 36.0, 9.0


def ablation_figures(plan: Plan, table: ResultTable, results: Sequence[RowResult]) -> list[Figure]:
    """For the first metric of each task, measured: over the window, where rows differ in it; over K, where in that."""
    rows = plan.grid.rows
    intervals = [dict(row.arguments).get("keyframe_interval", plan.grid.keyframe_interval) for row in rows]
    first = {c.task: c for c in reversed(table.headline)}
    columns = [c for c in table.headline if first[c.task] is c]
    by_label = {r.plan.label: r for r in results if r.values}
    if any("window" in dict(row.arguments) for row in rows):
        series = [("", [(row.label, by_label[row.label]) for row in rows if row.label in by_label])]
        return [_figure(c, series, [row.label for row in rows], "window") for c in columns if series[0][1]]
    if len(set(intervals)) < 2 or 1 in intervals:
        return []
    groups: dict[str, list[tuple[str, RowResult]]] = {}
    for row, interval in zip(rows, intervals, strict=True):
        if row.label in by_label:
            groups.setdefault(_without_interval(row.label), []).append((str(interval), by_label[row.label]))
    ticks = [str(k) for k in sorted(set(intervals))]
    return [_figure(c, list(groups.items()), ticks, "keyframe interval") for c in columns if groups]


def _without_interval(label: str) -> str:
    """`D101-18, ILA (ours)` of `D101-18, K = 5, ILA (ours)`."""
    return re.sub(r",? *K = \d+", "", label).strip(", ")


def _figure(
    column: Column, series: Sequence[tuple[str, Sequence[tuple[str, RowResult]]]], ticks: Sequence[str], over: str
) -> Figure:
    with canvas_of(_WIDTH, _HEIGHT) as canvas:
        names = max((width_of(name) for name, _ in series if name), default=0.0)
        gap = _TICK + names if names else 8.0
        axes = canvas.add_axes((_LEFT / _WIDTH, 0.17, 1 - (_LEFT + gap) / _WIDTH, 0.66))
        labels, lines = [], []
        for place, (name, points) in enumerate(series):
            known = [(tick, r.plan.label, r.values[column.key]) for tick, r in points if column.key in r.values]
            if not known:
                continue
            colour = SERIES[place % len(SERIES)]
            ys = [column.scale * value.mean for _, _, value in known]
            stds = [None if value.std is None else column.scale * value.std for _, _, value in known]
            shift = 0.04 * (place - (len(series) - 1) / 2)
            axes.errorbar(
                [ticks.index(tick) + shift for tick, _, _ in known],
                ys,
                None if None in stds else [std or 0.0 for std in stds],
                color=colour,
                marker=MARKERS[place % len(MARKERS)],
                markersize=4.5,
                linewidth=1.5,
                elinewidth=0.8,
            )
            labels.append((ys[-1], name, colour))
            lines += [(label, tick, y, std, v.seeds) for (tick, label, v), y, std in zip(known, ys, stds, strict=True)]
        axes.set_xticks(range(len(ticks)), ticks)
        axes.tick_params(axis="x", labelcolor=INK)
        axes.set_xlim(-0.3, len(ticks) - 0.7)
        axes.set_xlabel(over)
        axes.margins(y=0.1)
        plain(axes, "y")
        if names:
            label_ends(axes, labels, _TICK / (_WIDTH - _LEFT - gap))
        canvas.text(0.0, 0.95, f"{column.short_task}: {column.label}, {column.unit}", weight="bold", size=9.5)
        canvas.text(0.0, 0.89, f"{column.better} is better {column.arrow}", color=MUTED, size=8.5)
        name = f"{over.replace(' ', '-')}-{column.key.replace('_', '-')}"
        data = table_of(("row", over, f"{column.key} ({column.unit})", "std over seeds", "n_seeds"), lines)
        return finish(canvas, name, f"Measured {column.label} of {column.task} by {over}", data)
