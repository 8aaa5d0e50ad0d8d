"""One call from a plan and its store to the terminal's table, the page and the CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import RenderableType

from experiments.collect import collect
from experiments.plan import Plan
from experiments.stages import in_order
from experiments.store import Store
from mila.files import write_text
from reports.figures import cost_figure, offset_figures
from reports.pictures import make_panel
from reports.provenance import about, made
from reports.tables import COST, make_table, to_csv
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
    results = collect(plan, store)
    table, of = make_table(plan, results), about(plan, store)
    title = f"Table {plan.grid.table}. {plan.grid.title}"
    page, sheet = out / f"{of.file_name}.html", out / f"{of.file_name}.csv"
    write_text(sheet, to_csv(table, of.data, of.profile, of.split, of.cost_unit))
    html = (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            about=of,
            profile_about=plan.profile.about,
            table=table,
            cost_key=COST,
            failures=_failures(plan, store),
            offset_figures=offset_figures(table, results),
            cost_figure=cost_figure(table),
            panel=make_panel(plan, store, results),
            made=made(plan, store, results),
            interval=plan.grid.keyframe_interval,
            csv_name=sheet.name,
        )
    )
    write_text(page, html)
    return Report(to_terminal(table, of, title), page, sheet)


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
