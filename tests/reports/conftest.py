"""Reports that many tests read: Tables 1 and 6, two seeds, on records that are written by hand."""

from __future__ import annotations

import pytest

from experiments.grids.multi_task import TABLE1
from experiments.grids.propagation import TABLE6
from experiments.store import Store
from reports.report import Report, build_report
from tests.support.fake_results import fill, plan_of


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    fill(store, plan_of(0, 1))
    fill(store, plan_of(0, 1, grid=TABLE6[0]))
    return store


@pytest.fixture(scope="session")
def reports(store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[Report]:
    out = tmp_path_factory.mktemp("out")
    return [build_report(plan_of(0, 1, grid=grid), store, out) for grid in (TABLE1, TABLE6[0])]


@pytest.fixture(scope="session")
def report(reports: list[Report]) -> Report:
    return reports[0]


@pytest.fixture(scope="session")
def page(report: Report) -> str:
    return report.page.read_text()
