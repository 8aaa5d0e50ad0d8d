"""Where the numbers of claims come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.costs.latency import LatencyRecord, LatencyRow
from experiments.costs.values import RowCost
from experiments.grids import GRIDS
from experiments.grids.propagation import TABLE5, TABLE6, TABLE11
from experiments.profiles import SMOKE
from experiments.runs import Runs, embedded_plan
from mila.cost.conventions import Cost
from mila.cost.latency import Latency, Times
from reports.claims.cells import video
from reports.claims.numbers import At
from reports.claims.sources import counted, measured, repeated, timed
from reports.claims.statements import Ranks
from reports.pages.costs import read_costs, write_costs
from tests.support.fake_claims import CELLS, row_result, runs, verdict


def row_cost(label: str, row: str, average: float) -> RowCost:
    published, complete = (Cost(x, x, x, 1, 1, {}) for x in (average * 1e9, 2e9 * average))
    return RowCost("table3", label, row, 5, published, complete)


def test_counted_costs_are_found_by_published_names(tmp_path: Path) -> None:
    variant = "MILA ablation of losses / D101-18 / ila"
    costs = [row_cost("ILA", variant, 47.9)]
    write_costs(CELLS, costs, [], [], tmp_path)
    as_published, complete = (counted(read_costs(tmp_path), complete=everything) for everything in (False, True))
    found = as_published(At(2, "cityscapes", "MILA", "gflops"))
    assert found is not None
    assert (found.value, found.text, found.n) == (70.2, "70.2", 0)
    module = complete(At(7, "", "feature propagation module / ila / 256x512", "gflops"))
    assert module is not None
    assert module.value == 0.39
    extra = complete(At(3, "cityscapes", variant, "gflops"))
    assert extra is not None
    assert extra.value == pytest.approx(95.8)
    assert as_published(At(1, "nyuv2", "MILA", "gflops")) is None


def test_scores_are_in_the_printed_units() -> None:
    source = measured([runs(MILA=(0.29, 0.31, 0.33))])
    found = source(At(2, "cityscapes", "MILA", "miou"))
    assert found is not None
    assert (found.value, found.std) == pytest.approx((31, 2))
    assert found.n == 3
    assert found.printed == 64.3
    assert str(found) == "31 ± 2 (n = 3)"
    assert source(At(2, "cityscapes", "MILA", "miou@last")) is None  # of one offset
    assert source(At(2, "cityscapes", "MTAN*", "miou")) is None


def test_scores_at_the_ends_of_an_interval_and_of_rows_that_are_not_printed() -> None:
    plan = embedded_plan(TABLE6[0], SMOKE)
    seeds = [(0.3 + x, 0.24 + 2 * x, 0.21 + 3 * x) for x in (-0.01, 0.0, 0.01)]
    results = tuple(row_result(row, seeds) for row in plan.rows)
    source = measured([Runs(plan, results)])
    first, last = (source(At(6, "cityscapes", "Optical flow, warping", f"miou@{end}")) for end in ("first", "last"))
    assert str(first) == "30 ± 1 (n = 3)"
    assert str(last) == "21 ± 3 (n = 3)"
    assert last is not None
    assert last.printed is None
    assert At(2, "cityscapes", "MILA", "depth_abs@last").lower
    assert At(2, "cityscapes", "MILA", "miou@last").name == "MILA (offset K − 1)"


def test_what_one_network_shows_for_two_of_the_papers_is_evidence_once() -> None:
    found = []
    for grid in (TABLE11, TABLE5):  # in a small profile D101-50 is D101-34
        plan = embedded_plan(grid, SMOKE)
        found.append(Runs(plan, tuple(row_result(row, [(0.3,), (0.4,)]) for row in plan.rows)))
    ila, flow = (video(50, 5), video(34, 5))
    assert measured(found[:1])(ila[0]) is not None
    assert repeated(found[:1]) == {}
    source = measured(found)
    assert source(flow[0]) is not None
    assert source(ila[0]) is None
    of = "D101-34, K = {}, {}"
    assert sorted(repeated(found).values()) == [
        of.format(k, kind) for k in (10, 5) for kind in ("ILA (ours)", "optical flow (Accel)")
    ]


def test_tables_that_share_a_row_both_have_it() -> None:
    plans = [embedded_plan(grid, SMOKE) for grid in GRIDS.values() if not grid.beyond and grid.table not in (5, 11)]
    assert repeated([Runs(plan, ()) for plan in plans]) == {}


def test_times_are_told_apart_by_their_quartiles() -> None:
    def row(name: str, median: float, upper: float) -> LatencyRow:
        times = Times(median, 0.9 * median, upper, 9)
        return LatencyRow(
            "table4", name, f"MILA window / D101-18 / {name}", 64, 128, 5, 1, 1, Latency(times, None, times, None)
        )

    rows = (row("3x3", 0.010, 0.011), row("5x5", 0.0125, 0.013), row("7x7", 0.020, 0.030))
    source = timed(LatencyRecord("quick", "cpu", 9, 1, 10, "", None, "", {}, rows))
    small, middle, large = (
        At(4, "cityscapes", f"MILA window / D101-18 / {w}", "latency") for w in ("3x3", "5x5", "7x7")
    )
    assert str(source(small)) == "10 ms ± 1"
    assert verdict(Ranks("", small, (middle,)), source) == "holds"  # 10 ± 1 and 12.5 ± 1.25
    assert verdict(Ranks("", middle, (large,)), source) == "cannot tell"  # 20 ± 10
    assert source(At(2, "cityscapes", "MILA", "latency")) is None
    assert source(At(4, "cityscapes", "MILA window / D101-18 / 3x3", "miou")) is None
