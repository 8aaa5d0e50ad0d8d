"""Numbers that nobody counted or measured, for the tests of claims."""

from __future__ import annotations

from experiments.costs.values import Cell
from experiments.grids.multi_task import TABLE2
from experiments.profiles import SMOKE
from experiments.results import RowResult, Value
from experiments.runs import Runs, embedded_plan
from reports.claims.statements import (
    Source,
    Statement,
    Verdict,
)
from reports.published.numbers import PublishedCell


def verdict(statement: Statement, source: Source) -> Verdict | None:
    finding = statement.judge(source)
    return None if finding is None else finding.verdict


def cell(row: str, text: str, measured: float, complete: float) -> Cell:
    return Cell(2, row, "GFLOPs", "256x512", PublishedCell(text), measured, complete)


CELLS = [
    cell("D101-MultiTask", "93", 93.26, 134.0),
    cell("MTAN*", "161", 150.5, 191.0),
    cell("MILA", "70", 70.2, 79.0),
    Cell(7, "ila", "GFLOPs", "256x512", PublishedCell("0.2"), 0.34, 0.39),
]


def runs(**values: tuple[float, float | None]) -> Runs:
    """Table 2 with made-up mIoU of some rows, by published name without its star."""
    plan = embedded_plan(TABLE2, SMOKE)
    results = []
    for row in plan.rows:
        known = values.get((row.published or "").replace("*", ""))
        value = None if known is None else Value(known[0], known[1], 3 if known[1] else 1, (known[0],), None)
        results.append(RowResult(row, {} if value is None else {"miou": value}, "", None, (), (), None))
    return Runs(plan, tuple(results))
