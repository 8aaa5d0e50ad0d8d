"""The pages of costs and latency, from made-up numbers."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from experiments.collect import RowResult, Value
from experiments.cost_audit import CONVENTIONS, Cell, Reading
from experiments.cost_rows import COSTED, REMEMBERED, RowCost, RowMemory, row_cost, row_memory
from experiments.embedded import Runs, embedded_plan
from experiments.grids.ablations import TABLE4
from experiments.grids.multi_task import TABLE2
from experiments.latency import LatencyRecord, LatencyRow
from experiments.profiles import QUICK, SMOKE
from mila.cost import Cost
from mila.cost_memory import Memory
from mila.latency import Latency, Times
from reports.costs import anchor, read_counted, write_costs
from reports.latency import write_latency
from reports.published_numbers import PublishedCell, read_published

NASTY = "<b>&"

CELLS = [
    Cell(2, "D101-MultiTask", "GFLOPs", "256x512", PublishedCell("93"), 93.26, 134.0),
    Cell(
        2, "MTAN*", "GFLOPs", "256x512", PublishedCell("161"), 150.49, 191.0, (Reading(NASTY, 191.5),), "10.5 lacking"
    ),
    Cell(7, "ila", "GFLOPs", "256x512", PublishedCell("0.2"), 0.34, 0.385),
    Cell(7, "ila", "convolutions", "256x512", PublishedCell("1"), 1, 1),
    Cell(7, "ila", "GFLOPs", "1024x2048", PublishedCell("5.4"), 5.436, 5.955),
]


def cost(average: float) -> Cost:
    return Cost(2e9 * average, 0.75e9 * average, 1e9 * average, 83_800_000, 200, {})


COSTS = [RowCost("table4", "Global", None, 5, cost(70.19), cost(88.01))]
MEMORIES = [RowMemory("table2", "MILA (ours)", Memory(335.3, 81.9, 79.8, 18.8))]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    assert write_costs(CELLS, COSTS, MEMORIES, tmp_path) == tmp_path / "costs.html"
    return tmp_path


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def row_of(page: str, place: str) -> str:
    found = re.search(rf'<tr id="{place}">(.*?)</tr>', page, re.DOTALL)
    assert found, place
    return text_of(found[1])


def test_an_audited_cell(out: Path) -> None:
    page = (out / "costs.html").read_text()
    assert row_of(page, anchor(2, "D101-MultiTask")) == "D101-MultiTask 93 93.26 +0.26 yes 134.00 –"
    assert row_of(page, anchor(2, "MTAN*")).startswith("MTAN* 161 150.49 −10.51 no 191.00 10.5 lacking.")
    assert row_of(page, anchor(7, "ila", "convolutions", "256x512")) == "ila, 256 × 512 1 1 +0 yes 1 –"
    assert "3 of 5 published costs agree within rounding" in page
    assert text_of(page).count(f"How it is counted: {CONVENTIONS[7, 'GFLOPs']}".replace("'", "&#39;")) == 1
    assert NASTY not in page


def test_anchors_differ() -> None:
    cells = [("MTAN*", ""), ("MTAN", ""), ("MultiNet++", ""), ("MultiNet", ""), ("MILA", ""), ("MILA w/o TS", "")]
    assert len({anchor(1, row, "GFLOPs", size) for row, size in cells}) == len(cells)
    sizes = {
        anchor(7, "ila", column, size) for column in ("GFLOPs", "convolutions") for size in ("256x512", "1024x2048")
    }
    assert len(sizes) == 4
    assert all(re.fullmatch(r"[a-z0-9-]+", place) for place in sizes)


def test_unprinted_costs_and_memory(out: Path) -> None:
    page = text_of((out / "costs.html").read_text())
    assert "Global 5 140.38 52.64 70.19 176.02 66.01 88.01 83.8" in page
    assert "MILA (ours) 335.3 81.9 79.8 18.8" in page


def test_sheet_holds_every_number(out: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((out / "costs.csv").read_text())))
    assert len(rows) == len(CELLS) + 4 + 4
    assert rows[1]["published"] == "161"
    assert rows[1]["within_rounding"] == "no"
    assert float(rows[1]["difference"]) == pytest.approx(-10.51)
    assert rows[1]["how"] == CONVENTIONS[2, "GFLOPs"]
    averages = [r for r in rows if r["quantity"] == "GFLOPs, average"]
    assert [(r["row"], r["measured_as_published"], r["measured_complete"]) for r in averages] == [
        ("Global", "70.19", "88.01")
    ]
    state = [r for r in rows if r["quantity"] == "memory (MB), state"]
    assert [(r["row"], float(r["measured_complete"])) for r in state] == [("MILA (ours)", 18.8)]


def test_counted_costs_are_read_back(out: Path, tmp_path: Path) -> None:
    assert read_counted(out, 2) == {"D101-MultiTask": 93.26, "MTAN*": 150.49}
    assert read_counted(tmp_path / "nothing", 2) == {}


def test_same_numbers_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    write_costs(CELLS, COSTS, MEMORIES, tmp_path / "again")
    for name in ("costs.html", "costs.csv", "costs.json"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_the_ablations_that_are_counted() -> None:
    intervals = {dict(row.arguments).get("keyframe_interval", 5) for grid in COSTED for row in grid.rows}
    assert {5, 10} <= intervals
    assert {row.label for row in TABLE4.rows} >= {"3 × 3", "Global"}
    assert TABLE4 in COSTED
    assert TABLE2 in REMEMBERED


def test_a_row_is_counted_at_the_paper_s_size() -> None:
    row = next(row for row in TABLE2.rows if row.label == "D101-MultiTask")
    found = row_cost(TABLE2, row)
    assert found.published.gflops == pytest.approx(93.26, abs=0.006)
    assert found.complete.gflops > found.published.gflops
    assert (found.interval, found.published_row) == (1, "D101-MultiTask")
    kept = row_memory(TABLE2, row).memory
    assert kept.state == 0
    assert kept.parameters == pytest.approx(4e-6 * found.complete.parameters, rel=0.01)  # and the buffers


def times(milliseconds: float) -> Times:
    return Times(milliseconds / 1e3, 0.9 * milliseconds / 1e3, 1.2 * milliseconds / 1e3, 9)


def record(profile: str = "quick", energy: float | None = None) -> LatencyRecord:
    def row(name: str, gflops: float, stream: float, interval: int) -> LatencyRow:
        other = times(stream / 2) if interval > 1 else None
        latency = Latency(times(2 * stream), other, times(stream), energy)
        return LatencyRow("table2", name, name, 64, 128, interval, gflops, gflops, latency)

    rows = (row("D101-MultiTask", 0.1, 10.0, 1), row("MTAN*", 0.2, 20.0, 1), row("MILA", 0.08, 12.5, 5))
    machine = {"processor": f"A processor {NASTY}", "threads": 2, "torch": "2.6", "commit": "0123", "device": "cpu"}
    return LatencyRecord(profile, "cpu", 9, 1, 10, "none here", 0.5, "2026-01-02T03:04:05+00:00", machine, rows)


def test_realised_savings_stand_beside_those_in_operations(tmp_path: Path) -> None:
    write_latency([record()], [], tmp_path)
    html = (tmp_path / "latency.html").read_text()
    page = text_of(html)
    assert "MILA 25 22.5 to 30 6.25 5.62 to 7.5 12.5 11.2 to 15 80 0.08 20 % −25 % –" in page
    assert "MILA against MTAN* 57 % 60 % 38 %" in page
    assert "MILA against D101-MultiTask 25 % 20 % −25 %" in page
    assert "2026-01-02T03:04:05" in page
    assert "Energy: none here" in page
    assert NASTY not in html
    assert "times of reduced networks" in page


def test_energy_where_it_is_reported(tmp_path: Path) -> None:
    write_latency([record(energy=0.125)], [], tmp_path)
    assert "20 % −25 % 0.125" in text_of((tmp_path / "latency.html").read_text())


def test_nothing_timed_is_said(tmp_path: Path) -> None:
    write_latency([], [], tmp_path)
    page = (tmp_path / "latency.html").read_text()
    assert "Nothing is timed yet" in page
    assert page.count("<svg") == 1  # Figure 1 over GFLOPs is the paper's own
    assert (tmp_path / "latency.csv").read_text().count("\n") == 1


def points(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_figure_1_twice(out: Path) -> None:
    write_latency([record()], [], out)
    printed = read_published(2, "cityscapes")
    gflops = points(out / "latency" / "figure1-gflops.csv")
    assert [(p["row"], p["mIoU (%)"]) for p in gflops] == [(n, f"{c['miou'].value:g}") for n, c in printed.items()]
    (mtan,) = [p for p in gflops if p["row"] == "MTAN*"]
    assert (mtan["measured (GFLOPs)"], mtan["published (GFLOPs)"]) == ("150.49", "161")
    timed = points(out / "latency" / "figure1-latency-quick-cpu.csv")
    assert [(p["row"], p["mIoU (%)"], p["measured (ms)"]) for p in timed] == [
        ("D101-MultiTask", "63.8", "10"),
        ("MTAN*", "64.2", "20"),
        ("MILA", "64.3", "12.5"),
    ]
    assert '"1"' in (out / "latency.json").read_text()


def test_measured_miou_has_plots_of_its_own(tmp_path: Path) -> None:
    for profile, plots in ((QUICK, 2), (SMOKE, 0)):  # timed with another profile than it was run with: not drawn
        plan = embedded_plan(TABLE2, profile)
        value = Value(0.31, 0.02, 3, (0.31,), None)
        results = tuple(
            RowResult(row, {"miou": value} if row.published == "MILA" else {}, "", None, (), (), None)
            for row in plan.rows
        )
        out = tmp_path / profile.name
        write_latency([record()], [Runs(plan, results)], out)
        assert len(list((out / "latency").glob("figure1-embedded-*.svg"))) == plots
    (point,) = points(tmp_path / "quick" / "latency" / "figure1-embedded-latency-quick-cpu.csv")
    assert (point["row"], point["mIoU (%)"], point["std over seeds"]) == ("MILA (ours)", "31", "2")
    assert point["measured (ms)"] == "12.5"


def test_pages_need_no_network(out: Path) -> None:
    write_latency([record()], [], out)
    for name in ("costs", "latency"):
        page = (out / f"{name}.html").read_text()
        targets = {target for target in re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]*)""", page) if target}
        assert {t for t in targets if not t.startswith("latency/figure1-")} <= {
            *("index.html", "costs.html", "claims.html", "latency.html", f"{name}.csv")
        }
        assert not re.search(r"<(link|iframe|img)|@import", page)
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))
    index = (out / "index.html").read_text()
    assert "costs.html" in index
    assert "latency.html" in index
