"""The page of latency, and Figure 1, on times that nobody measured."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.costs.latency import SHIPPED, read_records
from experiments.grids.multi_task import TABLE2
from experiments.profiles import QUICK, SMOKE
from experiments.runs import Runs, embedded_plan
from reports.pages.costs import read_counted, write_costs
from reports.pages.latency import write_latency
from reports.published.numbers import read_published
from tests.support.fake_claims import row_result
from tests.support.fake_costs import CELLS, COSTS, MEMORIES, NASTY, SPLITS, record, times


@pytest.fixture
def out(tmp_path: Path) -> Path:
    assert write_costs(CELLS, COSTS, SPLITS, MEMORIES, tmp_path) == tmp_path / "costs.html"
    return tmp_path


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_realised_savings_stand_beside_those_in_operations(tmp_path: Path) -> None:
    write_latency([record()], [], {}, tmp_path)
    html = (tmp_path / "latency.html").read_text()
    page = text_of(html)
    assert "MILA 25.0 22.5 to 30.0 6.25 5.62 to 7.50 – 12.5 11.2 to 15.0 80.0 0.0800 20 % −25 % –" in page
    assert "MILA against MTAN* 57 % 60 % 38 %" in page
    assert "MILA against D101-MultiTask 25 % 20 % −25 %" in page
    assert "2026-01-02T03:04:05" in page
    assert "Energy: none here" in page
    assert NASTY not in html


def test_plain_and_optimised_stand_beside_each_other(tmp_path: Path) -> None:
    timed = record()
    rows = tuple(
        replace(row, optimised=replace(row.latency, stream=times(4.0 if row.interval > 1 else 5.0), worst=times(7.0)))
        for row in timed.rows
    )
    write_latency([replace(timed, rows=rows, optimisation="bfloat16")], [], {}, tmp_path)
    page = text_of((tmp_path / "latency.html").read_text())
    assert "MILA 25.0 22.5 to 30.0 6.25 5.62 to 7.50 – 12.5 11.2 to 15.0 80.0 0.0800 20 % −25 % –" in page
    assert "MILA 25.0 22.5 to 30.0 6.25 5.62 to 7.50 7.00 6.30 to 8.40 4.00 3.60 to 4.80 250 0.0800 20 % 20 % –" in page
    assert "MILA against D101-MultiTask 25 % 20 % −25 % 20 %" in page
    assert "Optimised, every model alike: bfloat16." in page
    lines = points(tmp_path / "latency.csv")
    (line,) = [x for x in lines if (x["row"], x["how"], x["what"]) == ("MILA", "optimised", "worst")]
    assert (line["median_ms"], line["whose"]) == ("7", "here")


def test_what_ships_with_the_suite_says_whose_it_is(tmp_path: Path) -> None:
    (shipped,) = read_records(SHIPPED)
    assert shipped.environment["commit"] == "cd909d3d17dba690e6ef97089d55837a8d8abc6c"
    assert len(shipped.rows) == 19
    write_latency([record()], [], {}, tmp_path, [shipped])
    page = text_of((tmp_path / "latency.html").read_text())
    own, others = page.split("Not measured here: profile reference on GPU: NVIDIA H100 80GB HBM3")
    assert "of the code at commit cd909d3d17dba690e6ef97089d55837a8d8abc6c, on 2026-11-26" in others
    assert "It is the state before there were optimised streams." in others
    assert "5.82" in others  # MILA at 256x512
    assert "5.82" not in own
    assert {p.name for p in (tmp_path / "latency").glob("*.svg")} == {"delta-gflops.svg", "figure1-gflops.svg"}
    lines = points(tmp_path / "latency.csv")
    assert {(x["whose"], x["machine"]) for x in lines if x["profile"] == "reference"} == {
        ("shipped", "NVIDIA H100 80GB HBM3")
    }
    assert {x["whose"] for x in lines if x["profile"] == "quick"} == {"here"}


def test_models_of_a_figure_are_shown_as_well(tmp_path: Path) -> None:
    timed = record()
    rows = tuple(replace(row, grid="figure1") for row in timed.rows)
    write_latency([replace(timed, rows=rows)], [], {}, tmp_path)
    page = text_of((tmp_path / "latency.html").read_text())
    assert "Figure 1. mIoU over GFLOPs of multi-task learning on Cityscapes" in page


def test_energy_where_it_is_reported(tmp_path: Path) -> None:
    write_latency([record(energy=0.125)], [], {}, tmp_path)
    assert "20 % −25 % 0.125" in text_of((tmp_path / "latency.html").read_text())


def test_nothing_timed_is_said(tmp_path: Path) -> None:
    write_latency([], [], {}, tmp_path)
    page = (tmp_path / "latency.html").read_text()
    assert "Nothing is timed yet" in page
    assert page.count("<svg") == 2  # Figure 1 over GFLOPs, and the average over tasks, are of the paper's own numbers
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


def test_the_average_over_tasks_over_gflops_and_over_time(out: Path) -> None:
    write_latency([record("reference")], [], read_counted(out, 2), out)
    gflops = {p["row"]: p for p in points(out / "latency" / "delta-gflops.csv")}
    assert set(gflops) == set(read_published(2, "cityscapes"))
    assert float(gflops["D101-SingleTask"]["Δ MTL (%)"]) == 0
    timed = {p["row"]: p for p in points(out / "latency" / "delta-latency-reference-cpu.csv")}
    assert set(timed) == {"D101-MultiTask", "MTAN*", "MILA"}
    assert timed["MILA"]["measured (ms)"] == "12.5"
    assert timed["MILA"]["Δ MTL (%)"] == gflops["MILA"]["Δ MTL (%)"]


def test_the_measured_average_over_tasks_over_time(tmp_path: Path) -> None:
    plan = embedded_plan(TABLE2, QUICK)
    scores = {"D101-SingleTask": (0.5, 0.8, 0.04, 0.2), "MILA": (0.55, 0.8, 0.03, 0.2)}
    names = ("miou", "pixel_acc", "depth_abs", "depth_rel")
    results = tuple(
        row_result(row, **{n: (x, x) for n, x in zip(names, scores.get(row.published or "", ()), strict=False)})
        for row in plan.rows
    )
    write_latency([record()], [Runs(plan, results)], {}, tmp_path)
    (mila,) = points(tmp_path / "latency" / "delta-embedded-latency-quick-cpu.csv")
    # 10 % of the mIoU and none of the accuracy; 25 % of the absolute error and none of the relative one
    assert (mila["row"], mila["Δ MTL (%)"], mila["std over seeds"], mila["n_seeds"]) == (
        "MILA (ours)",
        "8.75",
        "0",
        "2",
    )
    assert mila["measured (ms)"] == "12.5"


@pytest.mark.parametrize("profile", ["quick", "smoke"])
def test_published_miou_is_never_drawn_over_the_time_of_reduced_networks(profile: str, tmp_path: Path) -> None:
    write_latency([record(profile)], [], {}, tmp_path)
    drawn = sorted(p.name for p in (tmp_path / "latency").glob("*.svg"))
    assert drawn == ["delta-gflops.svg", "figure1-gflops.svg"]
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
        seeds = [x + (0.31 if profile is QUICK else 0.11) for x in (-0.02, 0.0, 0.02)]
        plan = embedded_plan(TABLE2, profile)
        results = tuple(row_result(row, seeds if row.published == "MILA" else ()) for row in plan.rows)
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
        assert {t for t in targets if not t.startswith(("latency/figure1-", "latency/delta-", "costs/split-"))} <= {
            *("index.html", "costs.html", "claims.html", "latency.html", f"{name}.csv")
        }
        assert not re.search(r"<(link|iframe|img)|@import", page)
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))
    index = (out / "index.html").read_text()
    assert "costs.html" in index
    assert "latency.html" in index
