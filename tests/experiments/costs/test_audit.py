"""The audit of the published cost cells; the whole models' own numbers are in test_cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from experiments.commands.costs import printed_costs
from experiments.costs import audit
from experiments.costs.audit import cells, holding, show
from experiments.costs.table7 import TABLE7, cost_alone, ways
from experiments.costs.values import CONVENTIONS, Cell, within_rounding
from experiments.grids.multi_task import TABLE1, TABLE2
from reports.published.numbers import PublishedCell


@pytest.mark.parametrize(
    ("measured", "text", "holds"),
    [
        (236.46, "236", True),
        (236.51, "236", False),
        (235.5, "236", True),
        (38.68, "38", False),
        (0.166, "0.2", True),
        (5.4499, "5.4", True),
        (5.4997, "5.4", False),
        (0.25, "0.2", True),
        (71.182, "71.2", True),
    ],
)
def test_within_rounding(measured: float, text: str, holds: bool) -> None:
    assert within_rounding(measured, PublishedCell(text)) is holds


@pytest.fixture(scope="module")
def found() -> list[Cell]:
    """Table 7 whole, and of the models one that holds and one that does not."""
    patch = pytest.MonkeyPatch()
    with patch.context() as few:
        few.setattr(audit, "TABLE1", replace(TABLE1, rows=(TABLE1.rows[1],)))
        few.setattr(audit, "TABLE2", replace(TABLE2, rows=(TABLE2.rows[3],)))
        return cells(printed_costs())


def test_rows_are_those_of_the_paper() -> None:
    assert len(TABLE1.rows) == 10
    assert len(TABLE2.rows) == 9


@pytest.mark.slow
def test_models(found: list[Cell]) -> None:
    multi_task, mtan = found[:2]
    assert (multi_task.row, multi_task.published.text, multi_task.size) == ("D101-MultiTask", "79", "288x384")
    assert multi_task.measured == pytest.approx(78.82, abs=0.006)
    assert multi_task.holds
    assert not multi_task.readings
    assert not multi_task.note
    assert multi_task.complete > multi_task.measured  # with decoders
    assert (mtan.row, mtan.published.text) == ("MTAN*", "161")
    assert mtan.measured == pytest.approx(150.49, abs=0.006)
    assert mtan.difference == pytest.approx(-10.51, abs=0.006)
    assert not mtan.holds
    assert {r.what: round(r.value, 1) for r in mtan.readings}["3 tasks, input 288x384"] == 151.4
    assert mtan.note


@pytest.mark.slow
def test_table_7(found: list[Cell]) -> None:
    """Under one convention for the six cells of GFLOPs (note 1.8)."""
    table = found[2:]
    assert len(table) == 18
    gflops = {(c.row, c.size): c for c in table if c.column == "GFLOPs"}
    pixels, h, svc = 32 * 64, 512 * 36 * 9, 9 * (1024 * 256 + 256 * 256 + 256 * 81)
    assert gflops["ila", "256x512"].measured == pytest.approx(pixels * h / 1e9)
    assert gflops["ila", "1024x2048"].measured == pytest.approx(16 * pixels * h / 1e9)
    assert gflops["svc", "256x512"].measured == pytest.approx(pixels * svc / 1e9)
    assert gflops["optical flow", "1024x2048"].measured == pytest.approx(71.182, abs=0.001)
    assert gflops["optical flow", "256x512"].measured == pytest.approx(71.182 / 16, abs=0.001)
    ceil = 33 * 65
    assert gflops["ila", "256x512"].complete == pytest.approx((ceil * (h + 25 * (36 + 1 + 512))) / 1e9)
    assert gflops["svc", "256x512"].complete == pytest.approx((ceil * (svc + 81 * (1 + 512))) / 1e9)
    layers = {(c.row, c.size): c.measured for c in table if c.column == "convolutions"}
    assert set(layers.values()) == {23, 3, 1}
    parameters = {c.row: c.measured for c in table if c.column == "parameters (M)"}
    assert parameters == {
        "optical flow": pytest.approx(38.676514),
        "svc": pytest.approx((svc + 256 + 256 + 81) / 1e6),
        "ila": pytest.approx(h / 1e6),
    }
    assert [c.holds for c in table] == [
        *(False, False, False),
        *(True, True, True),
        *(False, True, True),
        *(True, False, True),
        *(True, True, True),
        *(False, True, True),
    ]
    assert all(c.note for c in table if not c.holds)


@pytest.mark.slow
def test_no_other_way_holds_in_more_cells(found: list[Cell]) -> None:  # noqa: ARG001
    assert len(ways()) == len(set(ways())) == 32
    assert TABLE7 in ways()
    held = holding(printed_costs()[7])
    assert held[TABLE7] == max(held.values()) == 2


def test_h_on_both_frames_costs_twice() -> None:
    both = replace(TABLE7, remembered=False)
    size = (256, 512)
    assert both.gflops("ila", size) == pytest.approx(2 * TABLE7.gflops("ila", size))
    assert both.gflops("svc", size) == TABLE7.gflops("svc", size)
    assert cost_alone("ila", size, both).parameters == cost_alone("ila", size, TABLE7).parameters


@pytest.mark.slow
def test_every_column_has_one_convention(found: list[Cell]) -> None:
    assert {(c.table, c.column) for c in found} == set(CONVENTIONS)
    assert all(c.convention == CONVENTIONS[c.table, c.column] for c in found)


@pytest.mark.slow
def test_it_is_printed(found: list[Cell]) -> None:
    console = Console(width=100, record=True, quiet=False, file=None)
    with console.capture() as captured:
        show(found, console)
    text = captured.get()
    assert f"{sum(c.holds for c in found)} of 20 within half a unit" in text
    assert "Table 7, GFLOPs at 1024x2048" in text
    assert "Table 2, MTAN*, GFLOPs at 256x512: 161" in text
