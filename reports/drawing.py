"""What all plots share: one visual language, and SVG text that takes the page's colours, light and dark."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.textpath import TextPath

from mila.files import write_text

INK, MUTED, RULE = "#1b1d1f", "#6f7478", "#d5d8db"
PAGE = "#ffffff"
"""Text on a coloured bar."""

_HUES = ("#0072b2", "#d55e00", "#007d5a", "#b0509a", "#8a6d00", "#4f5fc4")
SERIES = (*_HUES, INK)
"""Told apart with any common colour-vision deficiency; each line has a label and a marker of its own as well."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")  # one more than colours: no two of the first 56 lines are alike
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAGE: "--page"} | {
    c: f"--series-{i}" for i, c in enumerate(_HUES)
}
LABEL = 8.5

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mila",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the layout is the same everywhere; the page sets its own
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@dataclass(frozen=True)
class Figure:
    """One plot.

    Attributes:
        name: unique in the page.
        svg: an `<svg>` element in the page's colours.
        description: what it shows, for those who cannot see it.
        file: the same as a file of its own, with fixed colours.
        data: what is plotted, as CSV text.
    """

    name: str
    svg: str
    description: str
    file: str
    data: str

    def write(self, folder: Path) -> None:
        """Write `NAME.svg` and `NAME.csv` into a folder."""
        write_text(folder / f"{self.name}.svg", self.file)
        write_text(folder / f"{self.name}.csv", self.data)


@cache
def width_of(text: str) -> float:
    """Of a label, in points."""
    return float(TextPath((0, 0), text, size=LABEL, usetex=False).get_extents().width)


@contextmanager
def canvas_of(width: float, height: float) -> Iterator[Canvas]:
    """A canvas of `width` x `height` points."""
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(width / 72, height / 72), dpi=72)
        canvas.patch.set_visible(False)
        yield canvas


def plain(axes: Axes, grid: str) -> None:
    """Leave of the axes what is needed: the ground line and a grid along `x`, `y` or `both`."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis=grid, color=RULE, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def label_ends(axes: Axes, labels: list[tuple[float, str, str]], tick: float) -> None:
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
            size=LABEL,
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


def table_of(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """CSV text of what a plot shows; numbers at full precision, None as an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for line in lines:
        writer.writerow([f"{cell:.8g}" if isinstance(cell, float) else cell for cell in line])
    return out.getvalue()


def finish(canvas: Canvas, name: str, description: str, data: str) -> Figure:
    """The plot: for the page with its colours and with ids that no other plot has, and as a file of its own."""
    file = io.StringIO()
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(canvas).print_svg(file, metadata=empty)
    whole = file.getvalue()
    svg = whole[whole.index("<svg") :]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = re.sub(colour, f"var({variable}, {colour})", svg, flags=re.IGNORECASE)
    return Figure(name, svg, description, whole.replace("<svg ", '<svg style="background:#fff" ', 1), data)
