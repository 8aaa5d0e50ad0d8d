"""Plots of accuracy over cost with the Pareto front; published and measured numbers in plots of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from matplotlib.axes import Axes

from reports.drawing import INK, LABEL, MUTED, SERIES, Figure, canvas_of, finish, plain, table_of, width_of
from reports.tables import COST, Cell, Column, ResultTable

_WIDTH, _HEIGHT = 330.0, 250.0  # points
_LEFT, _RIGHT, _BOTTOM, _TOP = 36.0, 12.0, 38.0, 44.0
_TEXT = 9.5  # height of a label, points
_PARTS = 24  # of a line of the front that labels keep clear of


@dataclass(frozen=True)
class Point:
    """A row: its cost in GFLOPs, its accuracy in the printed unit, and the standard deviation of that over seeds."""

    label: str
    cost: float
    accuracy: float
    std: float | None


def tradeoff_figures(table: ResultTable) -> list[Figure]:
    """For the first metric of each task: measured accuracy over measured GFLOPs, then the published ones likewise.

    Only plots with two rows or more.
    """
    first = {c.task: c for c in reversed(table.headline)}
    columns = [c for c in table.headline if first[c.task] is c]
    figures = []
    for what in ("measured", "published"):
        for column in columns:
            rows = [line for line in table.lines if not line.constant]
            points = [
                point for line in rows if (point := _point(line.label, getattr(line, what), column.key)) is not None
            ]
            if len(points) > 1:
                figures.append(_figure(column, points, what))
    return figures


def _point(label: str, cells: Mapping[str, Cell], key: str) -> Point | None:
    cost, accuracy = cells.get(COST, Cell()), cells.get(key, Cell())
    if cost.value is None or accuracy.value is None:
        return None
    return Point(label, cost.value, accuracy.value, accuracy.std)


def pareto(points: Sequence[Point], *, higher: bool) -> list[Point]:
    """The points that no other is better than at the same or a lower cost, from the cheapest on."""
    sign = 1 if higher else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -sign * p.accuracy)):
        if not front or sign * point.accuracy > sign * front[-1].accuracy:
            front.append(point)
    return front


def _figure(column: Column, points: Sequence[Point], what: str) -> Figure:
    front = pareto(points, higher=column.better == "higher")
    with canvas_of(_WIDTH, _HEIGHT) as canvas:
        across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM - _TOP
        axes = canvas.add_axes((_LEFT / _WIDTH, _BOTTOM / _HEIGHT, across / _WIDTH, up / _HEIGHT))
        axes.plot([p.cost for p in front], [p.accuracy for p in front], color=MUTED, linewidth=1.0, zorder=1)
        for p in points:
            colour = SERIES[0] if what == "measured" else INK
            face = colour if what == "measured" else "none"
            axes.errorbar(p.cost, p.accuracy, p.std, fmt="none", ecolor=colour, elinewidth=0.7, zorder=2)
            axes.plot(p.cost, p.accuracy, "o", markersize=5, mfc=face, mec=colour, mew=1.1, zorder=3)
        axes.margins(0.1, 0.12)
        axes.set_xlim(left=0)
        _label(axes, points, front, across, up)
        axes.set_xlabel("GFLOPs a frame")
        plain(axes, "both")
        title = f"{what.capitalize()}. {column.short_task}: {column.label}, {column.unit}"
        canvas.text(0.0, 0.95, title, weight="bold", size=9.5)
        canvas.text(
            0.0, 0.895, f"{column.better} is better {column.arrow}, fewer GFLOPs are better ←", color=MUTED, size=8.5
        )
        name = f"tradeoff-{column.key.replace('_', '-')}-{what}"
        header = (
            "row",
            f"{what} GFLOPs",
            f"{what} {column.key} ({column.unit})",
            "std over seeds",
            "on the Pareto front",
        )
        lines = [(p.label, p.cost, p.accuracy, p.std, "yes" if p in front else "no") for p in points]
        said = f"{what.capitalize()} {column.label} of {column.task} over GFLOPs, with the Pareto front"
        return finish(canvas, name, said, table_of(header, lines))


def _label(axes: Axes, points: Sequence[Point], front: Sequence[Point], across: float, up: float) -> None:
    """Name each point beside it, where the name covers the least of points, other names and the front."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    at = {p: ((p.cost - left) / (right - left) * across, (p.accuracy - low) / (high - low) * up) for p in points}
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in at.values()]
    for before, after in pairwise(front):
        (x0, y0), (x1, y1) = at[before], at[after]
        along = [(x0 + (x1 - x0) * i / _PARTS, y0 + (y1 - y0) * i / _PARTS) for i in range(1, _PARTS)]
        taken += [(x - 2, y - 2, x + 2, y + 2) for x, y in along]
    for p, (x, y) in at.items():
        width = width_of(p.label)
        places: list[tuple[float, int, tuple[float, float, float, float]]] = []
        for far, (dx, dy) in product((1, 2, 3), ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))):
            x0 = x + 6 if dx == 1 else x - 6 - width if dx == -1 else x - width / 2
            y0 = y - _TEXT / 2 + dy * far * (_TEXT if dx == 0 else 0.8 * _TEXT)
            box = (x0, y0, x0 + width, y0 + _TEXT)
            outside = max(0, -x0) + max(0, box[2] - across - _RIGHT) + max(0, -y0) + max(0, box[3] - up)
            cover = sum(_overlap(box, other) for other in taken)
            places.append((cover + _TEXT * outside + 2 * (far - 1), len(places), box))
        _, _, box = min(places)
        taken.append(box)
        axes.annotate(
            p.label,
            xy=(p.cost, p.accuracy),
            xytext=(box[0] / across, (box[1] + _TEXT / 2) / up),
            textcoords="axes fraction",
            size=LABEL,
            color=INK,
            va="center_baseline",
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
        )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
