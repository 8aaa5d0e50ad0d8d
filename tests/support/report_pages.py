"""Reading the pages and the CSV files of reports, for their tests."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path

from experiments.grids.grid import Grid
from experiments.store import Store
from reports.report import Report, build_report
from tests.support.fake_results import fill, plan_of


def lines_of(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(newline="") as file:
        return {(line["row"], line["metric"]): line for line in csv.DictReader(file)}


class Cells(HTMLParser):
    """The first table of a page: by row its cells as (kind, text), a cell over several columns once a column."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str]]] = []
        self._span = 0
        self.feed(page[: page.index("</table>")])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            classes = (given.get("class") or "").split()
            kinds = [kind for kind in ("name", "measured", "difference") if kind in classes]
            kind = kinds[0] if kinds else "published"
            self._span = int(given.get("colspan") or 1)
            self.rows[-1] += [(kind, "")] * self._span
        elif tag == "b" and self._span:
            self.handle_data("BOLD ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._span = 0

    def handle_data(self, data: str) -> None:
        for i in range(1, self._span + 1):
            kind, text = self.rows[-1][-i]
            self.rows[-1][-i] = (kind, text + data)

    def row(self, label: str) -> list[tuple[str, str]]:
        """Cells of the row, without line breaks."""
        cells = next(row for row in self.rows if row[0][1].startswith(label))
        return [(kind, " ".join(text.split())) for kind, text in cells]


class Page(HTMLParser):
    """The links and the places of a page, and which images say nothing of themselves."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: list[str] = []
        self.silent: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places += [given["id"]] if given.get("id") else []  # type: ignore[list-item]
        self.links += [given["href"] or ""] if tag == "a" else []
        if tag == "img" and "alt" not in given:
            self.silent.append(str(given.get("src"))[:60])


def report_of(grid: Grid, tmp_path: Path, *seeds: int) -> Report:
    plan, store = plan_of(*seeds, grid=grid), Store(tmp_path / "store")
    fill(store, plan)
    return build_report(plan, store, tmp_path)
