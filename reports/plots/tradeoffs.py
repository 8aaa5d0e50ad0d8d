"""Plots of accuracy over cost with the Pareto front; published and measured numbers in plots of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.plots.drawing import Figure, table_of
from reports.plots.scatter import NAMED, Point, pareto, scatter
from reports.tables.table import COST, Cell, Column, ResultTable


def tradeoff_figures(table: ResultTable) -> list[Figure]:
    """For the first metric of each task: measured accuracy over measured GFLOPs, then the published ones likewise.

    Only plots with two rows or more. A row has the same number in all of them.
    """
    first = {c.task: c for c in reversed(table.headline)}
    columns = [c for c in table.headline if first[c.task] is c]
    rows = [line for line in table.lines if not line.constant]
    figures = []
    for what in ("measured", "published"):
        for column in columns:
            points = []
            for number, line in enumerate(rows, 1):
                place = number if len(rows) > NAMED else None
                point = _point(line.label, getattr(line, what), column.key, what, place)
                points += [] if point is None else [point]
            if len(points) > 1:
                figures.append(_figure(column, points, what))
    return figures


def _point(label: str, cells: Mapping[str, Cell], key: str, what: str, number: int | None) -> Point | None:
    cost, accuracy = cells.get(COST, Cell()), cells.get(key, Cell())
    if cost.value is None or accuracy.value is None:
        return None
    measured, printed = (cost.value, None) if what == "measured" else (None, cost.value)
    return Point(label, accuracy.value, measured, printed, accuracy.std, number)


def _figure(column: Column, points: Sequence[Point], what: str) -> Figure:
    higher = column.better == "higher"
    front = pareto(points, higher=higher)
    header = (
        "row",
        f"{what} GFLOPs",
        f"{what} {column.key} ({column.unit})",
        "std over seeds",
        "on the Pareto front",
    )
    lines = [(p.label, p.cost, p.y, p.std, "yes" if p in front else "no") for p in points]
    return scatter(
        f"tradeoff-{column.key.replace('_', '-')}-{what}",
        points,
        higher=higher,
        heads=(
            f"{what.capitalize()}. {column.short_task}: {column.label}, {column.unit}",
            f"{column.better} is better {column.arrow}, fewer GFLOPs are better ←",
        ),
        across="GFLOPs a frame",
        said=f"{what.capitalize()} {column.label} of {column.task} over GFLOPs, with the Pareto front",
        data=table_of(header, lines),
    )
