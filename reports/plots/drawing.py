"""What all plots share: one visual language, and SVG text that takes the page's colours, light and dark."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache, wraps
from html import escape, unescape
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.textpath import TextPath

from reports.digests import code, combined, made_from, told

P = ParamSpec("P")

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

    def files(self, folder: Path) -> dict[Path, str]:
        """`NAME.svg` and `NAME.csv` in a folder."""
        return {folder / f"{self.name}.svg": self.file, folder / f"{self.name}.csv": self.data}


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
    whole = file.getvalue().replace("<svg ", '<svg style="background:#fff" ', 1)
    return Figure(name, _for_pages(name, whole), description, whole, data)


def _for_pages(name: str, file: str) -> str:
    svg = file[file.index("<svg") :].replace(' style="background:#fff"', "", 1)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = re.sub(colour, f"var({variable}, {colour})", svg, flags=re.IGNORECASE)
    return svg


_SAID = "<desc>"
_drawn: ContextVar[dict[str, Path] | None] = ContextVar("drawn", default=None)
"""The plots of the page that is being made anew, by what they were drawn from."""


@contextmanager
def drawn_before(folder: Path) -> Iterator[None]:
    """Inside, functions that are `kept` take from `folder` what they would draw alike."""
    token = _drawn.set({made_from(path): path for path in folder.glob("*.svg")})
    try:
        yield
    finally:
        _drawn.reset(token)


def kept(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """For a function that draws from its arguments alone: see `drawn_before`."""

    @wraps(draw)
    def found_or_drawn(*args: P.args, **words: P.kwargs) -> Figure:
        before = _drawn.get()
        if before is None:
            return draw(*args, **words)
        digest = combined([code(), draw.__module__, draw.__qualname__, told(args), told(words)])
        path = before.get(digest)
        if path is not None:
            with suppress(OSError, ValueError):
                file, data = path.read_text(encoding="utf-8"), path.with_suffix(".csv").read_text(encoding="utf-8")
                description = unescape(file[file.index(_SAID) + len(_SAID) : file.index("</desc>")])
                return Figure(path.stem, _for_pages(path.stem, file), description, file, data)
        figure = draw(*args, **words)
        head = f"<!-- made from {digest} -->\n"
        start, end = figure.file.index("<svg"), figure.file.index(">", figure.file.index("<svg")) + 1
        said = f"{_SAID}{escape(figure.description)}</desc>"
        file = figure.file[:start] + head + figure.file[start:end] + said + figure.file[end:]
        return replace(figure, file=file, svg=_for_pages(figure.name, file))

    return found_or_drawn
