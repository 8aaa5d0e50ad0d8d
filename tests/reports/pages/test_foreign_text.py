"""Pages and plots say what records and labels say, and do nothing that these ask for."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from experiments.store import Store
from mila.common.files import write_json
from reports.files import update
from reports.pages.index import Card, read_index, refresh_index, write_card
from reports.plots.drawing import width_of
from reports.plots.scatter import Point, scatter
from reports.plots.training_curves import curve_figure
from reports.report import Report, build_report
from tests.support.fake_results import fill, plan_of

UNSEEN = "\x1b\x00\x07\x9b\x7f\u202e\u2066\u200f\ud800\uffff"
PLANTED = "javascript:alert(1)"


def policy_of(page: str) -> dict[str, str]:
    """What a browser is told, by what it is about."""
    text = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', page)
    assert text is not None
    assert text.start() < page.index("<style")
    return {name: value for name, _, value in (rule.partition(" ") for rule in text[1].split("; "))}


def test_every_page_runs_its_own_script_alone_and_loads_nothing(reports: list[Report]) -> None:
    pages = sorted(reports[0].page.parent.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        page = path.read_text(encoding="utf-8")
        policy = policy_of(page)
        (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert policy == {
            "default-src": "'none'",
            "script-src": f"'sha256-{digest}'",
            "style-src": "'unsafe-inline'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
        }


def test_unseen_characters_of_logs_and_reasons_are_in_no_page(tmp_path: Path) -> None:
    plan, store = plan_of(0), Store(tmp_path / "store")
    fill(store, plan)
    failed = plan.rows[0].evaluations[0][0]
    (store.folder(failed) / "record.json").unlink()
    (store.folder(failed) / "log.txt").write_text("\x1b[31mred\u202e\r\n\tend\x07\n", encoding="utf-8")
    store.fail(failed, "ValueError: \x1b[2Jgone\u2066\x9b")
    build_report(plan, store, tmp_path / "reports")
    for path in (tmp_path / "reports").rglob("*.*"):
        if path.suffix in (".html", ".csv", ".svg", ".md", ".tex"):
            text = path.read_text(encoding="utf-8")
            assert not set(text) & set(UNSEEN), path
    page = (tmp_path / "reports" / "stages" / f"{failed.key}.html").read_text(encoding="utf-8")
    assert "[31mred\n\tend" in page
    assert "ValueError: [2Jgone" in page


def test_files_are_written_whatever_the_text_holds(tmp_path: Path) -> None:
    update(tmp_path / "file.html", f"a{UNSEEN}b\n\té表")
    assert (tmp_path / "file.html").read_text(encoding="utf-8") == "ab\n\té表"
    write_card(tmp_path / "file.html", Card(f"Costs{UNSEEN}"))
    page = refresh_index(tmp_path).read_text(encoding="utf-8")
    assert ">Costs</a>" in page
    assert not set(page) & set(UNSEEN)


@pytest.mark.parametrize("label", [f"MI{UNSEEN}LA", "$\\frac{1}{2}$", "$x$", "$\\badmacro$", "a $ b", "<&>", "_^{}\\"])
@pytest.mark.parametrize("many", [False, True])
def test_labels_are_drawn_as_they_are(label: str, many: bool, tmp_path: Path) -> None:
    rows = [(label, 64.0), (f"{label} again", 65.0)]
    points = [Point(name, y, 50.0 + y, number=i if many else None) for i, (name, y) in enumerate(rows)]
    figure = scatter("a", points, higher=True, titles=("T", "t"), x_label="GFLOPs", description=label, data="")
    update(tmp_path / "a.svg", figure.file)
    texts = {text.text for text in ElementTree.parse(tmp_path / "a.svg").iter("{http://www.w3.org/2000/svg}text")}
    plain = "MILA" if UNSEEN in label else label
    assert {plain, f"{plain} again"} <= texts


def test_names_of_losses_are_drawn_as_they_are() -> None:
    figure = curve_figure([{"step": step, "loss $x": 1.0 / step, "loss $\\bad$": 0.5} for step in (1, 2, 3)])
    assert figure is not None
    assert "Loss $\\bad$ loss" in figure.file


@pytest.mark.parametrize("label", ["", " ", "\u200b", "\u200f", "$$", "$"])
def test_any_label_has_a_width(label: str) -> None:
    assert 0 <= width_of(label) < 30


@pytest.mark.parametrize(
    "href",
    [
        *(PLANTED, f" {PLANTED}", "java\x01script:alert(1)", "JAVASCRIPT&colon;alert(1)", "data:text/html,x"),
        *("https://example.org/x.csv", "//example.org/x.csv", "/etc/passwd", "../../secret.csv", "a/../../b", ""),
        *("\\\\host\\share", "file:///etc/passwd", "x.csv?a=//b", "a b.csv", "[::1"),
    ],
)
def test_links_of_planted_cards_are_dropped(href: str, tmp_path: Path) -> None:
    (tmp_path / "costs.html").write_text("<html></html>")
    files = [["bad", href], ["good", "costs.csv"], ["also good", "costs/méthode-1_2.svg"]]
    write_json(tmp_path / "costs.json", {"title": "Costs", "files": files})
    assert read_index(tmp_path).others[0].card.files == (
        ("good", "costs.csv"),
        ("also good", "costs/méthode-1_2.svg"),
    )
    page = refresh_index(tmp_path).read_text(encoding="utf-8")
    assert '<a href="costs.csv">good</a>' in page
    assert ">bad</a>" not in page


def test_a_file_named_like_a_script_is_a_file(tmp_path: Path) -> None:
    (tmp_path / f"{PLANTED}.html").write_text("<html><title>x</title></html>")
    page = refresh_index(tmp_path).read_text(encoding="utf-8")
    assert 'href="javascript%3Aalert%281%29.html"' in page
    assert "javascript:" not in re.sub(r"<code>.*?</code>", "", page).replace("javascript%3A", "")


@pytest.mark.parametrize(
    "values",
    [
        *([1], "x", None, {}, {"title": 3}, {"title": "T", "files": "ab"}, {"title": "T", "files": [["a", 1]]}),
        *({"title": "T", "files": [["a"]]}, {"title": "T", "stages": "many"}, {"title": "T", "machines": "gpu"}),
        *({"title": "T", "stages": 10**400}, {"title": "T", "stages": True}, {"title": "T", "embedded": "no"}),
        {"title": "T", "answers": [[1]]},
    ],
)
def test_cards_of_another_shape_are_named_and_end_nothing(values: Any, tmp_path: Path) -> None:
    (tmp_path / "costs.html").write_text("<html></html>")
    (tmp_path / "costs.json").write_text(json.dumps(values))
    assert "costs.json cannot be read; make the page again." in refresh_index(tmp_path).read_text(encoding="utf-8")


def test_what_is_no_file_ends_no_index(tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    os.mkfifo(tmp_path / "pipe.html")
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.html").write_text(f"<html><title>{name}</title></html>")
    (tmp_path / "a.json").mkdir()
    os.mkfifo(tmp_path / "b.json")
    (tmp_path / "c.json").write_text("[" * 100_000)
    index = read_index(tmp_path)
    assert [entry.page for entry in index.others] == ["a.html", "b.html", "c.html"]
    assert all("cannot be read" in entry.card.about for entry in index.others)
    refresh_index(tmp_path)


@pytest.mark.parametrize(
    "planted",
    [
        "<script>alert(1)</script>",
        '<a href="https://example.org">x</a>',
        '<g onload="alert(1)"/>',
        "<g onload = 'alert(1)'/>",
        '<use href="https://example.org/x.svg#a"/>',
        '<image xlink:href="https://example.org/x.png"/>',
        "<foreignObject><p>x</p></foreignObject>",
        '<svg:script xmlns:svg="http://www.w3.org/2000/svg">alert(1)</svg:script>',
    ],
)
def test_plots_with_something_planted_are_drawn_anew(planted: str, tmp_path: Path) -> None:
    plan, store = plan_of(0), Store(tmp_path / "store")
    for stage in (row.measure for row in plan.rows):
        if stage is not None:
            store.begin(stage)
            times = {"seconds": 1.0, "finished": "2026-01-02T03:04:05+00:00", "environment": {}}
            store.finish(stage, {"gflops": 42.25, "height": 288, "width": 384}, **times)
    page = build_report(plan, store, tmp_path / "out").page
    path = page.with_suffix("") / "cost.svg"
    drawn = path.read_text()
    path.write_text(drawn.replace("</svg>", f"{planted}</svg>"))
    page.unlink()
    build_report(plan, store, tmp_path / "out")
    assert path.read_text() == drawn
    assert planted not in page.read_text()
