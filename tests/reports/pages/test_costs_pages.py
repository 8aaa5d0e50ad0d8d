"""The pages of costs and latency, from made-up numbers."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.costs.rows import row_cost, row_memory, row_split
from experiments.costs.values import CONVENTIONS, COSTED, REMEMBERED
from experiments.grids.ablations import TABLE4
from experiments.grids.multi_task import TABLE2
from experiments.profiles import QUICK, SMOKE
from experiments.results import RowResult, Value
from experiments.runs import Runs, embedded_plan
from reports.pages.costs import anchor, read_counted, write_costs
from reports.pages.latency import write_latency
from reports.published.numbers import read_published
from tests.support.fake_costs import CELLS, COSTS, MEMORIES, NASTY, SPLITS, record


@pytest.fixture
def out(tmp_path: Path) -> Path:
    assert write_costs(CELLS, COSTS, SPLITS, MEMORIES, tmp_path) == tmp_path / "costs.html"
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
    assert row_of(page, anchor(7, "ila", "convolutions", "256x512")) == "ILA, 256 × 512 1 1 +0 yes 1 –"
    assert "3 of 5 published costs agree within rounding" in page
    assert text_of(page).count(f"How it is counted: {CONVENTIONS[7, 'GFLOPs']}".replace("'", "&#39;")) == 1
    assert NASTY not in page


def test_parts_add_up_and_kinds_of_frames_stand_apart(out: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((out / "costs" / "split-table2.csv").read_text())))
    assert [(r["row"], r["frames"], r["whole (GFLOPs)"]) for r in rows] == [
        ("D101-MultiTask", "average", "130.5"),
        (f"MILA {NASTY}", "average", "79"),  # (138 + 4 x 64.25) / 5
        (f"MILA {NASTY}", "keyframe", "138"),
        (f"MILA {NASTY}", "other frames", "64.25"),
    ]
    for row in rows:
        parts = [float(row[f"{part} (GFLOPs)"]) for part in ("encoder", "propagation", "decoders")]
        assert sum(parts) == pytest.approx(float(row["whole (GFLOPs)"]))
    page = (out / "costs.html").read_text()
    assert page.count('href="costs/split-table2.svg"') == 1
    assert "fusion" not in rows[0]  # no row has any


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
    write_costs(CELLS, COSTS, SPLITS, MEMORIES, tmp_path / "again")
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
    parts = row_split(TABLE2, row).cost.parts
    assert sum(share.average for share in parts.values()) == pytest.approx(found.complete.average)
    kept = row_memory(TABLE2, row).memory
    assert kept.state == 0
    assert kept.parameters == pytest.approx(4e-6 * found.complete.parameters, rel=0.01)  # and the buffers


def test_realised_savings_stand_beside_those_in_operations(tmp_path: Path) -> None:
    write_latency([record()], [], {}, tmp_path)
    html = (tmp_path / "latency.html").read_text()
    page = text_of(html)
    assert "MILA 25.0 22.5 to 30.0 6.25 5.62 to 7.50 12.5 11.2 to 15.0 80.0 0.0800 20 % −25 % –" in page
    assert "MILA against MTAN* 57 % 60 % 38 %" in page
    assert "MILA against D101-MultiTask 25 % 20 % −25 %" in page
    assert "2026-01-02T03:04:05" in page
    assert "Energy: none here" in page
    assert NASTY not in html


def test_energy_where_it_is_reported(tmp_path: Path) -> None:
    write_latency([record(energy=0.125)], [], {}, tmp_path)
    assert "20 % −25 % 0.125" in text_of((tmp_path / "latency.html").read_text())


def test_nothing_timed_is_said(tmp_path: Path) -> None:
    write_latency([], [], {}, tmp_path)
    page = (tmp_path / "latency.html").read_text()
    assert "Nothing is timed yet" in page
    assert page.count("<svg") == 1  # Figure 1 over GFLOPs is the paper's own
    assert (tmp_path / "latency.csv").read_text().count("\n") == 1


def points(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_figure_1_over_gflops_and_over_the_time_of_the_paper_s_networks(out: Path) -> None:
    write_latency([record("reference")], [], read_counted(out, 2), out)
    printed = read_published(2, "cityscapes")
    gflops = points(out / "latency" / "figure1-gflops.csv")
    assert [(p["row"], p["mIoU (%)"]) for p in gflops] == [(n, f"{c['miou'].value:g}") for n, c in printed.items()]
    (mtan,) = [p for p in gflops if p["row"] == "MTAN*"]
    assert (mtan["measured (GFLOPs)"], mtan["published (GFLOPs)"]) == ("150.49", "161")
    timed = points(out / "latency" / "figure1-latency-reference-cpu.csv")
    assert [(p["row"], p["mIoU (%)"], p["measured (ms)"], p["on the Pareto front"]) for p in timed] == [
        ("D101-MultiTask", "63.8", "10", "yes"),
        ("MTAN*", "64.2", "20", "no"),
        ("MILA", "64.3", "12.5", "yes"),
    ]
    assert '"Figure 1"' in (out / "latency.json").read_text()


@pytest.mark.parametrize("profile", ["quick", "smoke"])
def test_published_miou_is_never_drawn_over_the_time_of_reduced_networks(profile: str, tmp_path: Path) -> None:
    write_latency([record(profile)], [], {}, tmp_path)
    assert [p.name for p in (tmp_path / "latency").glob("*.svg")] == ["figure1-gflops.svg"]
    page = text_of((tmp_path / "latency.html").read_text())
    assert "timed: nox -s bench-latency -- --profile reference ." in page
    words = "" if profile == "quick" else " -- --profile smoke"
    assert f"There is no finished run of Table 2 in profile {profile}: nox -s reproduce-table2{words} ." in page


def test_a_page_says_when_no_model_of_table_2_is_timed(tmp_path: Path) -> None:
    other = record()
    rows = tuple(replace(row, grid="table1") for row in other.rows)
    write_latency([replace(other, rows=rows)], [], {}, tmp_path)
    page = text_of((tmp_path / "latency.html").read_text())
    assert "No model of Table 2 is timed in profile quick: nox -s bench-latency ." in page


def test_measured_miou_has_plots_of_its_own(tmp_path: Path) -> None:
    runs = []
    for profile in (QUICK, SMOKE):
        value = Value(0.31 if profile is QUICK else 0.11, 0.02, 3, (0.31,), None)
        plan = embedded_plan(TABLE2, profile)
        results = tuple(
            RowResult(row, {"miou": value} if row.published == "MILA" else {}, "", None, (), (), None)
            for row in plan.rows
        )
        runs.append(Runs(plan, results))
    # Runs of a profile are drawn over the times of that profile alone.
    for records, plots in (((record(),), ("quick",)), ((record(), record("reference")), ("quick",)), ((), ())):
        out = tmp_path / str(len(records))
        write_latency(records, runs, {}, out)
        found = sorted(path.name for path in (out / "latency").glob("figure1-embedded-*.svg"))
        assert found == [f"figure1-embedded-{what}-{p}-cpu.svg" for p in plots for what in ("gflops", "latency")]
    (point,) = points(tmp_path / "1" / "latency" / "figure1-embedded-latency-quick-cpu.csv")
    assert (point["row"], point["mIoU (%)"], point["std over seeds"], point["n_seeds"]) == (
        "MILA (ours)",
        "31",
        "2",
        "3",
    )
    assert point["measured (ms)"] == "12.5"
    page = (tmp_path / "1" / "latency.html").read_text()
    assert "embedded videos, quick, n = 3" in page
    assert "no finished run" not in page
    assert "There is no finished run of Table 2 in profile reference" in (tmp_path / "2" / "latency.html").read_text()


def test_pages_need_no_network(out: Path) -> None:
    write_latency([record()], [], {}, out)
    for name in ("costs", "latency"):
        page = (out / f"{name}.html").read_text()
        targets = {target for target in re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]*)""", page) if target}
        assert {t for t in targets if not t.startswith(("latency/figure1-", "costs/split-"))} <= {
            *("index.html", "costs.html", "claims.html", "latency.html", f"{name}.csv")
        }
        assert not re.search(r"<(link|iframe|img)|@import", page)
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))
    index = (out / "index.html").read_text()
    assert "costs.html" in index
    assert "latency.html" in index
