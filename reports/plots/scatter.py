"""Rows of a table as points of accuracy over cost, with the Pareto front and labels that do not cover each other.

Rows are named beside their points; where they are many, a number stands there and the names are listed below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reports.plots.chart import Chart, limits, ticks_in
from reports.plots.drawing import INK, LABEL, MUTED, SERIES, Figure, canvas_of, finish, width_of

Box = tuple[float, float, float, float]
"""Left, bottom, right, top; points of 1/72 inch."""

NAMED = 6
"""Rows that are named beside their points; more than these are numbered."""

_WIDTH, _PLOT = 330.0, 168.0  # points; the height of the axes alone
_LEFT, _RIGHT, _BOTTOM, _TOP = 36.0, 12.0, 38.0, 44.0
_TEXT, _LINE = 10.0, 13.0  # heights of a label and of a line of the list
_STEP = 4.0  # between the places of the front's line that labels keep clear of
_FAR = np.array([0.0, 4, 9, 15, 23, 34, 48, 66, 88])  # from a point's edge to its label's
_ANGLES = np.linspace(0, 2 * np.pi, 16, endpoint=False)


@dataclass(frozen=True)
class Point:
    """A row.

    Attributes:
        label: its name.
        y: accuracy in the printed unit.
        x: cost, counted or timed here, drawn solid; None where it is not.
        printed: cost as the paper prints it, drawn hollow; None where it prints none.
        std: standard deviation of y over seeds; None where there is none.
        number: stands for the name beside the point; None where the name itself does.
        ours: whether it is drawn in the colour of the paper's own method.
    """

    label: str
    y: float
    x: float | None = None
    printed: float | None = None
    std: float | None = None
    number: int | None = None
    ours: bool = False

    @property
    def cost(self) -> float:
        """Where the label and the front go: the cost found here, else the printed one; one of them there must be."""
        cost = self.printed if self.x is None else self.x
        if cost is None:
            raise ValueError(f"{self.label} has no cost")
        return cost


def pareto(points: Sequence[Point], *, higher: bool) -> list[Point]:
    """The points that no other is better than at the same or a lower cost, from the cheapest on."""
    sign = 1 if higher else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -sign * p.y)):
        last = front[-1] if front else None
        if last is None or sign * point.y > sign * last.y or (point.cost, point.y) == (last.cost, last.y):
            front.append(point)
    return front


def scatter(
    name: str,
    points: Sequence[Point],
    *,
    higher: bool,
    titles: tuple[str, str],
    x_label: str,
    description: str,
    data: str,
) -> Figure:
    """The plot.

    Args:
        name: see `Figure`, as for `description` and `data`.
        points: at least one.
        higher: whether a higher y is better.
        titles: title and the line below it.
        x_label: what is on the x axis.
        description: what it shows.
        data: CSV text.
    """
    front = pareto(points, higher=higher)
    listed = [p for p in points if p.number is not None]
    lines = (len(listed) + 1) // 2
    height = _TOP + _PLOT + _BOTTOM + (8 + _LINE * lines if lines else 0)
    low, high = limits([p.y + d for p in points for d in (-(p.std or 0.0), p.std or 0.0)], 0.14)
    most = max(cost for p in points for cost in (p.x, p.printed) if cost is not None)
    with canvas_of(_WIDTH, height) as canvas:
        box = (_LEFT, height - _TOP - _PLOT, _WIDTH - _LEFT - _RIGHT, _PLOT)
        chart = Chart(canvas, box, (0.0, 1.08 * most or 1.0), (low, high))
        chart.titles(*titles)
        chart.y_axis(ticks_in(low, high, 7))
        chart.x_axis(x_label, ticks_in(*chart.x_range, 7), rules=True)
        chart.line([p.cost for p in front], [p.y for p in front], color=MUTED, linewidth=1.0, zorder=1)
        for p in points:
            colour = _colour(p)
            if p.printed is not None:
                chart.line([p.printed], [p.y], marker="o", markersize=7, mfc="none", mec=colour, mew=1.1, zorder=3)
            if p.printed is not None and p.x is not None:
                chart.line([p.printed, p.x], [p.y, p.y], color=colour, linewidth=0.8, zorder=2)
            if p.x is not None:
                chart.error_bars([p.x], [p.y], [p.std or 0.0], colour)
                chart.line([p.x], [p.y], marker="o", markersize=4.5, color=colour, zorder=4)
        _label(chart, points, front)
        for i, p in enumerate(listed):
            x, y = (i // lines) * _WIDTH / 2, _LINE * (lines - i % lines) - 9
            chart.text(x + 13, y, str(p.number), size=LABEL, weight="bold", ha="right")
            chart.text(x + 18, y, p.label, size=LABEL, color=_colour(p) if p.ours else INK)
        return finish(canvas, name, description, data)


def _colour(point: Point) -> str:
    return SERIES[1] if point.ours else SERIES[0] if point.x is not None else INK


def _label(chart: Chart, points: Sequence[Point], front: Sequence[Point]) -> None:
    left, bottom, *size = chart.box

    def inside(x: float, y: float) -> tuple[float, float]:
        return chart.x(x) - left, chart.y(y) - bottom

    places = [inside(p.cost, p.y) for p in points]
    dots = [*places, *(inside(p.printed, p.y) for p in points if p.printed is not None)]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    for p, (x, _) in zip(points, places, strict=True):
        if p.std:
            taken.append((x - 1, chart.y(p.y - p.std) - bottom, x + 1, chart.y(p.y + p.std) - bottom))
    for before, after in pairwise(inside(p.cost, p.y) for p in front):
        steps = np.linspace(before, after, 2 + int(np.hypot(*np.subtract(after, before)) / _STEP))[1:-1]
        taken += [(x - 2, y - 2, x + 2, y + 2) for x, y in steps.tolist()]
    texts = [p.label if p.number is None else str(p.number) for p in points]
    boxes = place_labels(places, [width_of(text) for text in texts], taken, (size[0], size[1]))
    for p, text, (x, y), box in zip(points, texts, places, boxes, strict=True):
        middle = left + (box[0] + box[2]) / 2, bottom + (box[1] + box[3]) / 2
        weight = "normal" if p.number is None else "bold"
        chart.text(*middle, text, size=LABEL, weight=weight, ha="center", va="center_baseline")
        edge = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])  # of the label, where the point is nearest
        apart = np.subtract((x, y), edge)
        far = float(np.hypot(*apart))
        if far > 7:
            end = edge + apart * (1 - 3 / far)
            chart.leader((left + edge[0], bottom + edge[1]), (left + end[0], bottom + end[1]), MUTED)


def place_labels(
    points: Sequence[tuple[float, float]], widths: Sequence[float], taken: Sequence[Box], size: tuple[float, float]
) -> list[Box]:
    """A box near each point for its label: the first aim is that no two boxes overlap, then that they stay inside.

    After those they cover little of what is drawn, and lie near.

    Args:
        points: (x, y) in points from the lower left corner of the axes.
        widths: of the labels.
        taken: what is drawn, as boxes.
        size: (width, height) of the axes.
    """
    drawn = np.array(taken, dtype=float).reshape(-1, 4)
    labels = np.empty((0, 4))
    for (x, y), width in zip(points, widths, strict=True):
        far, angle = (grid.ravel() for grid in np.meshgrid(_FAR, _ANGLES, indexing="ij"))
        half = np.array([width / 2 + 1, _TEXT / 2])
        away = half + 5 + far[:, None]
        middle = np.array([x, y]) + away * np.stack([np.cos(angle), np.sin(angle)], 1)
        boxes = np.concatenate([middle - half, middle + half], 1)
        beyond = np.clip(-boxes[:, :2], 0, None) + np.clip(boxes[:, 2:] - size, 0, None)
        covered = _overlap(boxes, drawn)
        price = 1e6 * _overlap(boxes, labels) + 1e3 * beyond.sum(1) + covered + 1.5 * far
        labels = np.concatenate([labels, boxes[price.argmin()][None]])
    return [(box[0], box[1], box[2], box[3]) for box in labels.tolist()]


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area that each of the first boxes shares with all of the second ones together."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    area: NDArray[np.float64] = np.clip(high - low, 0, None).prod(2).sum(1)
    return area
