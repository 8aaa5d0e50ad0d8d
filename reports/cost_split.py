"""Plots of where a table's models spend their operations: stacked bars by part, keyframes and other frames apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from experiments.cost_rows import RowSplit
from mila.video_model import Part
from reports.drawing import INK, LABEL, MUTED, PAGE, SERIES, Figure, canvas_of, finish, plain, table_of, width_of

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
        across = _WIDTH - _NAMES - _RIGHT
        axes = canvas.add_axes((_NAMES / _WIDTH, _BOTTOM / height, across / _WIDTH, sum(heights) / height))
        axes.set_xlim(0, most)
        axes.set_ylim(sum(heights), 0)
        top = 0.0
        for row, room in zip(rows, heights, strict=True):
            middle = top + _GAP / 2 + _BAR / 2
            _bar(axes, row, parts, "average", middle, _BAR, most / across)
            axes.text(-8 / across, middle, row.label, color=INK, size=9, **_beside(axes))
            if row.interval > 1:
                for i, frames in enumerate(("keyframe", "non_keyframe")):
                    at = middle + _BAR / 2 + 7 + i * (_THIN + 5)
                    _bar(axes, row, parts, frames, at, _THIN, most / across)
                    axes.text(-8 / across, at, _FRAMES[frames], color=MUTED, size=_SMALL, **_beside(axes))
            top += room
        axes.set_xlabel("GFLOPs a frame")
        plain(axes, "x")
        axes.set_yticks([])
        canvas.text(0.0, 1 - 13 / height, title, weight="bold", size=9.5)
        canvas.text(0.0, 1 - 28 / height, "fewer are better ←", color=MUTED, size=LABEL)
        place = 0.0
        for part in parts:
            canvas.text(place / _WIDTH, 1 - 48 / height, "■", color=PARTS[part], size=11)
            said = _NAMES_OF.get(part, part)
            canvas.text((place + 12) / _WIDTH, 1 - 48 / height, said, size=LABEL)
            place += 12 + width_of(said) + 18
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
        return finish(canvas, name, f"{title}: GFLOPs a frame by part of the model", table_of(header, lines))


def _beside(axes: Axes) -> dict[str, Any]:
    return {"ha": "right", "va": "center_baseline", "transform": axes.get_yaxis_transform()}


def _bar(
    axes: Axes, row: RowSplit, parts: Sequence[Part], frames: str, middle: float, thick: float, unit: float
) -> None:
    """One bar, and its sum at its end; `unit` is how many GFLOPs a point is wide."""
    left = 0.0
    main = frames == "average"
    for part in parts:
        value = _giga(row, part, frames)
        axes.barh(middle, value, thick, left, color=PARTS[part], linewidth=0)
        text = f"{value:.1f}"
        if main and value > (width_of(text) + 4) * unit:
            inside: dict[str, Any] = {"color": PAGE, "size": _SMALL, "ha": "center", "va": "center_baseline"}
            axes.text(left + value / 2, middle, text, **inside)
        left += value
    axes.text(
        left + 4 * unit,
        middle,
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
