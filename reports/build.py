"""One call from a plan and its store to the terminal's table, the page and the CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import RenderableType

from experiments.collect import collect, collect_flow
from experiments.plan import Plan
from experiments.stages import in_order
from experiments.store import Store
from mila.files import write_text
from reports.figures import cost_figure, offset_figures
from reports.flow import make_flow
from reports.pictures import make_panel
from reports.provenance import about, made
from reports.settings import cost_networks
from reports.sheet import to_csv
from reports.tables import COST, make_table
from reports.terminal import to_terminal

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        terminal: what to print.
        page: the HTML file; it needs no other file and no network.
        csv: the same numbers, one line a row and metric.
    """

    terminal: RenderableType
    page: Path
    csv: Path


def build_report(plan: Plan, store: Store, out: Path) -> Report:
    """Write a plan's report into the folder `out`, from what is finished; what is not says why.

    The same records give the same bytes.
    """
    results, flow_result = collect(plan, store), collect_flow(plan, store)
    table, of, flow = make_table(plan, results), about(plan, store), make_flow(plan, flow_result)
    title = f"Table {plan.grid.table}. {plan.grid.title}"
    page, sheet = out / f"{of.file_name}.html", out / f"{of.file_name}.csv"
    write_text(sheet, to_csv(table, of, flow))
    html = (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            about=of,
            profile_about=plan.profile.about,
            table=table,
            flow=flow,
            cost_networks=cost_networks(plan),
            cost_key=COST,
            failures=_failures(plan, store),
            offset_figures=offset_figures(table, results),
            cost_figure=cost_figure(table),
            panel=make_panel(plan, store, results),
            made=made(plan, store, results, flow_result),
            starred=any("*" in row.label for row in plan.grid.rows),
            attends=any(row.model == "mila" for row in plan.grid.rows),
            alike=any(r.values and not r.plan.is_video and not r.plan.is_constant for r in results),
            interval=max(len(offsets) for row in plan.rows for offsets in row.evaluations),
            csv_name=sheet.name,
        )
    )
    write_text(page, html)
    return Report(to_terminal(table, of, flow, title), page, sheet)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["groupby_order"] = _runs
    return environment


def _runs(items: Sequence[object], attribute: str) -> list[list[object]]:
    """Neighbours that agree in an attribute, together, in their order (jinja's own groupby sorts)."""
    return [list(group) for _, group in groupby(items, attrgetter(attribute))]


def _failures(plan: Plan, store: Store) -> list[tuple[str, str]]:
    """(title, last line of the reason) of the plan's failed stages."""
    failures = []
    for stage in in_order(plan.stages()):
        if store.state(stage) == "failed":
            reason = (store.folder(stage) / "error.txt").read_text(encoding="utf-8").strip()
            failures.append((stage.title, reason.splitlines()[-1] if reason else "no reason given"))
    return failures
