"""Tables on data of the user's own: no number of the paper is beside one of theirs."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from experiments.commands.claims import judge
from experiments.commands.options import Options
from experiments.commands.plans import plans_of
from experiments.plan import Plan
from experiments.store import Store
from mila.common.user_code import load_file
from mila.tasks import NYUV2, subset
from reports.report import Report, build_report
from reports.settings import options_given
from tests.support.fake_nyuv2 import fake_nyuv2
from tests.support.fake_results import fill
from tests.support.own_data import own_file
from tests.support.report_pages import lines_of

LEFT_OUT = "The paper’s numbers are of {}, those here of other data; they are not comparable, and left out."
TEN = '("near", "far", "c", "d", "e", "f", "g", "h", "i", "j")'


def own_plan(folder: Path) -> Plan:
    load_file.cache_clear()
    file = own_file(folder, ('("near", "far")', TEN))
    (plan,) = plans_of(Options(grid="table2", profile="smoke", data=str(file)))
    return plan


def partial_plan(folder: Path) -> Plan:
    """Plain folders without labels."""
    root = fake_nyuv2(folder)
    for path in [*(root / "labels13").iterdir(), root / "labels13"]:
        path.unlink() if path.is_file() else path.rmdir()
    (plan,) = plans_of(Options(grid="table1", profile="smoke", data="nyuv2", data_root=root))
    return plan


def report_of(plan: Plan, folder: Path) -> tuple[Report, Store]:
    store = Store(folder / "store")
    fill(store, plan)
    return build_report(plan, store, folder / "reports"), store


def check_nothing_is_compared(report: Report, paper: str) -> None:
    page = report.page.read_text(encoding="utf-8")
    assert LEFT_OUT.format(paper) in page
    assert "Published<small>" not in page
    assert "Published and measured" not in page
    for line in lines_of(report.csv).values():
        assert (line["published"], line["difference"]) == ("", "")
    out = io.StringIO()
    Console(width=100, file=out).print(report.terminal)
    printed = " ".join(out.getvalue().split())
    assert LEFT_OUT.format(paper) in printed
    assert "Absolute numbers are not comparable with the published ones" in page
    assert re.search(rf"the data are not {paper}", page)


def test_no_number_of_the_paper_is_beside_those_of_a_file(tmp_path: Path) -> None:
    plan = own_plan(tmp_path / "data")
    report, store = report_of(plan, tmp_path)
    assert (report.page.name, report.csv.name) == ("table2-data-mine-smoke.html", "table2-data-mine-smoke.csv")
    check_nothing_is_compared(report, "Cityscapes")
    page = report.page.read_text(encoding="utf-8")
    (what,) = re.findall(r'<strong class="what">(.*?)</strong>', page)
    assert what.startswith("Measured on data of your own: mine, ")
    assert what.endswith(" – not on Cityscapes")
    assert "at 64 × 96" in page
    assert "256 × 512" not in page.split('id="made"')[0]  # the paper's size, among the settings alone
    assert lines_of(report.csv)["MILA (ours)", "miou"]["measured_mean"]
    assert judge(plan, store, tmp_path) is None
    assert options_given(plan) == []


def test_neither_is_one_beside_those_of_folders_without_labels(tmp_path: Path) -> None:
    plan = partial_plan(tmp_path / "data")
    assert plan.suite == subset(NYUV2, {"depth", "normals"})
    report, store = report_of(plan, tmp_path)
    assert report.page.name == "table1-nyuv2-pan-nyuv2-depth-normals-smoke.html"
    check_nothing_is_compared(report, "NYUd v2")
    assert "no labels: depth and normals alone" in plan.test_data.manifest["note"]
    assert judge(plan, store, tmp_path) is None


@pytest.mark.parametrize("name", ["nyuv2-depth-normals", None])
def test_such_tasks_may_be_named(name: str | None, tmp_path: Path) -> None:
    root = partial_plan(tmp_path).test_data.source.root
    (plan,) = plans_of(Options(grid="table1", profile="smoke", data="nyuv2", data_root=root, suite=name))
    assert plan.suite.name == "nyuv2-depth-normals"
