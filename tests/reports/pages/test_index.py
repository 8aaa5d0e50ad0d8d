"""The index of all pages."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from experiments.grids.multi_task import TABLE1
from experiments.grids.propagation import TABLE6
from experiments.store import Store
from mila.common.files import write_json
from reports.pages.index import Card, read_index, refresh_index, write_card
from reports.report import Report, build_report
from tests.support.fake_results import NASTY, plan_of


def test_index_lists_what_is_there(reports: list[Report], tmp_path: Path) -> None:
    out = tmp_path / "reports"
    shutil.copytree(reports[0].page.parent, out)
    index = read_index(out)
    assert [entry.page for entry in index.embedded] == ["table1-smoke.html", "table6a-smoke.html"]
    assert index.real == []
    card = index.embedded[0].card
    assert (card.rows, card.rows_done, card.state) == (10, 10, "complete")
    assert (card.published, card.measured) == (90, 90)  # the cost apart
    assert list(card.machines) == [NASTY]  # the processor
    assert card.stages == card.stages_done > 60
    # Table 6 is about two data sets; the other one has no number yet. Figures have pages of their own.
    names = [item.name for item in index.items]
    tables = [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11]
    assert names == [*(f"Table {n}" for n in tables), *(f"Figure {n}" for n in (1, 4, 5, 7, 8))]
    found = {item.shows: [entry.page for entry in item.entries] for item in index.items if item.entries}
    assert found == {TABLE1.title: ["table1-smoke.html"], TABLE6[0].title: ["table6a-smoke.html"]}
    assert {item.session for item in index.items if item.name == "Table 6"} == {"reproduce-table6"}
    page = (out / "index.html").read_text()
    (out / "index.html").unlink()
    assert refresh_index(out).read_text() == page
    # Real data have a section of their own, other pages as well; names are escaped.
    for name, other in {
        "real": replace(card, embedded=False, data="real images: NYUd v2"),
        "costs": Card(f"Costs {NASTY}", about="All of them.", answers=("Table 7", "Figure 1")),
        "gone": Card("Its page is not there"),
    }.items():
        if name != "gone":
            (out / f"{name}.html").write_text("<html></html>")
        write_card(out / f"{name}.html", other)
    (out / "broken.html").write_text("<html></html>")
    (out / "old.html").write_text("<html><head><title>An old &lt;page&gt;</title></head></html>")
    (out / "broken.json").write_text("[")
    index = read_index(out)
    assert [entry.page for entry in index.real] == ["real.html"]
    assert [entry.page for entry in index.others] == ["broken.html", "costs.html", "old.html"]
    assert "cannot be read" in index.others[0].card.about
    assert [i.name for i in index.items if "costs.html" in [e.page for e in i.entries]] == ["Table 7", "Figure 1"]
    assert index.others[2].card == Card("An old <page>")  # without a JSON file a page is known by its title
    page = refresh_index(out).read_text()
    assert "Costs &lt;script&gt;" in page
    assert "Its page is not there" not in page
    real, embedded = (
        page.index("Tables and figures measured on real data"),
        page.index("Tables and figures measured on procedural videos"),
    )
    assert real < page.index('href="real.html"') < embedded < page.index('href="table1-smoke.html"')


def test_cards_of_unfinished_tables(tmp_path: Path) -> None:
    build_report(plan_of(0), Store(tmp_path / "store"), tmp_path)
    index = read_index(tmp_path)
    assert index.embedded[0].card.state == "not run"
    assert not any(item.entries for item in index.items)
    assert "nox -s reproduce-table1</code>" in (tmp_path / "index.html").read_text()
    assert json.loads((tmp_path / "table1-smoke.json").read_text())["rows_done"] == 0


def test_a_card_may_say_no_more_than_its_title(tmp_path: Path) -> None:
    (tmp_path / "claims.html").write_text("<html></html>")
    write_json(tmp_path / "claims.json", {"title": "Claims", "more": [1, 2]})
    assert read_index(tmp_path).others[0].card == Card("Claims")
