"""The entry of this package: from a plan and its store to a report, or to a pandas frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from experiments.collect import collect
from experiments.plan import Plan
from experiments.results import Results
from experiments.store import Store
from reports.digests import combined, made_from
from reports.files import making_pages
from reports.pages.index import refresh_index
from reports.pages.stage_pages import digests_of, write_stage_pages
from reports.pages.table_page import TableResults, file_names, write_table_page
from reports.provenance import about
from reports.tables.build_table import make_table
from reports.tables.csv_file import to_frame
from reports.tables.flow import make_flow
from reports.tables.terminal import to_terminal

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        terminal: what to print.
        page: the HTML file; it needs no network, and no other file to be read.
        csv: the same numbers, one line a row and metric.
        index: the list of all reports in the folder.
    """

    terminal: RenderableType
    page: Path
    csv: Path
    index: Path


def build_report(plan: Plan, store: Store, out: Path) -> Report:
    """Write a plan's report into the folder `out`, from what is finished; what is not says why.

    Beside the page `NAME.html` lie its CSV, LaTeX and Markdown files, a folder `NAME` with its plots and their data,
    and what the index says of it; the stages' pages are in `stages`. The same records give the same bytes. Pages whose
    records did not change are left as they are.

    Raises:
        UserError: the pages cannot be made; what was run is kept.
    """
    with making_pages(out):
        return _write(collect(plan, store), out)


def frame(plan: Plan, store: Store) -> pd.DataFrame:
    """A plan's table as a pandas frame: what its CSV file says, one line a row and metric, with numbers as numbers.

    Columns: see `reports.tables.csv_file.HEADER`. What is missing is NaN, and `missing` says why.
    """
    results = collect(plan, store)
    table, flow = make_table(plan, results.rows), make_flow(plan, results.flow)
    return to_frame(table, about(plan, results.manifest, results.whose), flow)


def _write(results: Results, out: Path) -> Report:
    plan = results.plan
    of = about(plan, results.manifest, results.whose)
    table, flow = make_table(plan, results.rows), make_flow(plan, results.flow)
    stages = digests_of(results.stages)
    write_stage_pages(stages, out)
    title, rows = plan.grid.heading, plan.grid.rows
    digest = combined([title, of, plan.profile, plan.seeds, rows, *(digest for _, digest in stages)])
    page, files = out / f"{of.file_name}.html", file_names(of)
    written = all((out / name).is_file() for name in (*files.values(), f"{of.file_name}.json"))
    if not written or made_from(page) != digest:
        write_table_page(TableResults(results, of, table, flow, digest), out)
    return Report(to_terminal(table, of, flow, title), page, out / files["CSV"], refresh_index(out))
