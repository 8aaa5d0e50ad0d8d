"""The published costs counted anew, and what the paper claims: pages and CSV files, in minutes, without any training.

python -m experiments.commands.costs

The claims about accuracy take their verdict from runs that are finished in the store; what is not run is said.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from experiments.collect import manifest_of
from experiments.costs.audit import cells, show
from experiments.costs.latency import SHIPPED, read_records
from experiments.costs.rows import row_cost, row_memory, row_split
from experiments.costs.timing import timed_runs
from experiments.costs.values import COSTED, REMEMBERED, SPLIT, Cell, PrintedTable, RowCost, RowMemory, RowSplit
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.own_profile import find_profile
from experiments.runs import finished_runs
from experiments.store import Store
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from reports.pages.claims import write_claims
from reports.pages.costs import write_costs
from reports.pages.latency import write_latency
from reports.provenance import about
from reports.published.numbers import read_published

_WORKERS = 2
"""Each takes most of a gigabyte."""


def printed_costs() -> Mapping[int, PrintedTable]:
    """The paper's tables with costs, by their number."""
    return {grid.table: read_published(grid.table, grid.suite.name) for grid in (TABLE1, TABLE2)} | {
        7: read_published(7, "")
    }


def count_everything() -> tuple[list[Cell], list[RowCost], list[RowSplit], list[RowMemory]]:
    """The audit's cells, costs that the paper does not print, parts, and memory; on two cores where there are two."""
    with ProcessPoolExecutor(_WORKERS, multiprocessing.get_context("spawn")) as pool:
        audit = pool.submit(cells, printed_costs())
        costs = [pool.submit(row_cost, grid, row) for grid in COSTED for row in grid.rows]
        splits = [pool.submit(row_split, grid, row) for grid in SPLIT for row in grid.rows]
        memories = [pool.submit(row_memory, grid, row) for grid in REMEMBERED for row in grid.rows]
        return (
            audit.result(),
            [job.result() for job in costs],
            [job.result() for job in splits],
            [job.result() for job in memories],
        )


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--results", metavar="FOLDER", type=given_path, default=Path("results"), help="where results go"
    )
    parser.add_argument(
        "--profile", metavar="NAME", default="quick", help="whose finished runs are looked at (default: quick)"
    )
    options = parser.parse_args(words)
    return exit_code_of(lambda: _count(options, console))


def _count(options: argparse.Namespace, console: Console) -> int:
    """Count, and write the pages."""
    latencies = read_records(options.results / "latency")
    store = Store(options.results / "store")
    runs = finished_runs(store, find_profile(options.profile))
    audit, costs, splits, memories = count_everything()
    counted = {cell.row: cell.measured for cell in audit if (cell.table, cell.column) == (2, "GFLOPs")}
    out = options.results / "reports"
    pages = [write_costs(audit, costs, splits, memories, out)]
    if runs and not runs[0].plan.grid.has_own_interval:  # the claims are about the paper's
        pages.append(
            write_claims(runs, latencies, about(runs[0].plan, manifest_of(runs[0].plan.test_data, store)), out)
        )
    pages.append(write_latency(latencies, timed_runs(store, latencies), counted, out, read_records(SHIPPED)))
    show(audit, console)
    for page in pages:
        console.print(f"Page: {page.resolve()}\nData: {page.with_suffix('.csv').resolve()}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
