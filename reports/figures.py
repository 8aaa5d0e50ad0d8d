"""The plots of a table's page: accuracy by keyframe offset, and cost."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.collect import RowResult, Value
from experiments.plan import RowPlan
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
from reports.tables import COST, Cell, Column, ResultTable


def offset_figures(table: ResultTable, results: Sequence[RowResult]) -> list[Figure]:
    """For the first metric of each task: every video method at each keyframe offset, the others as reference lines.

    None where no finished row has several offsets.
    """
    if not any(r.plan.is_video and r.values for r in results):
        return []
    first = {c.task: c for c in reversed(table.headline)}
    return [_offset_figure(c, results) for c in table.headline if first[c.task] is c]


def _offset_figure(column: Column, results: Sequence[RowResult]) -> Figure:
    left, tick = 33.0, 9.0
    known: list[tuple[RowPlan, Value]] = [
        (r.plan, r.values[column.key]) for r in results if column.key in r.values and not r.plan.is_constant
    ]
    videos = [r.plan.label for r in results if r.plan.is_video]  # unfinished ones as well: each keeps its colour
    names = max((width_of(plan.label) for plan, _ in known), default=0.0)
    width = max(330.0, left + tick + names + 220)
    with canvas_of(width, 240) as canvas:
        axes = canvas.add_axes((left / width, 0.165, 1 - (left + tick + names) / width, 0.68))
        labels: list[tuple[float, str, str]] = []
        steps = 1
        for plan, value in known:
            if not plan.is_video:
                level = column.scale * value.mean
                axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
                labels.append((level, plan.label, MUTED))
                continue
            series = videos.index(plan.label)
            colour, marker = SERIES[series % len(SERIES)], MARKERS[series % len(MARKERS)]
            ys = [column.scale * y for y in value.by_offset]
            errors = None if value.by_offset_std is None else [column.scale * y for y in value.by_offset_std]
            # Side by side, so that the error bars of several seeds can be told apart.
            shift = 0.05 * (series - (len(videos) - 1) / 2) if errors else 0.0
            axes.errorbar(
                [x + shift for x in range(len(ys))],
                ys,
                errors,
                color=colour,
                marker=marker,
                markersize=4.2,
                linewidth=1.5,
                elinewidth=0.8,
                zorder=3,
            )
            labels.append((ys[-1], plan.label, colour))
            steps = max(steps, len(ys))
        axes.set_xlim(-0.25, steps - 1 + 0.25)
        axes.set_xticks(range(steps))
        axes.set_xlabel("keyframe offset, frames")
        plain(axes, "y")
        axes.margins(y=0.08)
        label_ends(axes, labels, tick / (width - left - tick - names))
        canvas.text(0.0, 0.95, f"{column.short_task}: {column.label}, {column.unit}", weight="bold", size=9.5)
        canvas.text(0.0, 0.895, f"{column.better} is better {column.arrow}", color=MUTED, size=8.5)
        name = f"offset-{column.key.replace('_', '-')}"
        said = f"{column.label} of {column.task} by keyframe offset"
        return finish(canvas, name, said, _offset_data(column, known))


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
    with canvas_of(350, 46 + 21 * len(lines)) as canvas:
        height = 46 + 21 * len(lines)
        axes = canvas.add_axes((0.345, 30 / height, 0.62, 1 - 46 / height))
        for y, line in enumerate(lines):
            published, measured = line.published.get(COST), line.measured.get(COST)
            if published is not None and published.value is not None:
                axes.plot(published.value, y, "o", markersize=7.5, mfc="none", mec=INK, mew=1.1, zorder=2)
            if measured is not None and measured.value is not None:
                axes.plot(measured.value, y, "o", markersize=3.6, color=SERIES[0], zorder=3)
        axes.set_yticks(range(len(lines)), [line.label for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("GFLOPs a frame")
        plain(axes, "both")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        data = [(line.label, *(_value(cells.get(COST)) for cells in (line.published, line.measured))) for line in lines]
        return [finish(canvas, "cost", what, table_of(("row", "published GFLOPs", "measured GFLOPs"), data))]


def _value(cell: Cell | None) -> float | None:
    return None if cell is None else cell.value
