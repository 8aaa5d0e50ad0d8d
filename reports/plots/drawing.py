"""What all plots share: one visual language, and SVG text that takes the page's colours, light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.textpath import TextPath

from mila.common.visible import visible
from reports.digests import canonical, code, combined, made_from

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
    """Of a label, in points; `$` and what lies between two of them are letters as any others."""
    text = visible(text)
    if not any(char.isprintable() and not char.isspace() for char in text):
        return 0.0  # a path of no strokes is none
    with matplotlib.rc_context(_STYLE):
        return float(TextPath((0, 0), text, size=LABEL, usetex=False).get_extents().width)


@contextmanager
def canvas_of(width: float, height: float) -> Iterator[Canvas]:
    """A canvas of `width` x `height` points."""
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(width / 72, height / 72), dpi=72)
        canvas.patch.set_visible(False)
        yield canvas


def finish(canvas: Canvas, name: str, description: str, data: str) -> Figure:
    """The plot: for the page with its colours and with ids that no other plot has, and as a file of its own."""
    file = io.StringIO()
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(canvas).print_svg(file, metadata=empty)  # type: ignore[no-untyped-call]
    text = file.getvalue().replace("<svg ", '<svg style="background:#fff" ', 1)
    return Figure(name, _for_pages(name, text), description, text, data)


def _for_pages(name: str, file: str) -> str:
    svg = file[file.index("<svg") :].replace(' style="background:#fff"', "", 1)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = re.sub(colour, f"var({variable}, {colour})", svg, flags=re.IGNORECASE)
    return svg


@dataclass(frozen=True)
class DrawnPlots:
    """The plots that a page had before it is made anew.

    Attributes:
        paths: of the SVG files, by the digest of what they were drawn from.
    """

    paths: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> DrawnPlots:
        """Those in a folder."""
        return cls({made_from(path): path for path in folder.glob("*.svg")})

    def take_or_draw(self, draw: Callable[P, Figure], *args: P.args, **words: P.kwargs) -> Figure:
        """What `draw`, a function of its arguments alone, draws; taken from its file where it was drawn before."""
        digest = combined([code(), draw.__module__, draw.__qualname__, canonical(args), canonical(words)])
        path = self.paths.get(digest)
        if path is not None:
            with suppress(OSError, ValueError):
                return _read(path)
        return _with_digest(draw(*args, **words), digest)


_DESCRIPTION = "<desc>"
_ELEMENTS = frozenset(
    ("svg", "desc", "metadata", "defs", "style", "g", "path", "use", "text", "tspan", "image", "clipPath", "rect")
)
_ACTIVE = re.compile(r"""[\s"']on\w+\s*=|href\s*=\s*(?!"(?:#|data:image/png))""", re.IGNORECASE)
"""What runs, and links to anything but the plot's own parts and pixels."""


def _read(path: Path) -> Figure:
    """A plot from its files.

    Raises:
        ValueError: they are not what was written.
    """
    file, data = path.read_text(encoding="utf-8"), path.with_suffix(".csv").read_text(encoding="utf-8")
    if not _ELEMENTS.issuperset(re.findall(r"<([^\s/>!?]+)", file)) or _ACTIVE.search(file):
        raise ValueError(f"{path} holds what no plot does")
    description = unescape(file[file.index(_DESCRIPTION) + len(_DESCRIPTION) : file.index("</desc>")])
    return Figure(path.stem, _for_pages(path.stem, file), description, file, data)


def _with_digest(figure: Figure, digest: str) -> Figure:
    """The plot with all in its file that it can be taken from there."""
    head = f"<!-- made from {digest} -->\n"
    start, end = figure.file.index("<svg"), figure.file.index(">", figure.file.index("<svg")) + 1
    description = f"{_DESCRIPTION}{escape(figure.description)}</desc>"
    file = figure.file[:start] + head + figure.file[start:end] + description + figure.file[end:]
    return replace(figure, file=file, svg=_for_pages(figure.name, file))
