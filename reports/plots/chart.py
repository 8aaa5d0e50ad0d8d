"""Axes of a plot as few lines and words, without matplotlib's own axes: many times as fast to draw.

Lengths and places are in points (1/72 inch) from the canvas's lower left corner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import IdentityTransform

from mila.common.visible import visible
from reports.plots.drawing import INK, LABEL, MUTED, RULE

Place = tuple[float, float]

_POINTS = IdentityTransform()
_TICK = 3.5
_ROUND = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Chart:
    """The part of a canvas where data are drawn.

    Attributes:
        canvas: 72 dots an inch.
        box: left, bottom, width, height.
        x_range, y_range: the least and the largest value on each axis; the first of them may be the larger one.
    """

    canvas: Canvas
    box: tuple[float, float, float, float]
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Where a value lies."""
        return self.box[0] + (value - self.x_range[0]) / (self.x_range[1] - self.x_range[0]) * self.box[2]

    def y(self, value: float) -> float:
        """Where a value lies."""
        return self.box[1] + (value - self.y_range[0]) / (self.y_range[1] - self.y_range[0]) * self.box[3]

    def line(self, xs: Iterable[float], ys: Iterable[float], **style: Any) -> None:
        """A line, or markers, through values; not-a-number interrupts it."""
        self._line([self.x(v) for v in xs], [self.y(v) for v in ys], **style)

    def error_bars(self, xs: Sequence[float], ys: Sequence[float], errors: Sequence[float], colour: str) -> None:
        """From `y - error` to `y + error` at each x."""
        ends = [v for y, e in zip(ys, errors, strict=True) for v in (y - e, y + e, math.nan)]
        self.line([v for x in xs for v in (x, x, math.nan)], ends, color=colour, linewidth=0.8)

    def bar(self, start: float, end: float, middle: float, thick: float, colour: str) -> None:
        """A horizontal bar between two values, `thick` points high."""
        left, right = self.x(start), self.x(end)
        corner = (left, self.y(middle) - thick / 2)
        self.canvas.add_artist(Rectangle(corner, right - left, thick, facecolor=colour, linewidth=0, transform=_POINTS))

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Words at a place in points."""
        self.canvas.text(x, y, visible(text), transform=_POINTS, **style)

    def titles(self, title: str, below: str) -> None:
        """The two lines at the top of the canvas."""
        top = 72 * self.canvas.get_size_inches()[1]
        self.text(0, top - 13, title, weight="bold", size=9.5)
        self.text(0, top - 27, below, color=MUTED, size=LABEL)

    def y_axis(self, ticks: Sequence[float]) -> None:
        """The y axis: horizontal rules with their numbers on the left."""
        left, _, width, _ = self.box
        for y, text in zip(ticks, numbers(ticks), strict=True):
            self.text(left - 5, self.y(y), text, color=MUTED, ha="right", va="center_baseline")
        self._segments([((left, self.y(y)), (left + width, self.y(y))) for y in ticks], RULE)

    def x_axis(self, name: str, ticks: Sequence[float], labels: Sequence[str] | None = None, *, rules: bool) -> None:
        """The x axis at the lower edge, with its name and ticks.

        Args:
            name: what is on the axis.
            ticks: values.
            labels: words in place of the numbers.
            rules: whether vertical rules take the ticks' place.
        """
        left, bottom, width, height = self.box
        colour = MUTED if labels is None else INK
        for x, text in zip(ticks, labels or numbers(ticks), strict=True):
            self.text(self.x(x), bottom - _TICK - 3, text, color=colour, ha="center", va="top")
        low, high = (bottom, bottom + height) if rules else (bottom - _TICK, bottom)
        self._segments([((self.x(x), low), (self.x(x), high)) for x in ticks], RULE if rules else MUTED)
        self._segments([((left, bottom), (left + width, bottom))], MUTED)
        self.text(left + width / 2, bottom - 28, name, color=MUTED, ha="center")

    def name_ends(self, labels: Sequence[tuple[float, str, str]], tick: float) -> None:
        """Name each line, (y, name, colour), `tick` points right of the axes; apart where names would overlap."""
        left, bottom, width, height = self.box
        right = left + width
        known = [label for label in labels if math.isfinite(label[0])]
        shares = [(self.y(y) - bottom) / height for y, _, _ in known]
        for share, place, (_, text, colour) in zip(shares, spread(shares, 0.07), known, strict=True):
            y = bottom + place * height
            self.text(right + tick, y, text, color=colour, size=LABEL, va="center_baseline")
            self.leader((right + 1, bottom + share * height), (right + tick - 2, y), colour)

    def leader(self, start: Place, end: Place, colour: str) -> None:
        """A thin line between what is named and its name."""
        self._segments([(start, end)], colour, 0.5)

    def _segments(self, ends: Sequence[tuple[Place, Place]], colour: str, linewidth: float = 0.6) -> None:
        xs = [v for (x1, _), (x2, _) in ends for v in (x1, x2, math.nan)]
        ys = [v for (_, y1), (_, y2) in ends for v in (y1, y2, math.nan)]
        self._line(xs, ys, color=colour, linewidth=linewidth, zorder=0)

    def _line(self, xs: Sequence[float], ys: Sequence[float], **style: Any) -> None:
        self.canvas.add_artist(Line2D(xs, ys, transform=_POINTS, **style))


def limits(values: Iterable[float], margin: float) -> tuple[float, float]:
    """The least and the largest of the finite ones, and a share `margin` of their distance beyond both."""
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    beyond = margin * (high - low) or 0.05 * abs(high) or 0.5
    return low - beyond, high + beyond


def ticks_in(low: float, high: float, parts: int) -> list[float]:
    """Round numbers from `low` to `high`, about `parts` + 1 of them."""
    slack = 1e-9 * (high - low)
    return [tick for tick in ticks_around(low, high, parts) if low - slack <= tick <= high + slack]


def ticks_around(low: float, high: float, parts: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`, which may be the same."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [float(tick) for tick in MaxNLocator(parts, steps=_ROUND).tick_values(low, high)]


def numbers(ticks: Sequence[float]) -> list[str]:
    """Ticks in words, all with as many digits behind the point as one of them needs."""
    digits = max((len(f"{tick:.6g}".partition(".")[2]) for tick in ticks), default=0)
    return [f"{tick:.{digits}f}".replace("-", "−") if abs(tick) < 1e6 else f"{tick:.6g}" for tick in ticks]


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Positions near `values` that keep their order and are at least `gap` apart."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups: list[tuple[float, int]] = []  # (centre, members): neighbours that touch become one group
    for i in order:
        groups.append((values[i], 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            (c2, n2), (c1, n1) = groups.pop(), groups.pop()
            groups.append(((c1 * n1 + c2 * n2) / (n1 + n2), n1 + n2))
    places = [c + gap * (k - (n - 1) / 2) for c, n in groups for k in range(n)]
    result = [0.0] * len(values)
    for i, place in zip(order, places, strict=True):
        result[i] = place
    return result
