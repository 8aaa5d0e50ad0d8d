"""What a report says of its data and options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.collect import manifest_of
from experiments.grids.ablations import TABLE9, TABLE10
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.plan import make_plan
from experiments.profiles import QUICK, SMOKE
from experiments.store import Store
from reports.provenance import about
from reports.report import build_report
from reports.settings import settings
from tests.support.fake_nyuv2 import fake_nyuv2
from tests.support.fake_results import plan_of
from tests.support.report_pages import lines_of, report_of


def test_real_data_are_named_and_kept_apart(tmp_path: Path) -> None:
    plan = make_plan(TABLE1, SMOKE, "nyuv2", mode="still", root=fake_nyuv2(tmp_path / "nyu"))
    report = build_report(plan, Store(tmp_path / "store"), tmp_path)
    assert report.page.name == "table1-nyuv2-still-smoke.html"
    data = about(plan, manifest_of(plan.test_data, Store(tmp_path / "store"))).data
    assert data.startswith("real images: NYUd v2, 8-bit depth, JPEG images")
    assert data in report.page.read_text()
    manifest = {**manifest_of(plan.test_data, Store(tmp_path / "store")), "warnings": ["the labels look odd"]}
    assert ", the labels look odd, " in about(plan, manifest).data
    assert "procedural" not in report.page.read_text()
    assert {line["data"] for line in lines_of(report.csv).values()} == {data, ""}


def test_validation_split_has_its_own_files(tmp_path: Path) -> None:
    plan = make_plan(TABLE1, SMOKE, "rooms", mode="video", split="val")
    assert about(plan, manifest_of(plan.test_data, Store(tmp_path))).file_name == "table1-smoke-val"


def test_task_weights_are_told(tmp_path: Path) -> None:
    page = report_of(TABLE9, tmp_path, 0).page.read_text()
    assert "Geometric | MultiNet++, geometric: geometric" in page
    assert "uncertainty (at the end depth 0.8, segmentation 1.23)" in page
    plan = plan_of(0, grid=TABLE2)
    assert {s.name: s.ours for s in settings(plan)}["Task weights"] == "equal"


def test_options_of_the_command_line_are_named_and_have_pages_of_their_own(tmp_path: Path) -> None:
    assert "Options on the command line" not in {line.name for line in settings(plan_of(0, 1))}
    own = replace(TABLE1.rows[0], label="Mine", published=None, model=f"{tmp_path}/mine.py:Mine")
    plan = plan_of(0)
    plan = replace(
        plan,
        profile=replace(QUICK, augmentation="mtan", weights={}),
        grid=replace(TABLE1, rows=(*TABLE1.rows, own)),
        test_data=replace(plan.test_data, source=replace(plan.test_data.source, split="val")),
    )
    lines = {line.name: line.ours for line in settings(plan)}
    assert (
        lines["Options on the command line"] == "--augmentation mtan, --weights none, --split val, --method with Mine"
    )
    name = about(plan, manifest_of(plan.test_data, Store(tmp_path))).file_name
    assert name == "table1-mine-val-augmentation-mtan-weights-none"


def test_networks_are_smaller_only_where_rows_use_smaller_ones(tmp_path: Path) -> None:
    def smaller(grid: Grid, **sizes: object) -> bool:
        profile = replace(SMOKE, **sizes)  # type: ignore[arg-type]
        plan = make_plan(grid, profile, "street", mode="video")
        return "the networks are smaller" in about(plan, manifest_of(plan.test_data, Store(tmp_path))).differences

    full, fewer = {101: 101, 50: 50, 18: 18}, {101: 101, 50: 34, 18: 18}
    assert not smaller(TABLE10, width=1.0, depths=full)
    assert smaller(TABLE10, width=0.5, depths=full)
    assert smaller(TABLE10, width=1.0, depths=fewer)
    assert not smaller(TABLE2, width=1.0, depths=fewer)  # none of its rows has a ResNet50
