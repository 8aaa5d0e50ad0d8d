"""Plots of where a table's models spend their operations: stacked bars by part, keyframes and other frames apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.costs.values import RowSplit
from mila.video_model import Part
from reports.csv_text import csv_text
from reports.plots.chart import Chart, ticks_in
from reports.plots.drawing import INK, LABEL, MUTED, PAGE, SERIES, Figure, canvas_of, finish, width_of

_WIDTH = 480.0  # points, as all lengths
_TOP, _BOTTOM, _NAMES, _RIGHT = 62.0, 36.0, 118.0, 38.0
_BAR, _THIN, _GAP = 12.0, 5.0, 8.0
_SMALL = 7.5

PARTS: dict[Part, str] = {
    "encoder": SERIES[0],
    "propagation": SERIES[1],
    "fusion": SERIES[3],
    "decoders": SERIES[2],
    "other": SERIES[4],
}
"""Parts of a model in the order in which a frame passes them, and their colours."""

_BESIDE: dict[str, Any] = {"ha": "right", "va": "center_baseline"}
_NAMES_OF = {"other": "task-specific layers (MTAN, Cross-Stitch)"}
_FRAMES = {"average": "average", "keyframe": "keyframe", "non_keyframe": "other frames"}


def split_figure(name: str, title: str, rows: Sequence[RowSplit]) -> Figure:
    """A bar a model: GFLOPs of its average frame by part, and below it, where there are two kinds, of each kind.

    Args:
        name: see `Figure`.
        title: of the table.
        rows: its models.
    """
    parts = [part for part in PARTS if any(_giga(row, part, "keyframe") or _giga(row, part, "average") for row in rows)]
    heights = [_BAR + _GAP + (2 * (_THIN + 5) if row.interval > 1 else 0) for row in rows]
    height = _TOP + sum(heights) + _BOTTOM
    most = max(max(row.cost.keyframe, row.cost.non_keyframe) for row in rows) / 1e9
    with canvas_of(_WIDTH, height) as canvas:
        box = (_NAMES, _BOTTOM, _WIDTH - _NAMES - _RIGHT, sum(heights))
        chart = Chart(canvas, box, (0.0, most), (sum(heights), 0.0))
        chart.titles(title, "fewer are better ←")
        chart.x_axis("GFLOPs a frame", ticks_in(0.0, most, 8), rules=True)
        top = 0.0
        for row, room in zip(rows, heights, strict=True):
            middle = top + _GAP / 2 + _BAR / 2
            _bar(chart, row, parts, "average", middle, _BAR)
            chart.text(_NAMES - 8, chart.y(middle), row.label, size=9, **_BESIDE)
            if row.interval > 1:
                for i, frames in enumerate(("keyframe", "non_keyframe")):
                    at = middle + _BAR / 2 + 7 + i * (_THIN + 5)
                    _bar(chart, row, parts, frames, at, _THIN)
                    chart.text(_NAMES - 8, chart.y(at), _FRAMES[frames], color=MUTED, size=_SMALL, **_BESIDE)
            top += room
        place = 0.0
        for part in parts:
            chart.text(place, height - 48, "■", color=PARTS[part], size=11)
            name_of_part = _NAMES_OF.get(part, part)
            chart.text(place + 12, height - 48, name_of_part, size=LABEL)
            place += 12 + width_of(name_of_part) + 18
        header = ("row", "K", "frames", *(f"{part} (GFLOPs)" for part in parts), "whole (GFLOPs)")
        lines = [
            (
                row.label,
                row.interval,
                _FRAMES[frames],
                *(_giga(row, part, frames) for part in parts),
                _whole(row, frames),
            )
            for row in rows
            for frames in (_FRAMES if row.interval > 1 else ("average",))
        ]
        return finish(canvas, name, f"{title}: GFLOPs a frame by part of the model", csv_text(header, lines))


def _bar(chart: Chart, row: RowSplit, parts: Sequence[Part], frames: str, middle: float, thick: float) -> None:
    """One bar, and its sum at its end."""
    left = 0.0
    main = frames == "average"
    for part in parts:
        value = _giga(row, part, frames)
        chart.bar(left, left + value, middle, thick, PARTS[part])
        text = f"{value:.1f}"
        if main and chart.x(value) - chart.x(0) > width_of(text) + 4:
            inside: dict[str, Any] = {"color": PAGE, "size": _SMALL, "ha": "center", "va": "center_baseline"}
            chart.text(chart.x(left + value / 2), chart.y(middle), text, **inside)
        left += value
    chart.text(
        chart.x(left) + 4,
        chart.y(middle),
        f"{left:.1f}",
        color=INK if main else MUTED,
        size=LABEL if main else _SMALL,
        weight="bold" if main else "normal",
        va="center_baseline",
    )


def _giga(row: RowSplit, part: Part, frames: str) -> float:
    share = row.cost.parts.get(part)
    return 0.0 if share is None else float(getattr(share, frames)) / 1e9


def _whole(row: RowSplit, frames: str) -> float:
    return float(getattr(row.cost, frames)) / 1e9
