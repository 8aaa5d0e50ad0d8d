"""The CSV file: the numbers of a report, one line a row and metric."""

from __future__ import annotations

import csv
import io

from reports.flow import Flow
from reports.provenance import About
from reports.tables import COST, Cell, Line, ResultTable

HEADER = (
    *("row", "metric", "unit", "better", "published", "measured_mean", "measured_std", "n_seeds"),
    *("data", "profile", "split", "missing"),
)


def to_csv(table: ResultTable, about: About, flow: Flow | None) -> str:
    """One line a row and metric. Measured cells are at full precision in the paper's units; nothing is an empty cell.

    Lines of cost have no data, profile or split, as they depend on none of the three. FlowNet-S has lines of its own,
    of the world that its flow is of.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for line in table.lines:
        for c in table.columns:
            missing = line.missing or ("" if c.key in line.measured else "nothing annotated")
            numbers = _numbers(line, c.key)
            whose = (about.data, about.profile, about.split)
            writer.writerow((line.label, c.key, c.unit, c.better, *numbers, *whose, missing))
        if not line.constant:
            missing = "" if COST in line.measured else "not measured"
            writer.writerow((line.label, COST, about.cost_unit, "lower", *_numbers(line, COST), "", "", "", missing))
    if flow is not None:
        for entry in flow.entries:
            numbers = ("", *_measured(entry.cell))
            whose = (flow.data, about.profile, about.split)
            writer.writerow(("FlowNet-S", entry.key, entry.unit, "lower", *numbers, *whose, flow.missing))
    return out.getvalue()


def _numbers(line: Line, key: str) -> tuple[str, str, str, str]:
    """published, mean, std, n."""
    published = line.published.get(key)
    return ("" if published is None else published.text, *_measured(line.measured.get(key, Cell())))


def _measured(cell: Cell) -> tuple[str, str, str]:
    """mean, std, n."""
    mean, std = ("" if x is None else f"{x:.8g}" for x in (cell.value, cell.std))
    return mean, std, str(cell.n) if cell.n else ""
