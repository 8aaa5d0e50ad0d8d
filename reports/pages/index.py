"""The index: every report page of a folder, from the small JSON file that lies beside each of them.

Of a page `NAME.html` the file `NAME.json` says what it is: at least `title`; see `Card` for the rest. The index can be
made anew from these files alone: `refresh_index(folder)`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from html import unescape
from itertools import chain
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import quote

from experiments.grids import FIGURES, TABLES
from reports.files import update
from reports.render import render

PAGE = "index.html"
_MANY = 10**9  # of anything that a card counts
_TITLE = 20_000  # characters of a page without a card that are searched for its title: its style comes first at times


@dataclass(frozen=True)
class Card:
    """What the index says of a page.

    Attributes:
        title: heading.
        about: one sentence; may be empty.
        grid: name of the grid it is of; empty for a page that is of none, such as one about costs.
        embedded: whether it is measured on procedural videos (True) or on real data (False); None for neither.
        data, profile, split, seeds: what it was measured on; empty for a page that is of no grid.
        own: rows of methods that a user added.
        rows, rows_done: rows of the table, and those with a number of every seed.
        published, measured: printed numbers, and how many of these have a measured number beside them.
        stages, stages_done: stages behind it; `failed` and `damaged` ones among the others.
        finished: when the last of them finished, ISO 8601; empty without any.
        machines: GPUs or processors that they ran on.
        commits: of the code.
        files: other files of the page: (what, address relative to the index).
        answers: what of the paper a page without a grid is about, such as `Table 7`.
    """

    title: str
    about: str = ""
    grid: str = ""
    embedded: bool | None = None
    data: str = ""
    profile: str = ""
    split: str = ""
    seeds: str = ""
    own: tuple[str, ...] = ()
    rows: int = 0
    rows_done: int = 0
    published: int = 0
    measured: int = 0
    stages: int = 0
    stages_done: int = 0
    failed: int = 0
    damaged: int = 0
    finished: str = ""
    machines: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    answers: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """How far it is, in one word or two."""
        if self.failed or self.damaged:
            return "has failures" if self.failed else "has damaged records"
        if not self.stages_done:
            return "not run"
        return "complete" if self.rows_done == self.rows else "in part"


@dataclass(frozen=True)
class Entry:
    """A card and the page that it is of."""

    page: str
    card: Card

    @property
    def href(self) -> str:
        """The address of the page: a name such as `javascript:x.html` is a file's, too."""
        return quote(self.page)


@dataclass(frozen=True)
class Item:
    """A table or figure of the paper, and the pages that have it.

    Attributes:
        name: `Table 1`.
        shows: what it is about.
        session: of nox, that makes it.
        entries: pages with at least one of its numbers.
    """

    name: str
    shows: str
    session: str
    entries: tuple[Entry, ...]


COSTS = "Table 7"
"""Counted, not trained: it has no grid."""

_FIGURES = {
    "Figure 1": "mIoU over GFLOPs on Cityscapes",
    "Figure 4": "Attention weights on a pair of frames",
    "Figure 5": "Task-specific features",
    "Figure 7": "Predictions at a keyframe and at offset K − 1, Cityscapes",
    "Figure 8": "Predictions at a keyframe and at offset K − 1, NYUd v2",
}


@dataclass(frozen=True)
class IndexPage:
    """The entries in their order.

    Attributes:
        embedded, real: pages of tables, apart from each other.
        others: all other pages.
        items: the paper's tables and figures that give results.
    """

    embedded: list[Entry] = field(default_factory=list)
    real: list[Entry] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


def write_card(page: Path, card: Card) -> None:
    """Write the JSON file beside a page."""
    text = json.dumps(asdict(card), indent=1, sort_keys=True, ensure_ascii=False)
    update(page.with_suffix(".json"), f"{text}\n")


def refresh_index(out: Path) -> Path:
    """Write `index.html` of the folder `out` anew from the cards in it; returns its path."""
    path = out / PAGE
    update(path, render("index.html.j2", read_index(out)))
    return path


def read_index(out: Path) -> IndexPage:
    """All pages of `out` with their cards; one without a card is listed by its title."""
    entries = [Entry(path.name, _read(path)) for path in sorted(out.glob("*.html")) if _is_page(path)]
    place = {grid.name: i for i, grid in enumerate(chain(*TABLES.values(), *FIGURES.values()))}
    of_grids = sorted((e for e in entries if e.card.grid), key=lambda e: (place.get(e.card.grid, len(place)), e.page))
    return IndexPage(
        embedded=[e for e in of_grids if e.card.embedded],
        real=[e for e in of_grids if not e.card.embedded],
        others=[e for e in entries if not e.card.grid],
        items=_items(entries),
    )


def _items(entries: Sequence[Entry]) -> list[Item]:
    """The tables in their order, one that is about two data sets twice, and the figures."""

    def item(name: str, shows: str, grids: Collection[str]) -> Item:
        found = (e for e in entries if name in e.card.answers or (e.card.grid in grids and e.card.rows_done))
        return Item(name, shows, f"reproduce-{name.lower().replace(' ', '')}", tuple(found))

    tables = [item(f"Table {grid.table}", grid.title, {grid.name}) for grids in TABLES.values() for grid in grids]
    tables.append(item(COSTS, "Cost of the feature propagation modules", ()))
    tables.sort(key=lambda table: int(table.name.split()[1]))
    names = {name: {grid.name for grid in FIGURES[name.lower().replace(" ", "")]} for name in _FIGURES}
    return tables + [item(name, shows, names[name]) for name, shows in _FIGURES.items()]


def _is_page(path: Path) -> bool:
    return path.name != PAGE and path.is_file()


def _read(page: Path) -> Card:
    path = page.with_suffix(".json")
    try:
        if path.exists():
            if not path.is_file():
                raise ValueError(f"{path} is no file")
            return _card(json.loads(path.read_text(encoding="utf-8")))
        with page.open(encoding="utf-8", errors="replace") as file:
            title = re.search(r"<title>(.*?)</title>", file.read(_TITLE), re.DOTALL)
        return Card(unescape(title[1]) if title else page.stem)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Card(page.stem, about=f"{path.name} cannot be read; make the page again.")


def _card(values: dict[str, Any]) -> Card:
    """The card of what a JSON file says.

    Raises:
        ValueError, TypeError, AttributeError: it says no such thing.
    """
    hints = get_type_hints(Card)
    known = {name: _checked(name, value, hints[name]) for name, value in values.items() if name in hints}
    return Card(**known)


def _checked(name: str, value: Any, kind: Any) -> Any:
    """A value of a card, if it is of its kind; links that lead elsewhere than to files beside the page are dropped."""
    if name == "files":
        pairs = [(what, href) for what, href in value]
        if not all(isinstance(text, str) for pair in pairs for text in pair):
            raise TypeError(name)
        return tuple((what, href) for what, href in pairs if _leads_beside(href))
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise TypeError(name)
        return tuple(value)
    if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or not 0 <= value < _MANY)):
        raise TypeError(name)
    return value


def _leads_beside(href: str) -> bool:
    """Whether an address is a path of plain names, relative and not upwards."""
    return re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*", href) is not None and ".." not in href.split("/")
