"""The paper's printed numbers, and the rows of grids that answer them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.grids import GRIDS
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE8
from experiments.store import Store
from reports.published.numbers import read_published
from reports.report import build_report
from tests.support.fake_results import plan_of
from tests.support.paths import ROOT

PUBLISHED = ROOT / "reports" / "published" / "published.csv"


DATASET_OF = {"nyuv2": "nyuv2", "cityscapes": "cityscapes", "cityscapes19": "cityscapes"}
"""Column `dataset` of the published numbers."""


def test_published_numbers_are_the_papers() -> None:
    table = read_published(1, "nyuv2")
    assert len(table) == 10
    assert [cell.text for cell in table["MILA"].values()] == [
        *("38.1", "75.1", "38.6", "16.1", "23.2", "17.0", "35.4", "61.8", "72.5", "70")
    ]
    # Rows that share a model's name are told apart; a cell keeps its trailing zeros.
    assert read_published(4, "cityscapes")["MILA window / D101-18 / global(64)"]["depth_abs"].text == "1.10"


def test_a_cell_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.csv"
    head = "table,dataset,model,backbone,k,variant,input,metric,value\n"
    file.write_text(head + "1,nyuv2,A,,,,,miou,1\n" + "1,nyuv2,A,,,,,miou,2\n")
    with pytest.raises(ValueError, match="miou of 'A' twice"):
        read_published(1, "nyuv2", file)


def printed_rows(table: int, dataset: str) -> dict[str, set[str]]:
    """Metrics by row of a published table, read anew."""
    rows: dict[str, set[str]] = {}
    with PUBLISHED.open(newline="") as file:
        for number, of, model, backbone, k, variant, size, metric, _ in list(csv.reader(file))[1:]:
            if (number, of) == (str(table), dataset):
                name = " / ".join(word for word in (model, backbone, k, variant, size) if word)
                rows.setdefault(name, set()).add(metric)
    return rows


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_grids_and_published_rows_answer_each_other(grid: Grid) -> None:
    dataset = DATASET_OF[grid.suite.name]
    printed = printed_rows(grid.table, dataset)
    named = [row.published for row in grid.rows if row.published is not None]
    assert sorted(named) == sorted(printed)  # every name is printed, every printed row is answered, each once
    assert {name: set(cells) for name, cells in read_published(grid.table, dataset).items()} == printed
    assert len({row.label for row in grid.rows}) == len(grid.rows)


def test_every_published_table_of_the_suite_has_its_grids() -> None:
    with PUBLISHED.open(newline="") as file:
        printed = {(line["table"], line["dataset"]) for line in csv.DictReader(file)}
    wanted = {pair for pair in printed if pair[0] != "7"}  # costs alone, of modules alone
    assert {(str(grid.table), DATASET_OF[grid.suite.name]) for grid in GRIDS.values()} == wanted


def test_a_published_name_that_is_not_printed_is_refused(tmp_path: Path) -> None:
    wrong = replace(TABLE8, rows=(replace(TABLE8.rows[0], published="MTAN-VGG"),))
    with pytest.raises(KeyError, match="MTAN-VGG"):
        build_report(plan_of(0, grid=wrong), Store(tmp_path / "store"), tmp_path)
