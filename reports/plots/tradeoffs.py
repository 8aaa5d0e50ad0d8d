"""Plots of accuracy over cost with the Pareto front; published and measured numbers in plots of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.csv_text import csv_text
from reports.plots.drawing import DrawnPlots, Figure
from reports.plots.scatter import NAMED, Point, pareto, scatter
from reports.tables.table import COST, Cell, Column, ResultTable


def tradeoff_figures(table: ResultTable, drawn: DrawnPlots) -> list[Figure]:
    """For the main metric of each task and their average: measured accuracy over measured GFLOPs, then published.

    Only plots with two rows or more. A row has the same number in all of them. What was `drawn` before is taken.
    """
    rows = [line for line in table.lines if not line.constant]
    figures = []
    for what in ("measured", "published"):
        for column in (*table.main_columns, *table.delta_columns):
            points = []
            for number, line in enumerate(rows, 1):
                place = number if len(rows) > NAMED else None
                point = _point(line.label, getattr(line, what), column.key, what, place)
                points += [] if point is None else [point]
            if len(points) > 1:
                figures.append(_figure(column, points, what, drawn))
    return figures


def _point(label: str, cells: Mapping[str, Cell], key: str, what: str, number: int | None) -> Point | None:
    cost, accuracy = cells.get(COST, Cell()), cells.get(key, Cell())
    if cost.value is None or accuracy.value is None:
        return None
    measured, printed = (cost.value, None) if what == "measured" else (None, cost.value)
    return Point(label, accuracy.value, measured, printed, accuracy.std, number)


def _figure(column: Column, points: Sequence[Point], what: str, drawn: DrawnPlots) -> Figure:
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
    return drawn.take_or_draw(
        scatter,
        f"tradeoff-{column.key.replace('_', '-')}-{what}",
        points,
        higher=higher,
        titles=(
            f"{what.capitalize()}. {column.short_task}: {column.label}, {column.unit}",
            f"{column.better} is better {column.arrow}, fewer GFLOPs are better ←",
        ),
        x_label="GFLOPs a frame",
        description=f"{what.capitalize()} {column.label} of {column.task} over GFLOPs, with the Pareto front",
        data=csv_text(header, lines),
    )
