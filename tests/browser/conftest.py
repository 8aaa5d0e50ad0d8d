"""A browser, and a folder of reports made of hand-written records: finished, failed, damaged and waiting stages.

The ordinary tests do not come here; `nox -s tests-browser` does. It needs a Chromium: the one that the environment
variable `CHROMIUM` names, one of the system, or one that `playwright install chromium` fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from experiments.collect import manifest_of
from experiments.costs.timing import timed_runs
from experiments.grids.ablations import TABLE4, TABLE10
from experiments.grids.figures import FIGURE4, FIGURE5, FIGURE7
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.grids.propagation import TABLE6
from experiments.profiles import SMOKE
from experiments.runs import finished_runs
from experiments.store import Store
from reports.pages.claims import write_claims
from reports.pages.costs import write_costs
from reports.pages.latency import write_latency
from reports.provenance import about
from reports.report import build_report
from tests.support.browser import find_chromium
from tests.support.fake_costs import CELLS, COSTS, MEMORIES, SPLITS
from tests.support.fake_costs import record as latency
from tests.support.fake_results import NASTY, fill, plan_of


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            pytest.fail(
                "no Chromium was found: install one (apt install chromium, or playwright install chromium), or name it "
                f"in the environment variable CHROMIUM ({str(error).splitlines()[0]})",
                pytrace=False,
            )
        yield found
        found.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `reports` of four tables: finished, with failures and a nasty name, of one seed, and not run.

    With them three figures, and the pages of costs, claims and latency.
    """
    root = tmp_path_factory.mktemp("results")
    store, out = Store(root / "store"), root / "reports"
    for grid in (TABLE1, TABLE6[0]):
        fill(store, plan_of(0, 1, grid=grid))
        build_report(plan_of(0, 1, grid=grid), store, out)
    named = replace(TABLE10, rows=(replace(TABLE10.rows[0], label=NASTY), *TABLE10.rows[1:]))
    plan = plan_of(0, grid=named)
    fill(store, plan)
    failed, damaged, waiting = (row.evaluations[0][0] for row in plan.rows[:3])
    for stage in (failed, waiting):
        (store.folder(stage) / "record.json").unlink()
    store.fail(failed, f"Traceback\nValueError: {NASTY}")
    record = store.folder(damaged) / "record.json"
    record.write_text(record.read_text().replace('"seconds": 1.5', '"seconds": 0.5'))
    build_report(plan, store, out)
    build_report(plan_of(0, grid=TABLE4), store, out)
    for figure in (FIGURE4[1], FIGURE5[1], FIGURE7):
        fill(store, plan_of(0, grid=figure))
        build_report(plan_of(0, grid=figure), store, out)
    fill(store, plan_of(0, 1, grid=TABLE2))
    latencies = [latency("smoke", energy=0.125), latency("reference")]
    write_costs(CELLS, COSTS, SPLITS, MEMORIES, out)
    runs = finished_runs(store, SMOKE)
    write_claims(runs, latencies, about(runs[0].plan, manifest_of(runs[0].plan.test_data, store)), out)
    write_latency(latencies, timed_runs(store, latencies), {"MTAN*": 150.49}, out)
    return out
