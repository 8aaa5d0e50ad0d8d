"""The page of a table or a figure, and the files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from experiments.models import is_mila
from experiments.results import Results, StageResult
from reports.differences import ONE_SEED, READ_AS_SIMILAR
from reports.files import update, update_all
from reports.lead import lead
from reports.pages.index import Card, write_card
from reports.pictures.animation import Animation, make_animation
from reports.pictures.attention import Section, attention_sections
from reports.pictures.motion import MotionTable, make_motion
from reports.pictures.panel import Panel, make_panel
from reports.plots.ablations import ablation_figures
from reports.plots.drawing import DrawnPlots, Figure
from reports.plots.table_plots import cost_figures, offset_figures
from reports.plots.tradeoffs import tradeoff_figures
from reports.provenance import About, Provenance, provenance_of
from reports.render import render
from reports.settings import cost_networks
from reports.statistics import METHOD
from reports.tables import row_order
from reports.tables.csv_file import to_csv
from reports.tables.flow import Flow
from reports.tables.latex_markdown import to_latex, to_markdown
from reports.tables.row_order import Order, orders
from reports.tables.scores_by_seed import RowScores, scores_by_seed
from reports.tables.table import COST, DELTA, ResultTable, stage_href

_ENDINGS = {"CSV": "csv", "LaTeX": "tex", "Markdown": "md"}
"""Of the files beside the page that hold the table."""


@dataclass(frozen=True)
class Failure:
    """A stage that failed or whose record is damaged: its page, and the last line of the reason."""

    title: str
    href: str
    reason: str


@dataclass(frozen=True)
class TableResults:
    """What the page of a table and the files beside it are made of.

    Attributes:
        results: all that is known of the plan.
        about: what the page is of.
        table: the numbers.
        flow: those of FlowNet-S; None where no row starts from it.
        digest: of all that the page is made of.
    """

    results: Results
    about: About
    table: ResultTable
    flow: Flow | None
    digest: str


@dataclass(frozen=True)
class TablePage:
    """All that the page of a table or a figure shows.

    Attributes:
        digest: of what it is made of.
        title: heading.
        about: what it is of.
        profile_about: what the profile is, in words.
        shows: what the runs show, in a sentence; empty where there are too few.
        figure_number: of the paper's figure; None for a table.
        beyond: whether the paper has no such table.
        table: the numbers.
        flow: those of FlowNet-S; None where no row starts from it.
        cost_networks: what the cost is counted with, in words.
        failures: stages that failed or are damaged.
        offset_figures, ablation_figures, tradeoff_figures, cost_figures: plots.
        attention: a section a model.
        motion: whether what is carried follows the motion; None where the grid does not ask.
        animation: predictions along a video; None where there are none.
        first_seed: of the networks in those two.
        orders: of the rows, by metric.
        panel: pictures; None where there are none.
        scores: behind each mean.
        provenance: how the numbers were made.
        starred: whether a row is marked with a star.
        attends: whether a row is MILA.
        alike: whether a network with a number treats every frame alike.
        interval: the largest K.
        folder: name of the folder of plots.
        files: names of the files of the table beside the page.
    """

    cost_key: ClassVar[str] = COST
    one_seed: ClassVar[str] = ONE_SEED
    similar: ClassVar[str] = READ_AS_SIMILAR
    interval_method: ClassVar[str] = METHOD

    digest: str
    title: str
    about: About
    profile_about: str
    shows: str
    figure_number: int | None
    beyond: bool
    table: ResultTable
    flow: Flow | None
    cost_networks: str
    failures: Sequence[Failure]
    offset_figures: Sequence[Figure]
    ablation_figures: Sequence[Figure]
    tradeoff_figures: Sequence[Figure]
    cost_figures: Sequence[Figure]
    attention: Sequence[Section]
    motion: MotionTable | None
    animation: Animation | None
    first_seed: int
    orders: Sequence[Order]
    panel: Panel | None
    scores: Sequence[RowScores]
    provenance: Provenance
    starred: bool
    attends: bool
    alike: bool
    interval: int
    folder: str
    files: Mapping[str, str]


def file_names(about: About) -> dict[str, str]:
    """Of the files of the table beside the page, by what they are."""
    return {what: f"{about.file_name}.{ending}" for what, ending in _ENDINGS.items()}


def make_table_page(made_of: TableResults, drawn: DrawnPlots) -> TablePage:
    """Draw and gather all that the page shows; what was `drawn` before is taken."""
    results, about, table = made_of.results, made_of.about, made_of.table
    plan, rows = results.plan, results.rows
    return TablePage(
        digest=made_of.digest,
        title=plan.grid.heading,
        about=about,
        profile_about=plan.profile.about,
        shows=lead(rows, plan.suite),
        figure_number=plan.grid.figure,
        beyond=plan.grid.beyond,
        table=table,
        flow=made_of.flow,
        cost_networks=cost_networks(plan),
        failures=[_failure(stage) for stage in results.stages if stage.state in ("failed", "damaged")],
        offset_figures=offset_figures(table, rows, drawn),
        ablation_figures=ablation_figures(plan, table, rows),
        tradeoff_figures=tradeoff_figures(table, drawn),
        cost_figures=cost_figures(table, drawn),
        attention=attention_sections(results, drawn),
        motion=make_motion(plan, results.motion, drawn),
        animation=make_animation(results),
        first_seed=plan.seeds[0],
        orders=orders(table),
        panel=make_panel(results),
        scores=scores_by_seed(table, rows, results.flow),
        provenance=provenance_of(results),
        starred=any("*" in row.label for row in plan.grid.rows),
        attends=any(is_mila(row.model) for row in plan.grid.rows),
        alike=any(r.values and not r.plan.is_video and not r.plan.is_constant for r in rows),
        interval=max(len(offsets) for row in plan.rows for offsets in row.evaluations),
        folder=about.file_name,
        files=file_names(about),
    )


def write_table_page(made_of: TableResults, out: Path) -> None:
    """Write the page and all that belongs to it into the folder `out`."""
    folder = out / made_of.about.file_name
    page = make_table_page(made_of, DrawnPlots.of(folder))
    beside = {
        out / page.files["CSV"]: to_csv(page.table, page.about, page.flow),
        out / page.files["LaTeX"]: to_latex(page.table, page.about, page.title),
        out / page.files["Markdown"]: to_markdown(page.table, page.about, page.title),
    }
    if page.orders:
        beside[folder / "order.csv"] = row_order.to_csv(page.orders)
    plots = (page.offset_figures, page.ablation_figures, page.tradeoff_figures, page.cost_figures)
    moving = page.motion.figures if page.motion else ()
    for figure in chain(*plots, moving, *(section.figures for section in page.attention)):
        beside |= figure.files(folder)
    if page.animation is not None:
        page.animation.write(folder)
    update_all(beside)
    html = out / f"{page.about.file_name}.html"
    write_card(html, _card(made_of, page))
    update(html, render("table.html.j2", page))  # last: from here on the page is up to date


def _failure(result: StageResult) -> Failure:
    lines = result.reason.strip().splitlines()
    reason = result.reason if result.state == "damaged" else lines[-1] if lines else "no reason given"
    return Failure(result.stage.title, stage_href(result.key), reason)


def _card(made_of: TableResults, page: TablePage) -> Card:
    """What the index says of the page."""
    plan, table, about, made = made_of.results.plan, page.table, page.about, page.provenance
    states = [stage.state for stage in made.stages]
    rows = [line for line in table.lines if not line.constant]
    printed = [(line, key) for line in rows for key in line.published if key not in (COST, DELTA)]
    return Card(
        title=page.title,
        about=about.whose,
        grid=plan.grid.name,
        embedded=about.embedded,
        data=about.data,
        profile=about.profile,
        split=about.split,
        seeds=about.seeds,
        own=tuple(row.label for row in plan.grid.own_rows),
        rows=len(rows),
        rows_done=sum(line.seeds == len(plan.seeds) for line in rows),
        published=len(printed),
        measured=sum(key in line.measured for line, key in printed),
        stages=len(made.stages),
        stages_done=made.done,
        failed=states.count("failed"),
        damaged=states.count("damaged"),
        finished=made.last,
        machines=made.machines,
        commits=made.commits,
        files=tuple(page.files.items()),
    )
