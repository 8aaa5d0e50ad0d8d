"""The plots of a table's page: accuracy by keyframe offset, and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from experiments.results import RowResult
from reports.csv_text import csv_text
from reports.plots.chart import Chart, limits, ticks_in
from reports.plots.drawing import INK, MARKERS, MUTED, RULE, SERIES, DrawnPlots, Figure, canvas_of, finish, width_of
from reports.tables.table import COST, Cell, Column, ResultTable

_LEFT, _TICK = 33.0, 9.0
_APART = _TICK + 4
"""Between the axes and the names, with what a viewer's letters may be wider."""


def offset_figures(table: ResultTable, results: Sequence[RowResult], drawn: DrawnPlots) -> list[Figure]:
    """For the main metric of each task: every video method at each keyframe offset, the others as reference lines.

    None where no finished row has several offsets. What was `drawn` before is taken.
    """
    if not any(r.plan.is_video and r.values for r in results):
        return []
    return [_offset_figure(c, results, drawn) for c in table.main_columns]


class _Series(NamedTuple):
    """A row, in the printed unit.

    Attributes:
        place: among the video methods, finished or not, so that each keeps its colour; None for a network that treats
            every frame alike.
        ys, stds: by offset, or one for every frame.
    """

    label: str
    place: int | None
    ys: tuple[float, ...]
    stds: tuple[float, ...] | None
    seeds: int


def _offset_figure(column: Column, results: Sequence[RowResult], drawn: DrawnPlots) -> Figure:
    videos = [r.plan.label for r in results if r.plan.is_video]
    series = []
    for result in results:
        value = result.values.get(column.key)
        if value is None or result.plan.is_constant:
            continue
        place = videos.index(result.plan.label) if result.plan.is_video else None
        stds = None if value.by_offset_std is None else tuple(column.scale * y for y in value.by_offset_std)
        ys = tuple(column.scale * y for y in value.by_offset)
        series.append(_Series(result.plan.label, place, ys, stds, value.seeds))
    return drawn.take_or_draw(_draw_offsets, column, tuple(series), len(videos))


def _draw_offsets(column: Column, series: tuple[_Series, ...], videos: int) -> Figure:
    names = max((width_of(row.label) for row in series), default=0.0)
    width = max(330.0, _LEFT + _APART + names + 220)
    steps = max((len(row.ys) for row in series if row.place is not None), default=1)
    reached = [
        y + d
        for row in series
        for y, std in zip(row.ys, row.stds or (0,) * len(row.ys), strict=True)
        for d in (-std, std)
    ]
    with canvas_of(width, 240) as canvas:
        box = (_LEFT, 40.0, width - _LEFT - _APART - names, 162.0)
        chart = Chart(canvas, box, (-0.25, steps - 0.75), limits(reached, 0.08))
        chart.titles(f"{column.short_task}: {column.label}, {column.unit}", f"{column.better} is better {column.arrow}")
        chart.y_axis(ticks_in(*chart.y_range, 6))
        chart.x_axis("keyframe offset, frames", range(steps), rules=False)
        labels: list[tuple[float, str, str]] = []
        for row in series:
            if row.place is None:
                style = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 1}
                chart.line(chart.x_range, (row.ys[0],) * 2, **style)
                labels.append((row.ys[0], row.label, MUTED))
                continue
            colour, marker = SERIES[row.place % len(SERIES)], MARKERS[row.place % len(MARKERS)]
            # Side by side, so that the error bars of several seeds can be told apart.
            shift = 0.05 * (row.place - (videos - 1) / 2) if row.stds else 0.0
            xs = [x + shift for x in range(len(row.ys))]
            if row.stds:
                chart.error_bars(xs, row.ys, row.stds, colour)
            chart.line(xs, row.ys, color=colour, marker=marker, markersize=4.2, linewidth=1.5, zorder=3)
            labels.append((row.ys[-1], row.label, colour))
        chart.name_ends(labels, _TICK)
        name = f"offset-{column.key.replace('_', '-')}"
        description = f"{column.label} of {column.task} by keyframe offset"
        return finish(canvas, name, description, _offset_data(column, series))


def _offset_data(column: Column, series: Sequence[_Series]) -> str:
    lines: list[tuple[object, ...]] = []
    for row in series:
        for offset, (y, std) in enumerate(zip(row.ys, row.stds or (None,) * len(row.ys), strict=True)):
            lines.append((row.label, "every frame" if row.place is None else offset, y, std, row.seeds))
    return csv_text(("row", "offset", f"{column.key} ({column.unit})", "std over seeds", "n_seeds"), lines)


def cost_figures(table: ResultTable, drawn: DrawnPlots) -> list[Figure]:
    """Published and measured cost of each row on one axis; nothing where neither is known; see `offset_figures`."""
    lines = [line for line in table.lines if COST in line.published or COST in line.measured]
    if not lines:
        return []
    what = "Published and measured GFLOPs of each row" if table.published_cost else "Measured GFLOPs of each row"
    rows = [(line.label, _value(line.published.get(COST)), _value(line.measured.get(COST))) for line in lines]
    return [drawn.take_or_draw(_draw_costs, what, rows)]


def _draw_costs(what: str, rows: Sequence[tuple[str, float | None, float | None]]) -> Figure:
    height, left = 46 + 21 * len(rows), 120.75
    most = max(cost for _, *costs in rows for cost in costs if cost is not None)
    with canvas_of(350, height) as canvas:
        chart = Chart(canvas, (left, 30, 217, height - 46), (0, 1.04 * most or 1.0), (len(rows) - 0.4, -0.6))
        chart.x_axis("GFLOPs a frame", ticks_in(*chart.x_range, 7), rules=True)
        for y, (label, published, measured) in enumerate(rows):
            chart.line(chart.x_range, (y, y), color=RULE, linewidth=0.6, zorder=0)
            chart.text(left - 6, chart.y(y), label, ha="right", va="center_baseline")
            if published is not None:
                chart.line([published], [y], marker="o", markersize=7.5, mfc="none", mec=INK, mew=1.1, zorder=2)
            if measured is not None:
                chart.line([measured], [y], marker="o", markersize=3.6, color=SERIES[0], zorder=3)
        return finish(canvas, "cost", what, csv_text(("row", "published GFLOPs", "measured GFLOPs"), rows))


def _value(cell: Cell | None) -> float | None:
    return None if cell is None else cell.value
