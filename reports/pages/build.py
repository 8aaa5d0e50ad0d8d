"""One call from a plan and its store to the terminal's table, the pages, the files beside them and the index."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rich.console import RenderableType

from experiments.collect import collect, collect_flow
from experiments.models import is_mila
from experiments.plan import Plan
from experiments.stages import in_order
from experiments.store import DamagedRecordError, Store
from reports.digests import combined, made_from
from reports.files import making_pages, update, update_all
from reports.pages.index import refresh_index, table_card, write_card
from reports.pages.stage_pages import digests_of, write_stage_pages
from reports.pictures.animation import make_film
from reports.pictures.attention import sections
from reports.pictures.panel import make_panel
from reports.plots.ablations import ablation_figures
from reports.plots.drawing import drawn_before
from reports.plots.table_plots import cost_figures, offset_figures
from reports.plots.tradeoffs import tradeoff_figures
from reports.provenance import about, made
from reports.render import render
from reports.settings import cost_networks
from reports.statistics import METHOD
from reports.tables.build_table import make_table
from reports.tables.csv_file import to_csv
from reports.tables.flow import make_flow
from reports.tables.latex_markdown import to_latex, to_markdown
from reports.tables.row_order import TEST, orders, to_sheet
from reports.tables.scores_by_seed import behind
from reports.tables.table import COST, stage_href
from reports.tables.terminal import to_terminal

_FILES = {"CSV": "csv", "LaTeX": "tex", "Markdown": "md"}
"""Beside the page: what they are, and how their names end."""


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


@dataclass(frozen=True)
class Failure:
    """A stage that failed or whose record is damaged: its page, and the last line of the reason."""

    title: str
    href: str
    reason: str


def build_report(plan: Plan, store: Store, out: Path) -> Report:
    """Write a plan's report into the folder `out`, from what is finished; what is not says why.

    Beside the page `NAME.html` lie its CSV, LaTeX and Markdown files, a folder `NAME` with its plots and their data,
    and what the index says of it; the stages' pages are in `stages`. The same records give the same bytes. Pages whose
    records did not change are left as they are.

    Raises:
        UserError: the pages cannot be made; what was run is kept.
    """
    with making_pages(out):
        return _build(plan, store, out)


def _build(plan: Plan, store: Store, out: Path) -> Report:
    digests = digests_of([plan.train_data, plan.test_data, *plan.stages()], store)
    write_stage_pages(digests, store, out)
    results, flow_result = collect(plan, store), collect_flow(plan, store)
    table, of, flow = make_table(plan, results), about(plan, store), make_flow(plan, flow_result)
    title = plan.grid.heading
    page, files = out / f"{of.file_name}.html", {what: f"{of.file_name}.{end}" for what, end in _FILES.items()}
    digest = combined([title, of, plan.profile, plan.seeds, plan.grid.rows, *(digest for _, digest in digests)])
    if made_from(page) != digest or not all(
        (out / name).is_file() for name in (*files.values(), f"{of.file_name}.json")
    ):
        beside = {
            out / files["CSV"]: to_csv(table, of, flow),
            out / files["LaTeX"]: to_latex(table, of, title),
            out / files["Markdown"]: to_markdown(table, of, title),
        }
        origin, panel = made(plan, store, results, flow_result), make_panel(plan, store, results)
        with drawn_before(out / of.file_name):
            figures = {
                "offset_figures": offset_figures(table, results),
                "ablation_figures": ablation_figures(plan, table, results),
                "tradeoff_figures": tradeoff_figures(table),
                "cost_figures": cost_figures(table),
            }
            looks = sections(plan, store)
        order = orders(table, results)
        if order:
            beside[out / of.file_name / "order.csv"] = to_sheet(order)
        film = make_film(plan, store)
        if film is not None:
            film.write(out / of.file_name)
        for figure in chain(*figures.values(), *(section.figures for section in looks)):
            beside |= figure.files(out / of.file_name)
        update_all(beside)
        html = render(
            "page.html.j2",
            digest=digest,
            title=title,
            about=of,
            profile_about=plan.profile.about,
            table=table,
            flow=flow,
            cost_networks=cost_networks(plan),
            cost_key=COST,
            failures=_failures(plan, store),
            **figures,
            figure_number=plan.grid.figure,
            looks=looks,
            film=film,
            looked_seed=plan.seeds[0],
            orders=order,
            test=TEST,
            folder=of.file_name,
            panel=panel,
            behind=behind(table, results, flow_result),
            made=origin,
            starred=any("*" in row.label for row in plan.grid.rows),
            attends=any(is_mila(row.model) for row in plan.grid.rows),
            alike=any(r.values and not r.plan.is_video and not r.plan.is_constant for r in results),
            interval=max(len(offsets) for row in plan.rows for offsets in row.evaluations),
            interval_method=METHOD,
            files=files,
        )
        write_card(page, table_card(plan, table, of, origin, title, files))
        update(page, html)  # last: from here on the report is up to date
    return Report(to_terminal(table, of, flow, title), page, out / files["CSV"], refresh_index(out))


def _failures(plan: Plan, store: Store) -> list[Failure]:
    """The plan's stages that failed or are damaged."""
    failures = []
    for stage in in_order(plan.stages()):
        state, reason = store.state(stage), ""
        if state == "failed":
            lines = (store.folder(stage) / "error.txt").read_text(encoding="utf-8").strip().splitlines()
            reason = lines[-1] if lines else "no reason given"
        elif state == "damaged":
            try:
                store.record(stage)
            except DamagedRecordError as error:
                reason = str(error)
        if reason:
            failures.append(Failure(stage.title, stage_href(stage.key), reason))
    return failures
