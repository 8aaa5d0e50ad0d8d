"""The page of an ablation that the paper does not have: measured numbers alone, and whose split they are of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.grids import BEYOND
from experiments.store import Store
from reports.report import Report, build_report
from tests.support.fake_results import fill, plan_of
from tests.support.report_pages import lines_of


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = tmp_path_factory.mktemp("beyond")
    (grid,) = BEYOND["ablation_mimicry"]
    plan, store = plan_of(0, grid=replace(grid, rows=grid.rows[:3])), Store(root / "store")
    fill(store, plan)
    return build_report(plan, store, root / "reports")


def text_of(page: Path) -> str:
    """What a reader sees, in one line."""
    return " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page.read_text(), flags=re.DOTALL).split())


def test_nothing_published_is_shown(report: Report) -> None:
    text = text_of(report.page)
    assert report.page.name == "ablation_mimicry-smoke.html"
    assert "Beyond Table 3. How the fast network mimics the slow one" in text
    assert "The paper has no such table" in text
    assert "val split" in text
    for words in ("Published", "not in the paper", "--split", "such column"):
        assert words not in text
    assert {line["published"] for line in lines_of(report.csv).values()} == {""}
    assert r"\begin{table*}" in report.csv.with_suffix(".tex").read_text()
    assert "printed in the paper" not in report.csv.with_suffix(".tex").read_text()
    card = json.loads(report.page.with_suffix(".json").read_text())
    assert (card["published"], card["split"], card["rows_done"]) == (0, "val", 3)
    assert "printed numbers have" not in text_of(report.index)
