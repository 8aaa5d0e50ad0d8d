"""What reports say of FlowNet-S."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from experiments.grids.propagation import TABLE6
from experiments.plan import make_plan
from experiments.profiles import SMOKE
from experiments.store import Store
from reports.report import Report, build_report
from tests.support.fake_nyuv2 import fake_nyuv2
from tests.support.fake_results import fill, plan_of
from tests.support.report_pages import lines_of, report_of


def test_flow_is_scored_beside_the_rows(tmp_path: Path) -> None:
    report = report_of(TABLE6[0], tmp_path, 0, 1)
    page, lines = report.page.read_text(), lines_of(report.csv)
    assert report.page.name == "table6a-smoke.html"
    section = page[page.index('id="flow"') : page.index('id="offsets"')]
    text = " ".join(re.sub(r"<[^>]+>", " ", section).split())
    # 0.6 and 0.8 pixels against 2: means 0.7 and 0.35, sample deviations 0.2 / sqrt 2 and 0.1 / sqrt 2.
    assert "End-point error of FlowNet-S 0.70 px ±0.14 95 %: −0.57 to 1.97 End-point" in text  # t(1) = 12.706
    assert "Ratio 0.35 ±0.07" in text
    assert "procedural videos (street), at 32 × 64 pixels" in text
    assert "n = 2" in text
    flow = lines["FlowNet-S", "epe"]
    assert float(flow["measured_mean"]) == pytest.approx(0.7)
    assert (flow["published"], flow["unit"], flow["n_seeds"]) == ("", "px", "2")
    assert (flow["data"], flow["split"], flow["missing"]) == ("procedural videos (street)", "test", "")
    assert float(lines["FlowNet-S", "epe_ratio"]["measured_std"]) == pytest.approx(0.1 / 2**0.5, rel=1e-6)
    out = io.StringIO()
    Console(width=80, file=out).print(report.terminal)
    text = out.getvalue()
    assert "FLOWNET-S, MEASURED on exact flow of procedural videos (street)\n32 × 64 px; n = 2\n" in text
    assert re.search(r"zero flow +2\.00 ±0\.00 px", text)
    assert re.search(r"Ratio +0\.35 ±0\.07", text)


def test_tables_without_flow_have_no_such_section(page: str, report: Report) -> None:
    assert "FlowNet-S" not in page
    assert "FlowNet-S" not in {row for row, _ in lines_of(report.csv)}


def test_unfinished_and_failed_flow_are_told(tmp_path: Path) -> None:
    plan, store = plan_of(0, 1, grid=TABLE6[0]), Store(tmp_path / "store")
    fill(store, plan)
    (store.folder(plan.flow[1]) / "record.json").unlink()
    report = build_report(plan, store, tmp_path)
    line = lines_of(report.csv)["FlowNet-S", "epe"]
    assert (line["measured_mean"], line["n_seeds"], line["missing"]) == ("0.6", "1", "1 of 2 seeds run")
    assert "Not all of it is finished: 1 of 2 seeds run." in report.page.read_text()
    for stage in plan.flow:
        (store.folder(stage) / "record.json").unlink(missing_ok=True)
        store.fail(stage, "ValueError: no")
    report = build_report(plan, store, tmp_path)
    line = lines_of(report.csv)["FlowNet-S", "epe"]
    assert (line["measured_mean"], line["n_seeds"], line["missing"]) == ("", "", "a stage failed")
    assert "No numbers: a stage failed." in report.page.read_text()


def test_flow_of_real_data_is_a_worlds(tmp_path: Path) -> None:
    plan = make_plan(TABLE6[1], SMOKE, "nyuv2", mode="still", root=fake_nyuv2(tmp_path / "nyu"))
    store = Store(tmp_path / "store")
    fill(store, plan)
    report = build_report(plan, store, tmp_path)
    text = " ".join(re.sub(r"<[^>]+>", "", report.page.read_text()).split())
    assert "The flow is still that of the procedural videos: NYUd v2 has no exact flow" in text
    lines = lines_of(report.csv)
    assert lines["FlowNet-S", "epe"]["data"] == "procedural videos (rooms)"
    assert lines["ILA (ours)", "miou"]["data"].startswith("real images: NYUd v2")
