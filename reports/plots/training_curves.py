"""Training curves: the losses of one training by step, one small plot a loss.

There are as many of these as trainings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Canvas

from reports.csv_text import csv_text
from reports.plots.chart import Chart, ticks_around
from reports.plots.drawing import SERIES, Figure, canvas_of, finish

_WIDTH, _HEIGHT = 230.0, 150.0  # points, of one plot
_LEFT, _RIGHT, _BOTTOM, _TOP = 38.0, 14.0, 34.0, 30.0
_BESIDE = 3  # plots in a row


def curve_figure(curve: Sequence[Mapping[str, float]]) -> Figure | None:
    """The plot of a training record's `curve`: what was logged at each step. None where nothing was."""
    names = [name for name in dict.fromkeys(name for entry in curve for name in entry) if name != "step"]
    if len(curve) < 2 or not names:
        return None
    names.sort(key=lambda name: name.startswith("weight_"))
    data = csv_text(("step", *names), [(int(entry["step"]), *(entry.get(name) for name in names)) for entry in curve])
    rows = -(-len(names) // _BESIDE)
    width, height = _WIDTH * min(_BESIDE, len(names)), _HEIGHT * rows
    with canvas_of(width, height) as canvas:
        for place, name in enumerate(names):
            points = [(float(e["step"]), float(e[name])) for e in curve if math.isfinite(e.get(name, math.nan))]
            left, bottom = _WIDTH * (place % _BESIDE), _HEIGHT * (rows - 1 - place // _BESIDE)
            _draw(canvas, points, _title(name), (left, bottom), SERIES[place % len(SERIES)])
        return finish(canvas, "curves", f"By training step: {', '.join(map(_title, names))}", data)


def _draw(
    canvas: Canvas, points: Sequence[tuple[float, float]], title: str, corner: tuple[float, float], colour: str
) -> None:
    """One loss, in the part of the canvas that begins at the lower left `corner`."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_ticks, y_ticks = (ticks_around(min(v), max(v), n) for v, n in ((xs, 3), (ys, 4))) if points else ([0.0, 1.0],) * 2
    box = (corner[0] + _LEFT, corner[1] + _BOTTOM, _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM - _TOP)
    chart = Chart(canvas, box, (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    chart.text(corner[0], corner[1] + _HEIGHT - 12, title, weight="bold", size=9)
    if points:
        chart.y_axis(y_ticks)
        chart.x_axis("step", x_ticks, rules=False)
        chart.line(xs, ys, color=colour, linewidth=1.3)


def _title(name: str) -> str:
    if name.startswith("weight_"):
        return f"Weight of {name.removeprefix('weight_')}"
    if name == "mimicry_accuracy":
        return "Discriminator: share told rightly"
    return f"{name.replace('_', ' ').capitalize()} loss"
