"""The plots of a table's page: accuracy by keyframe offset, and cost."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.collect import RowResult, Value
from experiments.plan import RowPlan
from reports.chart import Chart, limits, ticks_in
from reports.drawing import INK, MARKERS, MUTED, RULE, SERIES, Figure, canvas_of, finish, table_of, width_of
from reports.tables import COST, Cell, Column, ResultTable

_LEFT, _TICK = 33.0, 9.0
_APART = _TICK + 4
"""Between the axes and the names, with what a viewer's letters may be wider."""


def offset_figures(table: ResultTable, results: Sequence[RowResult]) -> list[Figure]:
    """For the first metric of each task: every video method at each keyframe offset, the others as reference lines.

    None where no finished row has several offsets.
    """
    if not any(r.plan.is_video and r.values for r in results):
        return []
    first = {c.task: c for c in reversed(table.headline)}
    return [_offset_figure(c, results) for c in table.headline if first[c.task] is c]


def _offset_figure(column: Column, results: Sequence[RowResult]) -> Figure:
    known: list[tuple[RowPlan, Value]] = [
        (r.plan, r.values[column.key]) for r in results if column.key in r.values and not r.plan.is_constant
    ]
    videos = [r.plan.label for r in results if r.plan.is_video]  # unfinished ones as well: each keeps its colour
    names = max((width_of(plan.label) for plan, _ in known), default=0.0)
    width = max(330.0, _LEFT + _APART + names + 220)
    steps = max((len(value.by_offset) for plan, value in known if plan.is_video), default=1)
    reached = [y for plan, value in known for y in _reached(column, plan, value)]
    with canvas_of(width, 240) as canvas:
        box = (_LEFT, 40.0, width - _LEFT - _APART - names, 162.0)
        chart = Chart(canvas, box, (-0.25, steps - 0.75), limits(reached, 0.08))
        chart.heads(f"{column.short_task}: {column.label}, {column.unit}", f"{column.better} is better {column.arrow}")
        chart.rules_up(ticks_in(*chart.up, 6))
        chart.ground("keyframe offset, frames", range(steps), rules=False)
        labels: list[tuple[float, str, str]] = []
        for plan, value in known:
            if not plan.is_video:
                level = column.scale * value.mean
                chart.line(chart.across, (level, level), color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
                labels.append((level, plan.label, MUTED))
                continue
            series = videos.index(plan.label)
            colour, marker = SERIES[series % len(SERIES)], MARKERS[series % len(MARKERS)]
            ys = [column.scale * y for y in value.by_offset]
            # Side by side, so that the error bars of several seeds can be told apart.
            shift = 0.05 * (series - (len(videos) - 1) / 2) if value.by_offset_std else 0.0
            xs = [x + shift for x in range(len(ys))]
            if value.by_offset_std:
                chart.error_bars(xs, ys, [column.scale * y for y in value.by_offset_std], colour)
            chart.line(xs, ys, color=colour, marker=marker, markersize=4.2, linewidth=1.5, zorder=3)
            labels.append((ys[-1], plan.label, colour))
        chart.name_ends(labels, _TICK)
        name = f"offset-{column.key.replace('_', '-')}"
        said = f"{column.label} of {column.task} by keyframe offset"
        return finish(canvas, name, said, _offset_data(column, known))


def _reached(column: Column, row: RowPlan, value: Value) -> list[float]:
    """All heights that a row's line and error bars reach."""
    if not row.is_video:
        return [column.scale * value.mean]
    stds = value.by_offset_std or (0.0,) * len(value.by_offset)
    return [column.scale * (y + d) for y, std in zip(value.by_offset, stds, strict=True) for d in (-std, std)]


def _offset_data(column: Column, known: Sequence[tuple[RowPlan, Value]]) -> str:
    lines: list[tuple[object, ...]] = []
    for row, value in known:
        stds = value.by_offset_std or (None,) * len(value.by_offset)
        for offset, (y, std) in enumerate(zip(value.by_offset, stds, strict=True)):
            where = offset if row.is_video else "every frame"
            spread = None if std is None else column.scale * std
            lines.append((row.label, where, column.scale * y, spread, value.seeds))
    return table_of(("row", "offset", f"{column.key} ({column.unit})", "std over seeds", "n_seeds"), lines)


def cost_figures(table: ResultTable) -> list[Figure]:
    """Published and measured cost of each row on one axis; nothing where neither is known."""
    lines = [line for line in table.lines if COST in line.published or COST in line.measured]
    if not lines:
        return []
    what = "Published and measured GFLOPs of each row" if table.published_cost else "Measured GFLOPs of each row"
    height, left = 46 + 21 * len(lines), 120.75
    rows = [(line.label, _value(line.published.get(COST)), _value(line.measured.get(COST))) for line in lines]
    most = max(cost for _, *costs in rows for cost in costs if cost is not None)
    with canvas_of(350, height) as canvas:
        chart = Chart(canvas, (left, 30, 217, height - 46), (0, 1.04 * most or 1.0), (len(lines) - 0.4, -0.6))
        chart.ground("GFLOPs a frame", ticks_in(*chart.across, 7), rules=True)
        for y, (label, published, measured) in enumerate(rows):
            chart.line(chart.across, (y, y), color=RULE, linewidth=0.6, zorder=0)
            chart.text(left - 6, chart.y(y), label, ha="right", va="center_baseline")
            if published is not None:
                chart.line([published], [y], marker="o", markersize=7.5, mfc="none", mec=INK, mew=1.1, zorder=2)
            if measured is not None:
                chart.line([measured], [y], marker="o", markersize=3.6, color=SERIES[0], zorder=3)
        return [finish(canvas, "cost", what, table_of(("row", "published GFLOPs", "measured GFLOPs"), rows))]


def _value(cell: Cell | None) -> float | None:
    return None if cell is None else cell.value
