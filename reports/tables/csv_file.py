"""The numbers of a report, one line a row and metric: as a CSV file, and as a pandas frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from experiments.collect import collect, collect_flow
from experiments.plan import Plan
from experiments.store import Store
from reports.provenance import About, about
from reports.tables.build_table import make_table
from reports.tables.flow import Flow, make_flow
from reports.tables.table import COST, Cell, Line, ResultTable

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
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(_lines(table, of, flow))
    return out.getvalue()


def to_frame(plan: Plan, store: Store) -> pd.DataFrame:
    """See `reports.tables.table.frame`."""
    import pandas as pd

    table = make_table(plan, collect(plan, store))
    lines = _lines(table, about(plan, store), make_flow(plan, collect_flow(plan, store)))
    frame = pd.DataFrame(list(lines), columns=list(HEADER))
    for name in _NUMBERS:
        frame[name] = pd.to_numeric(frame[name])
    frame["n_seeds"] = pd.to_numeric(frame["n_seeds"]).astype("Int64")
    return frame


def _lines(table: ResultTable, of: About, flow: Flow | None) -> Iterator[tuple[str, ...]]:
    for line in table.lines:
        for c in table.columns:
            missing = line.missing or ("" if c.key in line.measured else "nothing annotated")
            yield (line.label, c.key, c.unit, c.better, *_numbers(line, c.key), of.data, of.profile, of.split, missing)
        if not line.constant:
            missing = "" if COST in line.measured else "not measured"
            yield (line.label, COST, of.cost_unit, "lower", *_numbers(line, COST), "", "", "", missing)
    if flow is not None:
        whose = (flow.data, of.profile, of.split, flow.missing)
        for entry in flow.entries:
            yield ("FlowNet-S", entry.key, entry.unit, "lower", "", *_measured(entry.cell), "", "", *whose)


def _numbers(line: Line, key: str) -> tuple[str, ...]:
    """From `published` to `mark`."""
    published, cell = line.published.get(key), line.measured.get(key, Cell())
    difference = line.difference.get(key, Cell())
    return ("" if published is None else published.text, *_measured(cell), _full(difference.value), cell.mark)


def _measured(cell: Cell) -> tuple[str, ...]:
    """mean, std, n, interval."""
    n = str(cell.n) if cell.n else ""
    return _full(cell.value), _full(cell.std), n, _full(cell.low), _full(cell.high)


def _full(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"
