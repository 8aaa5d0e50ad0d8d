"""The CSV file of a table, and the same as a frame."""

from __future__ import annotations

import csv

import pytest

from experiments.grids.propagation import TABLE6
from experiments.store import Store
from reports.report import Report, frame
from tests.support.fake_results import plan_of
from tests.support.report_pages import lines_of


def test_csv_has_means_and_spreads(report: Report) -> None:
    assert report.csv.name == "table1-smoke.csv"
    mila = lines_of(report.csv)["MILA (ours)", "miou"]
    # Seed 0: 0.31 + mean of 0..4 thousandths = 0.312; seed 1: 0.322.
    assert float(mila["measured_mean"]) == pytest.approx(31.7)
    assert float(mila["measured_std"]) == pytest.approx(1 / 2**0.5, rel=1e-6)
    assert (mila["n_seeds"], mila["published"], mila["unit"], mila["better"]) == ("2", "38.1", "%", "higher")
    assert (mila["data"], mila["profile"], mila["split"]) == ("procedural videos (rooms)", "smoke", "test")
    depth = lines_of(report.csv)["D101-MultiTask", "depth_abs"]
    assert float(depth["measured_mean"]) == pytest.approx(54.0)  # 0.53 and 0.55
    assert (depth["published"], depth["unit"]) == ("39.0", "m × 100")
    cost = lines_of(report.csv)["MILA (ours)", "gflops"]
    assert (cost["published"], cost["measured_mean"], cost["data"], cost["n_seeds"]) == ("70", "42.25", "", "")
    constant = lines_of(report.csv)["Constant predictor", "miou"]
    assert (constant["published"], constant["n_seeds"], constant["measured_std"]) == ("", "1", "")


def test_frame_has_the_numbers_of_the_csv_file(reports: list[Report], store: Store) -> None:
    plan = plan_of(0, 1, grid=TABLE6[0])
    ours = frame(plan, store)
    with reports[1].csv.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(ours.columns) == list(lines[0])
    assert len(ours) == len(lines)
    mila = ours[(ours.row == "ILA (ours)") & (ours.metric == "miou")].iloc[0]
    assert mila.measured_mean == pytest.approx(25 + 0.5 + 0.2)  # 0.13 + 6 × 0.02, seeds 0 and 1, offsets 0 to 4
    assert mila.interval95_high - mila.interval95_low == pytest.approx(2 * 12.7062 * 0.5, rel=1e-4)  # t(1) · s / √2
    assert mila.n_seeds == 2
    assert ours[ours.row == "FlowNet-S"].measured_mean.tolist() == pytest.approx([0.7, 2.0, 0.35])
    assert ours[ours.row == "None"].published.isna().all()
    numbers = [float(line["measured_mean"] or "nan") for line in lines]
    assert ours.measured_mean.fillna(-1).tolist() == pytest.approx([-1 if x != x else x for x in numbers])
