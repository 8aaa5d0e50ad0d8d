"""The page of claims: each with the arithmetic of the paper's own tables and of what is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.cost_audit import Cell
from experiments.cost_rows import RowCost
from experiments.embedded import Runs
from experiments.latency import LatencyRecord
from reports.claim_sources import counted, measured, published, timed
from reports.costs import anchor
from reports.drawing import table_of
from reports.files import update
from reports.index import Card, refresh_index, write_card
from reports.ledger import LEDGER, Claim
from reports.render import render
from reports.statements import At, Finding, Source, Statement, Verdict, together

_COLUMNS = {"gflops": "GFLOPs", "conv_layers": "convolutions", "params_millions": "parameters (M)"}


@dataclass(frozen=True)
class Judged:
    """A finding and what it is of: `source` in words, `href` of where its numbers are."""

    source: str
    href: str
    finding: Finding


@dataclass(frozen=True)
class StatementLine:
    """A statement.

    Attributes:
        about: which part of the claim.
        tables: by the paper's own numbers; None where it prints none.
        measured: by ours; empty where there are none.
        missing: why there are none.
    """

    about: str
    tables: Judged | None
    measured: tuple[Judged, ...]
    missing: str


@dataclass(frozen=True)
class ClaimLine:
    """A claim, its lines, and its verdicts as a whole."""

    claim: Claim
    lines: tuple[StatementLine, ...]
    tables: Verdict | None
    measured: Verdict | None


@dataclass(frozen=True)
class _Ours:
    """A source of measured numbers.

    Attributes:
        kind: of the statements that it is asked about.
        name: in words.
        page: where its numbers are shown.
        binding: whether it decides the verdict of a claim.
    """

    kind: str
    name: str
    page: str
    source: Source
    binding: bool = True


def write_claims(
    cells: Sequence[Cell], costs: Sequence[RowCost], runs: Sequence[Runs], latencies: Sequence[LatencyRecord], out: Path
) -> Path:
    """Write `claims.html`, its CSV file and its card into the folder `out`; returns the page's path."""
    profile = runs[0].plan.profile.name if runs else "quick"
    ours = [
        _Ours("cost", "counted as published", "costs.html", counted(cells, costs, complete=False)),
        _Ours("cost", "counted complete", "costs.html", counted(cells, costs, complete=True), binding=False),
        _Ours("accuracy", f"embedded videos, profile {profile}", "", measured(runs)),
        *(
            _Ours("time", f"timed on {record.device}, profile {record.profile}", "latency.html", timed(record))
            for record in latencies
        ),
    ]
    pages = {
        run.plan.grid.table: f"{run.plan.grid.name}{'' if profile == 'quick' else f'-{profile}'}.html" for run in runs
    }
    found = {table: page for table, page in pages.items() if (out / page).is_file()}
    lines = [judge(claim, ours, found) for claim in LEDGER]
    page = out / "claims.html"
    update(page.with_suffix(".csv"), _sheet(lines))
    html = render("claims.html.j2", claims=lines, profile=profile, count=_count(lines), records=_records(runs))
    update(page, html)
    about = f"{len(lines)} claims of the paper’s text against its tables and against what is measured here."
    write_card(page, Card(title="Claims", about=about, files=(("CSV", "claims.csv"),)))
    refresh_index(out)
    return page


def judge(claim: Claim, ours: Sequence[_Ours], pages: dict[int, str]) -> ClaimLine:
    """Weigh a claim on the paper's numbers and on ours; `pages` are those of tables that were measured."""
    lines, tables, verdicts = [], [], []
    for statement in claim.statements:
        finding = statement.judge(published)
        if finding is not None:
            tables.append(finding.verdict)
        judged, missing = [], _missing(statement)
        for our in ours:
            if our.kind != statement.kind:
                continue
            said = statement.judge(our.source)
            if said is None:
                continue
            judged.append(Judged(our.name, _href(our, statement.cells[0], pages), said))
            if our.binding:
                verdicts.append(said.verdict)
        if not judged:
            verdicts.append("no run yet")
        printed = None if finding is None else Judged(f"Table {statement.cells[0].table}", "", finding)
        lines.append(StatementLine(statement.about, printed, tuple(judged), "" if judged else missing))
    return ClaimLine(claim, tuple(lines), together(tables), together(verdicts))


def _missing(statement: Statement) -> str:
    tables = sorted({cell.table for cell in statement.cells})
    if statement.kind == "time":
        return f"no run yet: nox -s bench-latency -- --grids {' '.join(f'table{table}' for table in tables)}"
    return f"no run yet: nox -s reproduce-{', '.join(f'table{table}' for table in tables)}"


def _href(our: _Ours, cell: At, pages: dict[int, str]) -> str:
    if our.kind == "accuracy":
        return pages.get(cell.table, "")
    if our.kind == "cost" and cell.table in (1, 2, 7):  # the tables that print costs
        size = cell.row.split(" / ")[-1] if cell.table == 7 else ""
        return f"{our.page}#{anchor(cell.table, cell.name, _COLUMNS[cell.metric], size)}"
    return f"{our.page}#unprinted" if our.kind == "cost" else our.page


def _count(lines: Sequence[ClaimLine]) -> list[tuple[str, int, int]]:
    """(verdict, claims by the tables, claims by what is measured)."""
    order: tuple[Verdict, ...] = (
        *("holds", "more than said", "in part", "less than said", "does not hold", "cannot tell", "no run yet"),
    )
    rows = [(v, sum(line.tables == v for line in lines), sum(line.measured == v for line in lines)) for v in order]
    return [row for row in rows if row[1] or row[2]]


def _records(runs: Sequence[Runs]) -> list[tuple[str, str, str]]:
    """(table, row, hashes of its trainings) behind the measured scores."""
    return [
        (f"Table {run.plan.grid.table}", result.plan.label, " ".join(train.key for train in result.trains))
        for run in runs
        for result in run.results
        if result.trains and not result.plan.is_constant
    ]


HEADER = ("where", "claim", "part", "tables_give", "tables_verdict", "measured_by", "measured", "measured_verdict")


def _sheet(lines: Sequence[ClaimLine]) -> str:
    """One line a statement and source of measured numbers."""
    rows: list[tuple[object, ...]] = []
    for line in lines:
        for part in line.lines:
            printed = (
                ("", "not printed") if part.tables is None else (part.tables.finding.text, part.tables.finding.verdict)
            )
            head = (line.claim.where, line.claim.says, part.about, *printed)
            rows += [(*head, j.source, j.finding.text, j.finding.verdict) for j in part.measured]
            if not part.measured:
                rows.append((*head, "", part.missing, "no run yet"))
    return table_of(HEADER, rows)
