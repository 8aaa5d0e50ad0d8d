"""The numbers of a report, one line a row and metric: as a CSV file, and as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reports.csv_text import csv_text
from reports.provenance import About
from reports.tables.flow import Flow
from reports.tables.table import COST, DELTA, Cell, Line, ResultTable

if TYPE_CHECKING:
    import pandas as pd

HEADER = (
    *("row", "metric", "unit", "better", "published", "measured_mean", "measured_std", "n_seeds"),
    *("interval95_low", "interval95_high", "difference", "mark", "data", "profile", "split", "missing"),
)
"""`interval95`: Student's t over seeds; `difference`: measured minus published, where both are of the same data."""

_NUMBERS = ("published", "measured_mean", "measured_std", "interval95_low", "interval95_high", "difference")


def to_csv(table: ResultTable, of: About, flow: Flow | None) -> str:
    """One line a row and metric. Measured cells are at full precision in the paper's units; nothing is an empty cell.

    Lines of cost have no data, profile or split, as they depend on none of the three. FlowNet-S has lines of its own,
    of the world that its flow is of.
    """
    return csv_text(HEADER, _lines(table, of, flow))


def to_frame(table: ResultTable, of: About, flow: Flow | None) -> pd.DataFrame:
    """The same as a pandas frame, with numbers as numbers; columns: `HEADER`. What is missing is NaN."""
    import pandas as pd  # takes a second to load, and pages do not need it

    frame = pd.DataFrame(list(_lines(table, of, flow)), columns=list(HEADER))
    for name in _NUMBERS:
        frame[name] = pd.to_numeric(frame[name])
    frame["n_seeds"] = pd.to_numeric(frame["n_seeds"]).astype("Int64")
    return frame


def _lines(table: ResultTable, of: About, flow: Flow | None) -> Iterator[tuple[str, ...]]:
    for line in table.lines:
        for c in table.columns:
            missing = line.missing or ("" if c.key in line.measured else _why_not(table, line, c.key))
            yield (line.label, c.key, c.unit, c.better, *_numbers(line, c.key), of.data, of.profile, of.split, missing)
        if not line.constant:
            missing = "" if COST in line.measured else "not measured"
            yield (line.label, COST, of.cost_unit, "lower", *_numbers(line, COST), "", "", "", missing)
    if flow is not None:
        whose = (flow.data, of.profile, of.split, flow.missing)
        for entry in flow.entries:
            yield ("FlowNet-S", entry.key, entry.unit, "lower", "", *_measured(entry.cell), "", "", *whose)


def _why_not(table: ResultTable, line: Line, key: str) -> str:
    if key != DELTA:
        return "nothing annotated"
    return "" if line.constant else table.without_delta or "the single-task row has other seeds"


def _numbers(line: Line, key: str) -> tuple[str, ...]:
    """From `published` to `mark`."""
    published, cell = line.published.get(key), line.measured.get(key, Cell())
    difference = line.difference.get(key, Cell())
    printed = "" if published is None else published.text.replace("−", "-")
    return (printed, *_measured(cell), _full(difference.value), cell.mark)


def _measured(cell: Cell) -> tuple[str, ...]:
    """mean, std, n, interval."""
    n = str(cell.n) if cell.n else ""
    return _full(cell.value), _full(cell.std), n, _full(cell.low), _full(cell.high)


def _full(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"
