"""The paper's claims, weighed on what is finished of all tables: brought up to date by every run of any of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from experiments.collect import manifest_of
from experiments.costs.latency import read_records
from experiments.grids import GRIDS
from experiments.plan import Plan, make_plan
from experiments.runs import SEEDS, finished_runs, runs_of
from experiments.sources import SUITES_OF
from experiments.store import Store
from mila.errors import UserError
from reports.files import making_pages
from reports.pages.claims import write_claims
from reports.provenance import about
from reports.settings import unusual


def judge(plan: Plan, store: Store, results: Path) -> Path | None:
    """Write the page of claims for the plan's data and profile into `results/reports`; returns its path.

    None where the plan's tasks, augmentation, weights, K or split are not the usual ones, its data are the user's own,
    or its table is none of the paper's: the claims are not about those.
    """
    if plan.grid.beyond or plan.own_data or plan.grid.has_own_interval or unusual(plan):
        return None
    runs = finished_runs(store, plan.profile) if plan.embedded else runs_of(_alike(plan), store)
    of, out = about(plan, manifest_of(plan.test_data, store), store.whose), results / "reports"
    with making_pages(out):
        return write_claims(runs, read_records(results / "latency"), of, out)


def _alike(plan: Plan) -> Iterator[Plan]:
    """All tables that the plan's real data set has the tasks and the lengths of clips for."""
    source = plan.test_data.source
    for grid in GRIDS.values():
        if grid.suite in SUITES_OF[source.name]:
            with suppress(UserError):  # its files may be of fewer tasks than the data set's
                yield make_plan(grid, plan.profile, source.name, mode=source.mode, seeds=SEEDS, root=source.root)
