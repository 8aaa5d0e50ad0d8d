"""Whether the order of a table's rows in the paper is found in the runs, or turned round, or the lead missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

from reports.contrasts import Difference
from reports.csv_text import csv_text
from reports.differences import SIMILAR, TEST, Family, missing_lead
from reports.tables.table import COST, Cell, Column, ResultTable

Agreement = Literal["supported", "contradicted", "lead missing", "networks differ", "cannot tell", "not run"]
AGREEMENTS: tuple[Agreement, ...] = get_args(Agreement)

_HEADER = (
    *("metric", "unit", "row", "other_row", "published_difference", "measured_difference", "interval95_low"),
    *("interval95_high", "p", "p_holm", "n_seeds", "n_clips", "detectable_difference", "verdict"),
    *("measured_gflops_difference", "test"),
)


@dataclass(frozen=True)
class Comparison:
    """Two rows that differ in the paper on one metric; differences are first minus second, in the printed unit.

    Attributes:
        published: difference of the printed numbers.
        measured: of the means, by the test of the column; None where one of them is not run.
        gflops: measured difference of cost; None where one is unknown.
    """

    column: Column
    first: str
    second: str
    published: float
    measured: Difference | None
    gflops: float | None

    @property
    def agreement(self) -> Agreement:
        """The runs support the paper's order, contradict it, tell that the printed lead is missing, or do not tell.

        One seed is about two networks alone.
        """
        if self.measured is None:
            return "not run"
        if not self.measured.differ:
            lead = self.measured.times(math.copysign(1, self.published))
            missing = missing_lead(lead, abs(self.published), SIMILAR.get((self.column.key, self.column.unit)))
            return "cannot tell" if missing is None else "lead missing"
        if self.measured.n == 1:
            return "networks differ"
        return "supported" if (self.measured.mean > 0) == (self.published > 0) else "contradicted"


@dataclass(frozen=True)
class Order:
    """All pairs of rows on one metric.

    Attributes:
        rows: labels in the table's order, of the rows that the paper prints a number for.
        cells: by row, its comparison with each row above it; None where the paper prints the same number.
        counts: how many pairs there are of each agreement.
    """

    column: Column
    rows: tuple[str, ...]
    cells: tuple[tuple[Comparison | None, ...], ...]
    counts: dict[Agreement, int]

    @property
    def pairs(self) -> int:
        """How many pairs of rows differ in the paper."""
        return sum(self.counts.values())

    @property
    def tested(self) -> bool:
        """Whether the runs say anything of any pair: that two rows differ, or from which difference on they would."""
        found = (cell.measured for row in self.cells for cell in row if cell is not None)
        return any(measured is not None and measured.p is not None for measured in found)


def orders(table: ResultTable) -> list[Order]:
    """For every metric that this table of the paper has, in its order; nothing where it has fewer than two rows."""
    found = [_order(column, table) for column in table.published]
    return [order for order in found if order.pairs]


def to_csv(orders: Sequence[Order]) -> str:
    """All comparisons as CSV text."""
    lines = []
    for c in (cell for order in orders for row in order.cells for cell in row if cell is not None):
        m = c.measured
        low, high = (None, None) if m is None or m.interval is None else m.interval
        found = (None,) * 5 if m is None else (m.p, m.adjusted, m.n, m.clips, m.detectable)
        mean = None if m is None else m.mean
        of = (c.column.key, c.column.unit, c.first, c.second, c.published)
        lines.append((*of, mean, low, high, *found, c.agreement, c.gflops, TEST))
    return csv_text(_HEADER, lines)


def _order(column: Column, table: ResultTable) -> Order:
    rows = [line for line in table.lines if column.key in line.published]
    family = table.families.get(column.key, Family(()))
    cells: list[list[Comparison | None]] = [[] for _ in rows]
    for j, i in sorted(combinations(range(len(rows)), 2), key=lambda pair: (pair[1], pair[0])):
        ours, other = rows[i], rows[j]
        gap = _difference(ours.published[column.key], other.published[column.key]) or 0.0
        cost = _difference(ours.measured.get(COST, Cell()), other.measured.get(COST, Cell()))
        difference = family.difference(ours.label, other.label)
        measured = None if difference is None else difference.times(column.scale)
        cells[i].append(Comparison(column, ours.label, other.label, gap, measured, cost) if gap else None)
    agreements = [cell.agreement for row in cells for cell in row if cell is not None]
    counts = {name: agreements.count(name) for name in AGREEMENTS}
    return Order(column, tuple(line.label for line in rows), tuple(map(tuple, cells)), counts)


def _difference(first: Cell, second: Cell) -> float | None:
    return None if first.value is None or second.value is None else round(first.value - second.value, 9)
