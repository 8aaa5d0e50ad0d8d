"""Tables with rows or columns that the paper's do not have."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from experiments.grids.ablations import TABLE9
from reports.tables.build_table import needed_decimals
from tests.support.report_pages import Cells, lines_of, report_of


def test_rows_that_the_paper_does_not_have(tmp_path: Path) -> None:
    report = report_of(TABLE9, tmp_path, 0, 1)
    page, lines = report.page.read_text(), lines_of(report.csv)
    cells = Cells(page)
    # The paper's Table 9 has mIoU and depth Abs. alone; measured are four metrics, n and the cost.
    assert {len(row) for row in cells.rows} == {1 + 2 + 4 + 1 + 1}
    row = cells.row("MultiNet++, geometric")
    assert [text for kind, text in row if kind == "published"] == ["not in the paper"] * 2
    # It is ranked and checked as any other: 0.13 + 0.08 + 0.002 and 0.01 more; depth 0.50 and 0.52.
    assert [text for kind, text in row if kind == "measured"] == [
        # the paper prints the relative error (33.3) with one digit; ours is so small that it takes three
        *("BOLD 21.7±0.7", "50.0±0.0", "51.00±1.41", "0.500±0.000", "2", "42.2")
    ]
    section = page[page.index("Against the constant predictor") :]
    check = section[section.index("MultiNet++, geometric") :]
    text = re.sub(r"<[^>]+>|\s+", " ", check[: check.index("</tr>")]).split()
    assert text[2:] == ["4.34", "✓", "0.55", "✓"]  # 21.7 / 5, 51 / 92
    line = lines["MultiNet++, geometric", "miou"]
    assert (line["published"], line["n_seeds"], line["missing"]) == ("", "2", "")
    assert float(line["measured_mean"]) == pytest.approx(21.7)
    assert lines["Equal", "miou"]["published"] == "64.3"
    assert lines["Equal", "gflops"]["published"] == ""
    assert lines["Equal", "gflops"]["measured_mean"] == "42.25"
    assert [text for kind, text in cells.row("Constant predictor")][1:3] == ["not in the paper"] * 2


@pytest.mark.parametrize(
    ("values", "digits", "decimals"),
    [
        ([0.151, 0.155, 0.16, 1.15], 3, 3),  # relative depth; the constant predictor's does not decide
        ([66.7, 65.2, 65.3, 5.9], 3, 1),
        ([1.23, 1.26, 1.33, 9.66], 3, 2),
        ([0.04, 0.01, 0.0, 0.1], 1, 2),  # spreads of mIoU over seeds
        ([1e-9], 3, 4),
        ([0.0, float("nan")], 3, 0),
        ([], 3, 0),
    ],
)
def test_as_many_digits_as_most_values_need(values: list[float], digits: int, decimals: int) -> None:
    assert needed_decimals(values, digits) == decimals


def test_costs_without_published_ones(tmp_path: Path) -> None:
    report = report_of(TABLE9, tmp_path, 0)
    page = report.page.read_text()
    cost = page[page.index('id="cost"') : page.index('id="pictures"')]
    assert "<svg" in cost
    assert "published" not in cost.lower()
    assert "can be compared directly" not in page
    console = Console(width=80, file=io.StringIO())
    console.print(report.terminal)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "published" not in text[text.index("COST at") :]
    assert re.search(r"Geometric +42\.2 +3\.84 ✓ ", text)  # 19.2 / 5
    assert text.index("not in the paper") < text.index("MEASURED on")
