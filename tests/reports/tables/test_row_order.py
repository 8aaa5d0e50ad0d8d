"""Verdicts on pairs of rows, on records written by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from experiments.collect import collect_rows
from experiments.grids.multi_task import TABLE1
from experiments.stages import in_order
from experiments.store import Store
from reports.contrasts import Difference
from reports.tables.build_table import make_table
from reports.tables.row_order import Comparison, orders, to_csv
from reports.tables.table import Column
from tests.support.fake_results import fill, plan_of

COLUMN = Column("miou", "Segmentation", "mIoU", "%", "higher", 100.0, 1, True, True)


@pytest.mark.parametrize(
    ("published", "measured", "agreement"),
    [
        (1.0, Difference(2.0, 3, 9, 0.1, 2, 0.01, 0.04), "supported"),
        (-1.0, Difference(-2.0, 3, 9, 0.1, 2, 0.01, 0.04), "supported"),
        (1.0, Difference(-2.0, 3, 9, 0.1, 2, 0.01, 0.04), "contradicted"),
        (1.0, Difference(2.0, 3, 9, 0.1, 2, 0.01, 0.06), "cannot tell"),
        (1.0, Difference(0.1, 3, 9, 0.1, 9, 0.3, 0.6), "lead missing"),
        (-1.0, Difference(-0.1, 3, 9, 0.1, 9, 0.3, 0.6), "lead missing"),
        (0.2, Difference(0.1, 3, 9, 0.1, 9, 0.3, 0.6), "cannot tell"),
        (1.0, Difference(0.1, 1, 9, 0.1, 9, 0.3, 0.6), "cannot tell"),
        (1.0, Difference(2.0, 1, 9, 0.1, 8, 0.01, 0.04), "networks differ"),
        (-1.0, Difference(2.0, 1, 9, 0.1, 8, 0.01, 0.04), "networks differ"),
        (1.0, Difference(2.0, 1, 9, 0.1, 8, 0.01, 0.06), "cannot tell"),
        (1.0, Difference(2.0, 1, 0), "cannot tell"),
        (1.0, None, "not run"),
    ],
)
def test_two_rows_agree_or_not(published: float, measured: Difference | None, agreement: str) -> None:
    assert Comparison(COLUMN, "a", "b", published, measured, None).agreement == agreement


def test_pairs_of_a_table(tmp_path: Path) -> None:
    plan, store = plan_of(0, 1, 2), Store(tmp_path)
    fill(store, plan)
    (store.folder(plan.rows[2].evaluations[0][0]) / "record.json").unlink()
    results = collect_rows(plan, store)
    found = {order.column.key: order for order in orders(make_table(plan, results))}
    assert len(found) == 10  # nine metrics and the average over tasks
    order = found["miou"]
    # Ten rows; D101-MultiTask and MTAN* both print 37.1.
    assert order.pairs == 44
    assert order.rows == tuple(row.label for row in TABLE1.rows)
    pairs = {(c.first, c.second): c for row in order.cells for c in row if c is not None}
    assert ("MTAN*", "D101-MultiTask") not in pairs
    # Every row is 2 points above the one before, at each seed alike; p is 0 then. The paper says 38.1 and 37.2.
    ours = pairs["MILA (ours)", "D101-SingleTask"]
    assert ours.agreement == "supported"
    assert ours.published == pytest.approx(0.9)
    assert ours.measured is not None
    assert ours.measured.mean == pytest.approx(18.2)  # and 0.2 more, the mean over offsets
    assert ours.gflops == 0.0
    # The paper has 37.2 and 37.1: the other way round.
    assert pairs["D101-MultiTask", "D101-SingleTask"].agreement == "contradicted"
    # Seeds 1 and 2 of MTAN-SegNet are there.
    lost = pairs["MTAN-SegNet", "D101-SingleTask"].measured
    assert lost is not None
    assert lost.n == 2
    lines = list(csv.DictReader(io.StringIO(to_csv(list(found.values())))))
    assert len(lines) == sum(order.pairs for order in found.values())
    first = next(line for line in lines if (line["row"], line["other_row"]) == ("MILA (ours)", "D101-SingleTask"))
    assert float(first["measured_difference"]) == pytest.approx(18.2)
    assert first["verdict"] == "supported"


def test_rows_that_are_not_run(tmp_path: Path) -> None:
    plan, store = plan_of(0, 1), Store(tmp_path)
    fill(store, plan)
    for stage in in_order(list(plan.rows[0].evaluations[0] + plan.rows[0].evaluations[1])):
        if stage.kind == "evaluate":
            (store.folder(stage) / "record.json").unlink()
    results = collect_rows(plan, store)
    order = orders(make_table(plan, results))[0]
    assert order.counts["not run"] == 9
    assert sum(order.counts.values()) == order.pairs
