"""What pages say of motion: by row, branch and offset on the worlds, and why not on real images."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.grids.ablations import TABLE4
from experiments.grids.multi_task import TABLE1
from experiments.grids.propagation import TABLE6
from experiments.plan import make_plan
from experiments.profiles import SMOKE
from experiments.stages import FollowMotion
from experiments.store import Store
from reports.report import Report, build_report
from tests.support.fake_results import plan_of

MOVING = ("Optical flow, warping", "SVC", "SVC, adaptation branch", "ILA (ours)")


def test_every_row_that_moves_features_is_looked_at_once() -> None:
    for grid, labels in ((TABLE6[0], MOVING), (TABLE4, tuple(row.label for row in TABLE4.rows)), (TABLE1, ())):
        plan = plan_of(3, 4, grid=grid)
        found = {row.label: [v for v in row.visuals if isinstance(v, FollowMotion)] for row in plan.rows}
        assert tuple(label for label, stages in found.items() if stages) == labels
        for stages in found.values():
            assert [(stage.train.seed, stage.interval) for stage in stages] in ([], [(3, 5)])


@pytest.mark.slow
def test_table_and_plot(reports: list[Report]) -> None:
    page = reports[1].page
    text = page.read_text()
    section = text[text.index('<h2 id="motion">') :]
    section = section[: section.index("</section>")]
    rows = [row.split("</th>")[0].split(">")[-1] for row in section.split("<tr>")[1:]]
    assert rows[:4] == ["Optical flow, warping"] * 4
    assert {row for row in rows if "ILA" in row} == {"ILA (ours): segmentation", "ILA (ours): depth"}
    assert section.count('title="closer than both"') == section.count(">1</a>")
    assert "−0.50" in section
    assert "1.5 %" in section
    with (page.parent / page.stem / "motion.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows)
    assert (lines[0]["row"], lines[0]["offset"], lines[0]["epe"], lines[0]["entropy"]) == (MOVING[0], "1", "0.3", "")
    assert (page.parent / page.stem / "motion.svg").is_file()
    assert '<h2 id="motion">' not in reports[0].page.read_text()


@pytest.mark.slow
def test_nothing_finished_and_nothing_known(nyu: Path, tmp_path: Path) -> None:
    grid = replace(TABLE6[1], rows=TABLE6[1].rows[-1:])
    store = Store(tmp_path / "store")
    page = build_report(plan_of(0, grid=grid), store, tmp_path).page.read_text()
    assert "No finished network yet." in page[page.index('<h2 id="motion">') :]
    real = make_plan(grid, SMOKE, "nyuv2", mode="still", root=nyu)
    assert not any(row.visuals for row in real.rows)
    page = build_report(real, store, tmp_path).page.read_text()
    assert "nobody knows the exact motion of real images" in page
