"""Tables over other tasks than the paper's: a number of other classes is never beside or above one at hand."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1
from experiments.grids.propagation import TABLE5
from experiments.plan import Plan, make_plan
from experiments.profiles import SMOKE
from experiments.store import Store
from mila.tasks import CITYSCAPES, NYUV2_40, SUITES
from reports.report import Report, build_report
from reports.tables.build_table import make_table
from tests.support.fake_nyuv2 import fake_nyuv2
from tests.support.fake_results import fill, plan_of
from tests.support.report_pages import Cells, lines_of

LEFT_OUT = "The paper’s numbers of segmentation are of 13 classes, those here of 40"


def plan_of_forty(folder: Path) -> Plan:
    root = fake_nyuv2(folder)
    shutil.copytree(root / "labels13", root / "labels40")
    return make_plan(TABLE1, SMOKE, "nyuv2", mode="still", suite=NYUV2_40, root=root)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Table 1 over 40 classes."""
    folder = tmp_path_factory.mktemp("forty")
    plan, store = plan_of_forty(folder / "data"), Store(folder / "store")
    fill(store, plan)
    return build_report(plan, store, folder / "reports")


def test_the_terminal_has_no_number_of_other_classes(report: Report) -> None:
    out = io.StringIO()
    Console(width=100, file=out).print(report.terminal)
    printed = " ".join(out.getvalue().split())
    published, measured = printed[printed.index("PUBLISHED") :].split("MEASURED on", 1)
    assert LEFT_OUT in published
    assert "Depth" in published
    assert "mIoU" not in published
    assert "mIoU" in measured


def test_neither_have_the_files(report: Report) -> None:
    lines = lines_of(report.csv)
    assert (lines["MILA (ours)", "miou"]["published"], lines["MILA (ours)", "miou"]["difference"]) == ("", "")
    assert lines["MILA (ours)", "miou"]["measured_mean"]
    assert lines["MILA (ours)", "depth_abs"]["published"]
    assert lines["MILA (ours)", "depth_abs"]["difference"]
    page = report.page.read_text()
    assert LEFT_OUT in page
    assert 'colspan="0"' not in page
    headings = [row for row in Cells(page).rows if any(text.startswith("mIoU") for _, text in row)]
    assert [kind for row in headings for kind, text in row if text.startswith("mIoU")] == ["measured"]
    published = report.csv.with_suffix(".md").read_text().split("Measured", 1)[0]
    assert "mIoU" not in published


@pytest.mark.parametrize(
    ("grid", "suite", "shown"),
    [
        (TABLE1, "nyuv2", {"miou", "depth_abs", "depth_rel", "normal_mean"}),
        (TABLE5, "cityscapes7", {"miou"}),  # what stands in for 19 classes on the embedded world
    ],
)
def test_the_papers_own_tasks_keep_their_numbers(grid: Grid, suite: str, shown: set[str]) -> None:
    plan = plan_of(0, grid=grid)
    assert plan.suite == SUITES[suite]
    table = make_table(plan, [])
    assert shown <= {column.key for column in table.published}
    assert not table.left_out


def test_a_table_of_which_nothing_can_be_compared(tmp_path: Path) -> None:
    """Table 5 has the mIoU of 19 classes alone."""
    plan = make_plan(TABLE5, SMOKE, "street", mode="video", suite=CITYSCAPES)
    store = Store(tmp_path / "store")
    fill(store, plan)
    report = build_report(plan, store, tmp_path / "reports")
    page = report.page.read_text()
    assert "of 19 classes, those here of 7" in page
    assert 'colspan="0"' not in page
    assert "Published<small>" not in page
    Console(width=80, file=io.StringIO()).print(report.terminal)
