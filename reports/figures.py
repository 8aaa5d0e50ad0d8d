"""Plots as SVG text that is placed inside a page: its colours are the page's, so they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.textpath import TextPath

from experiments.collect import RowResult
from reports.tables import COST, Column, ResultTable

_INK, _MUTED, _RULE = "#1b1d1f", "#6f7478", "#d5d8db"
_HUES = ("#0072b2", "#d55e00", "#007d5a", "#b0509a", "#8a6d00", "#4f5fc4")
_SERIES = (*_HUES, _INK)
"""Told apart with any common colour-vision deficiency; each line has a label and a marker of its own as well."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _RULE: "--rule"} | {c: f"--series-{i}" for i, c in enumerate(_HUES)}
_LABEL = 8.5

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mila",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the layout is the same everywhere; the page sets its own
    "font.size": 9.0,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
    "axes.linewidth": 0.6,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@dataclass(frozen=True)
class Figure:
    """One plot.

    Attributes:
        name: unique in the page.
        svg: an `<svg>` element.
        description: what it shows, for those who cannot see it.
    """

    name: str
    svg: str
    description: str


def offset_figures(table: ResultTable, results: Sequence[RowResult]) -> list[Figure]:
    """For the first metric of each task: every video method at each keyframe offset, the others as reference lines.

    None where no finished row has several offsets.
    """
    if not any(r.plan.is_video and r.values for r in results):
        return []
    first = {c.task: c for c in reversed(table.headline)}
    return [_offset_figure(c, results) for c in table.headline if first[c.task] is c]


def _offset_figure(column: Column, results: Sequence[RowResult]) -> Figure:
    width, left, tick = 330.0, 33.0, 9.0
    known = [(r.plan, r.values[column.key]) for r in results if column.key in r.values and not r.plan.is_constant]
    videos = [r.plan.label for r in results if r.plan.is_video]  # unfinished ones as well: each keeps its colour
    with _canvas(width, 240) as canvas:
        names = max((_width(plan.label) for plan, _ in known), default=0.0)
        axes = canvas.add_axes((left / width, 0.165, 1 - (left + tick + names) / width, 0.68))
        labels: list[tuple[float, str, str]] = []
        steps = 1
        for plan, value in known:
            if not plan.is_video:
                level = column.scale * value.mean
                axes.axhline(level, color=_MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
                labels.append((level, plan.label, _MUTED))
                continue
            series = videos.index(plan.label)
            colour, marker = _SERIES[series % len(_SERIES)], _MARKERS[series % len(_MARKERS)]
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
        _plain(axes, "y")
        axes.margins(y=0.08)
        _label_ends(axes, labels, tick / (width - left - tick - names))
        canvas.text(0.0, 0.95, f"{column.short_task}: {column.label}, {column.unit}", weight="bold", size=9.5)
        canvas.text(0.0, 0.895, f"{column.better} is better {column.arrow}", color=_MUTED, size=8.5)
        name = f"offset-{column.key.replace('_', '-')}"
        return Figure(name, _svg(canvas, name), f"{column.label} of {column.task} by keyframe offset")


def _width(text: str) -> float:
    """Of a label, in points."""
    return float(TextPath((0, 0), text, size=_LABEL, usetex=False).get_extents().width)


def cost_figure(table: ResultTable) -> Figure | None:
    """Published and measured cost of each row on one axis; None where neither is known."""
    lines = [line for line in table.lines if COST in line.published or COST in line.measured]
    if not lines:
        return None
    what = "Published and measured GFLOPs of each row" if table.published_cost else "Measured GFLOPs of each row"
    with _canvas(350, 46 + 21 * len(lines)) as canvas:
        height = 46 + 21 * len(lines)
        axes = canvas.add_axes((0.345, 30 / height, 0.62, 1 - 46 / height))
        for y, line in enumerate(lines):
            published, measured = line.published.get(COST), line.measured.get(COST)
            if published is not None and published.value is not None:
                axes.plot(published.value, y, "o", markersize=7.5, mfc="none", mec=_INK, mew=1.1, zorder=2)
            if measured is not None and measured.value is not None:
                axes.plot(measured.value, y, "o", markersize=3.6, color=_SERIES[0], zorder=3)
        axes.set_yticks(range(len(lines)), [line.label for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("GFLOPs a frame")
        _plain(axes, "both")
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        return Figure("cost", _svg(canvas, "cost"), what)


@contextmanager
def _canvas(width: float, height: float) -> Iterator[Canvas]:
    """A canvas of `width` x `height` points."""
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(width / 72, height / 72), dpi=72)
        canvas.patch.set_visible(False)
        yield canvas


def _plain(axes: Axes, grid: str) -> None:
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis=grid, color=_RULE, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _label_ends(axes: Axes, labels: list[tuple[float, str, str]], tick: float) -> None:
    """Name each line at its right end, `tick` of the axes' width away, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    places = spread([(y - low) / (high - low) for y, _, _ in labels], 0.07)
    for (y, text, colour), place in zip(labels, places, strict=True):
        axes.annotate(
            text,
            xy=(1.0, (y - low) / (high - low)),
            xycoords="axes fraction",
            xytext=(1 + tick, place),
            textcoords="axes fraction",
            color=colour,
            size=_LABEL,
            va="center_baseline",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.5,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


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


def _svg(canvas: Canvas, name: str) -> str:
    """The `<svg>` element, with the page's colours and with ids that no other plot has."""
    file = io.StringIO()
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(canvas).print_svg(file, metadata=empty)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = re.sub(colour, f"var({variable}, {colour})", svg, flags=re.IGNORECASE)
    return svg
