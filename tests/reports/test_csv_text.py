"""CSV files: numbers are numbers, and no text is a formula."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.grids.multi_task import TABLE1
from experiments.store import Store
from reports.csv_text import csv_text
from reports.report import build_report, frame
from tests.support.fake_results import fill, plan_of

FORMULA = '=HYPERLINK("http://example.org","x")'


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("text", [FORMULA, "+1+1", "-2+3", "@SUM(A1)", "=1", "\t=1", "-", "-x", "+49 km"])
def test_text_that_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert read(csv_text(("row", text), [(text, 1.5)])) == [["row", f"'{text}"], [f"'{text}", "1.5"]]


@pytest.mark.parametrize("text", ["-0.25", "+3", "-1e-05", "-inf", "31.7", "MILA (ours)", "a=b", "", "'quoted'"])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert read(csv_text(("row",), [(text,)])) == [["row"], [text]]


def test_numbers_are_at_full_precision_and_nothing_is_empty() -> None:
    assert csv_text(("a", "b", "c"), [(-1 / 3, -2, None)]) == "a,b,c\n-0.33333333,-2,\n"


def test_a_label_is_no_formula_in_any_file_of_a_report(tmp_path: Path) -> None:
    plan = plan_of(0, 1, grid=replace(TABLE1, rows=(replace(TABLE1.rows[0], label=FORMULA), *TABLE1.rows[1:])))
    store = Store(tmp_path / "store")
    fill(store, plan)
    report = build_report(plan, store, tmp_path / "reports")
    files = list((tmp_path / "reports").rglob("*.csv"))
    cells = [cell for path in files for line in read(path.read_text(encoding="utf-8")) for cell in line]
    assert f"'{FORMULA}" in cells
    assert FORMULA not in cells
    assert report.csv in files
    rows = frame(plan, store)["row"]
    assert FORMULA in set(rows)  # in Python nothing runs it
