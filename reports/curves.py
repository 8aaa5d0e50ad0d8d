"""Training curves: the losses of one training by step, one small plot a loss.

There are as many of these as trainings, so they are drawn as few lines and words, without matplotlib's axes: ten times
as fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.drawing import INK, MUTED, RULE, SERIES, Figure, canvas_of, finish, table_of

_WIDTH, _HEIGHT = 230.0, 150.0  # points, of one plot
_LEFT, _RIGHT, _BOTTOM, _TOP = 38.0, 14.0, 34.0, 30.0
_SIZE = 8.0  # of the numbers
_BESIDE = 3  # plots in a row


def curve_figure(curve: Sequence[Mapping[str, float]]) -> Figure | None:
    """The plot of a training record's `curve`: what was logged at each step. None where nothing was."""
    names = [name for name in dict.fromkeys(name for entry in curve for name in entry) if name != "step"]
    if len(curve) < 2 or not names:
        return None
    names.sort(key=lambda name: name.startswith("weight_"))
    data = table_of(("step", *names), [(int(entry["step"]), *(entry.get(name) for name in names)) for entry in curve])
    rows = -(-len(names) // _BESIDE)
    width, height = _WIDTH * min(_BESIDE, len(names)), _HEIGHT * rows
    with canvas_of(width, height) as canvas:
        for place, name in enumerate(names):
            points = [(float(e["step"]), float(e[name])) for e in curve if math.isfinite(e.get(name, math.nan))]
            left, bottom = _WIDTH * (place % _BESIDE), _HEIGHT * (rows - 1 - place // _BESIDE)
            top = (bottom + _HEIGHT - 12) / height
            canvas.text(left / width, top, _title(name), weight="bold", size=9, color=INK)
            if points:
                _plot(canvas, points, (left, bottom, width, height), SERIES[place % len(SERIES)])
        return finish(canvas, "curves", f"Losses by training step: {', '.join(map(_title, names))}", data)


def _plot(
    canvas: Canvas, points: Sequence[tuple[float, float]], part: tuple[float, float, float, float], colour: str
) -> None:
    """One line over its grid, in the part of the canvas that begins at (left, bottom); its (width, height) follow."""
    left, bottom, width, height = part
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, up = _ticks(min(xs), max(xs), 3), _ticks(min(ys), max(ys), 4)

    def at(x: float, y: float, right: float = 0.0, lower: float = 0.0) -> tuple[float, float]:
        to_right = _LEFT + (x - across[0]) / (across[-1] - across[0]) * (_WIDTH - _LEFT - _RIGHT)
        to_top = _BOTTOM + (y - up[0]) / (up[-1] - up[0]) * (_HEIGHT - _BOTTOM - _TOP)
        return (left + to_right + right) / width, (bottom + to_top - lower) / height

    for y in up:
        ends = at(across[0], y), at(across[-1], y)
        rule = MUTED if y == up[0] else RULE
        canvas.add_artist(Line2D(*zip(*ends, strict=True), color=rule, linewidth=0.6))
        canvas.text(*at(across[0], y, right=-5), f"{y:.6g}", ha="right", va="center", size=_SIZE, color=MUTED)
    for x in across:
        canvas.text(*at(x, up[0], lower=12), f"{x:.6g}", ha="center", size=_SIZE, color=MUTED)
    middle = (across[0] + across[-1]) / 2
    canvas.text(*at(middle, up[0], lower=25), "step", ha="center", size=9, color=MUTED)
    canvas.add_artist(Line2D(*zip(*(at(x, y) for x, y in points), strict=True), color=colour, linewidth=1.3))


def _ticks(low: float, high: float, parts: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`, which may be the same."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [float(tick) for tick in MaxNLocator(parts).tick_values(low, high)]


def _title(name: str) -> str:
    if name.startswith("weight_"):
        return f"Weight of {name.removeprefix('weight_')}"
    return f"{name.replace('_', ' ').capitalize()} loss"
