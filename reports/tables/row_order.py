"""Whether the order of a table's rows in the paper is found in the runs: supported, contradicted, or left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from experiments.results import RowResult
from reports.csv_text import csv_text
from reports.statistics import Difference, by_seed, paired
from reports.tables.table import COST, Cell, Column, ResultTable

Agreement = Literal["supported", "contradicted", "cannot tell", "not run"]

SIGNIFICANT = 0.05
TEST = "paired t-test over the seeds that both rows have says so (two-sided, p < 0.05, each pair by itself)"
"""How it is found, in words."""

_HEADER = (
    *("metric", "unit", "row", "other_row", "published_difference", "measured_difference", "interval95_low"),
    *("interval95_high", "p", "n_seeds", "verdict", "measured_gflops_difference", "test"),
)


@dataclass(frozen=True)
class Comparison:
    """Two rows that differ in the paper on one metric; differences are first minus second, in the printed unit.

    Attributes:
        published: difference of the printed numbers.
        measured: of the means, with its interval and p; None where one of them is not run.
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
        """The runs support the paper's order, contradict it, or their seeds do not tell."""
        if self.measured is None:
            return "not run"
        if self.measured.p is None or self.measured.p >= SIGNIFICANT:
            return "cannot tell"
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
    def decided(self) -> bool:
        """Whether the runs say anything about any pair."""
        return self.counts["supported"] + self.counts["contradicted"] > 0


def orders(table: ResultTable, results: Sequence[RowResult]) -> list[Order]:
    """For every metric that this table of the paper has, in its order; nothing where it has fewer than two rows."""
    found = [_order(column, table, results) for column in table.published]
    return [order for order in found if order.pairs]


def to_csv(orders: Sequence[Order]) -> str:
    """All comparisons as CSV text."""
    lines = []
    for c in (cell for order in orders for row in order.cells for cell in row if cell is not None):
        m = c.measured
        numbers = (None,) * 5 if m is None else (m.mean, m.low, m.high, m.p, m.n)
        lines.append(
            (c.column.key, c.column.unit, c.first, c.second, c.published, *numbers, c.agreement, c.gflops, TEST)
        )
    return csv_text(_HEADER, lines)


def _order(column: Column, table: ResultTable, results: Sequence[RowResult]) -> Order:
    rows = [(line, result) for line, result in zip(table.lines, results, strict=True) if column.key in line.published]
    numbers = [
        {seed: column.scale * value for seed, value in by_seed(result, column.key).items()}
        if column.key in line.measured
        else {}
        for line, result in rows
    ]
    cells: list[list[Comparison | None]] = [[] for _ in rows]
    for j, i in sorted(combinations(range(len(rows)), 2), key=lambda pair: (pair[1], pair[0])):
        (ours, _), (other, _) = rows[i], rows[j]
        gap = _difference(ours.published[column.key], other.published[column.key]) or 0.0
        cost = _difference(ours.measured.get(COST, Cell()), other.measured.get(COST, Cell()))
        comparison = Comparison(column, ours.label, other.label, gap, paired(numbers[i], numbers[j]), cost)
        cells[i].append(comparison if gap else None)
    agreements = [cell.agreement for row in cells for cell in row if cell is not None]
    names: tuple[Agreement, ...] = ("supported", "contradicted", "cannot tell", "not run")
    counts = {name: agreements.count(name) for name in names}
    return Order(column, tuple(line.label for line, _ in rows), tuple(map(tuple, cells)), counts)


def _difference(first: Cell, second: Cell) -> float | None:
    return None if first.value is None or second.value is None else round(first.value - second.value, 9)
