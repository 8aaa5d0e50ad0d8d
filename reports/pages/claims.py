"""The page of claims: each with the arithmetic of the paper's own tables and of what is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.costs.latency import LatencyRecord
from experiments.runs import Runs
from reports.claims.all_claims import CLAIMS
from reports.claims.cells import Claim
from reports.claims.numbers import At, Source
from reports.claims.sources import counted, measured, published, repeated, timed
from reports.claims.statements import Finding, Statement, Verdict, together
from reports.csv_text import csv_text
from reports.differences import READ_AS_SIMILAR, TEST
from reports.files import update
from reports.pages.costs import anchor, read_costs
from reports.pages.index import Card, refresh_index, write_card
from reports.provenance import About
from reports.published.numbers import dataset_of
from reports.render import render, upper_first
from reports.titles import DATASET_TITLES

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
class ClaimsPage:
    """All that the page shows.

    Attributes:
        claims: with their findings.
        about: what the accuracy is measured on.
        profile_about: what the profile is, in words.
        csv: name of the CSV file.
        beside: names of other pages that are there.
        count: (verdict, claims by the tables, claims by what is measured).
        records: (table, row, hashes of its trainings) behind the measured scores.
    """

    test: ClassVar[str] = TEST
    similar: ClassVar[str] = READ_AS_SIMILAR

    claims: tuple[ClaimLine, ...]
    about: About
    profile_about: str
    csv: str
    beside: tuple[str, ...]
    count: tuple[tuple[str, int, int], ...]
    records: tuple[tuple[str, str, str], ...]


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


def write_claims(runs: Sequence[Runs], latencies: Sequence[LatencyRecord], of: About, out: Path) -> Path:
    """Write the page of claims, its CSV file and its card into the folder `out`; returns the page's path.

    Args:
        runs: of all tables on the same data in the same profile.
        latencies: what was timed.
        of: what the runs are of, as the page of any of them says it.
        out: the folder; what was counted is read from its `costs.csv`, where there is one.
    """
    on = "procedural videos" if of.embedded else of.short
    costs = read_costs(out)
    ours = [
        *(
            _Ours("cost", f"counted {name}", "costs.html", counted(costs, complete=complete), binding=not complete)
            for name, complete in (("as published", False), ("complete", True))
            if costs
        ),
        _Ours("accuracy", f"{on}, profile {of.profile}", "", measured(runs)),
        *(
            _Ours("time", f"timed on {record.device}, profile {record.profile}", "latency.html", timed(record))
            for record in latencies
        ),
    ]
    named = {(run.plan.grid.table, dataset_of(run.plan.grid)): f"{run.plan.grid.name}{of.variant}.html" for run in runs}
    pages = {place: page for place, page in named.items() if (out / page).is_file()}
    data = "" if of.embedded else runs[0].plan.test_data.source.name
    same = repeated(runs)
    lines = tuple(judge(claim, ours, pages, data, same) for claim in CLAIMS)
    path = out / f"claims{of.variant}.html"
    page = ClaimsPage(
        claims=lines,
        about=of,
        profile_about=runs[0].plan.profile.about,
        csv=path.with_suffix(".csv").name,
        beside=tuple(name for name in ("Costs", "Latency") if (out / f"{name.lower()}.html").is_file()),
        count=tuple(_count(lines)),
        records=tuple(_records(runs)),
    )
    update(out / page.csv, to_csv(lines))
    update(path, render("claims.html.j2", page))
    about = f"{len(lines)} claims of the paper’s text against its tables and against what is measured here."
    about = f"{about} {upper_first(of.whose)}." if of.whose else about
    title = f"Claims, accuracy measured on {on}, profile {of.profile}"
    write_card(path, Card(title=title, about=about, files=(("CSV", page.csv),)))
    refresh_index(out)
    return path


def judge(
    claim: Claim,
    ours: Sequence[_Ours],
    pages: Mapping[tuple[int, str], str],
    data: str,
    same: Mapping[tuple[int, str, str], str],
) -> ClaimLine:
    """Weigh a claim on the paper's numbers and on ours.

    Args:
        claim: one of the paper's.
        ours: sources of measured numbers.
        pages: of tables that were measured, by number and data set.
        data: the real data set that accuracy is measured on; empty for procedural videos.
        same: see `reports.claims.sources.repeated`.
    """
    lines, tables, verdicts = [], [], []
    for statement in claim.statements:
        finding = statement.judge(published)
        if finding is not None:
            tables.append(finding.verdict)
        judged, missing = [], _missing(statement, data, same)
        for our in ours:
            if our.kind != statement.kind:
                continue
            found = statement.judge(our.source)
            if found is None:
                continue
            judged.append(Judged(our.name, _href(our, statement.cells[0], pages), found))
            if our.binding:
                verdicts.append(found.verdict)
        if not judged:
            verdicts.append("no run yet")
        printed = None if finding is None else Judged(f"Table {statement.cells[0].table}", "", finding)
        lines.append(StatementLine(statement.about, printed, tuple(judged), "" if judged else missing))
    return ClaimLine(claim, tuple(lines), together(tables), together(verdicts))


def _missing(statement: Statement, data: str, same: Mapping[tuple[int, str, str], str]) -> str:
    rows = [(cell.table, cell.dataset, cell.row) for cell in statement.cells]
    if statement.kind == "accuracy" and rows[0] in same:
        return f"no run of its own: this profile has the network of “{same[rows[0]]}” for it, which is judged there"
    tables = [f"table{table}" for table in sorted({cell.table for cell in statement.cells})]
    if statement.kind == "time":
        return f"no run yet: nox -s bench-latency -- --grids {' '.join(tables)}"
    if statement.kind == "cost":
        return "no run yet: nox -s reproduce-costs"
    others = {cell.dataset for cell in statement.cells} - {data}
    if data and others:
        return (
            f"about {' and '.join(DATASET_TITLES[name] for name in sorted(others))}, not about {DATASET_TITLES[data]}"
        )
    where = f" -- --data {data} --data-root FOLDER" if data else ""
    return f"no run yet: nox -s {' '.join(f'reproduce-{table}' for table in tables)}{where}"


def _href(our: _Ours, cell: At, pages: Mapping[tuple[int, str], str]) -> str:
    if our.kind == "accuracy":
        return pages.get((cell.table, cell.dataset), "")
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


def to_csv(lines: Sequence[ClaimLine]) -> str:
    """The CSV file, one line a statement and source of measured numbers."""
    rows: list[tuple[object, ...]] = []
    for line in lines:
        for part in line.lines:
            printed = (
                ("", "not printed") if part.tables is None else (part.tables.finding.text, part.tables.finding.verdict)
            )
            claim = (line.claim.where, line.claim.says, part.about, *printed)
            rows += [(*claim, j.source, j.finding.text, j.finding.verdict) for j in part.measured]
            if not part.measured:
                rows.append((*claim, "", part.missing, "no run yet"))
    return csv_text(HEADER, rows)
