"""Plots by keyframe offset, and of what the rows vary."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from experiments.grids.ablations import TABLE4
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1
from experiments.grids.propagation import TABLE5
from experiments.store import Store
from reports.report import build_report
from tests.support.fake_results import fill, plan_of

LABELS = [row.label for row in TABLE1.rows]


def test_curves_name_every_method(page: str) -> None:
    section = page[page.index('id="offsets"') : page.index('id="cost"')]
    assert section.count("<svg") == 3
    for label in LABELS:
        assert section.count(f">{label.replace('&', '&amp;')}</text>") == 3


@pytest.mark.slow
@pytest.mark.parametrize(("grid", "over"), [(TABLE4, "window"), (TABLE5, "keyframe interval")])
def test_plots_of_what_the_rows_vary(grid: Grid, over: str, tmp_path: Path) -> None:
    plan, store = plan_of(0, 1, grid=grid), Store(tmp_path / "store")
    fill(store, plan)
    report = build_report(plan, store, tmp_path)
    path = report.page.with_suffix("") / f"{over.replace(' ', '-')}-miou.csv"
    lines = {line["row"]: line for line in csv.DictReader(io.StringIO(path.read_text()))}
    assert set(lines) == {row.label for row in grid.rows}
    for i, row in enumerate(grid.rows):
        k = dict(row.arguments).get("keyframe_interval", 5)
        assert float(lines[row.label]["miou (%)"]) == pytest.approx(13 + 2 * i + 0.5 + 0.1 * (k - 1) / 2)
        assert lines[row.label][over] == (row.label if over == "window" else str(k))
    page = report.page.read_text()
    section = page[page.index('id="ablation"') : page.index('id="cost"')]
    if over == "window":
        assert all(f">{row.label}</text>" in section for row in grid.rows)
    else:
        assert all(section.count(f">D101-{fast}, {name}</text>") for fast in (18, 34) for name in ("ILA (ours)",))
