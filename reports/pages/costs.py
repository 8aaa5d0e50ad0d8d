"""The page of the cost audit: every published cost beside what is counted, then what the paper does not print."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from experiments.costs.values import CONVENTIONS, Cell, RowCost, RowMemory, RowSplit
from experiments.grids import GRIDS
from experiments.grids.grid import Grid
from mila.common.versions import environment
from reports.csv_text import csv_text
from reports.files import update, update_all
from reports.pages.index import COSTS, Card, refresh_index, write_card
from reports.plots.cost_split import split_figure
from reports.plots.drawing import Figure
from reports.published.numbers import module_name
from reports.render import render
from reports.titles import DATASET_TITLES

_COLUMNS = {"GFLOPs": "GFLOPs", "convolutions": "Convolutions", "parameters (M)": "Parameters, M"}


@dataclass(frozen=True)
class AuditLine:
    """One published cell, as text.

    Attributes:
        anchor: of the line in the page.
        name: its row, and the size where the table has several.
        published, measured, difference, complete: numbers, the measured ones with two digits more than the paper's.
        readings: (what, value) of the other ways to count.
    """

    anchor: str
    name: str
    published: str
    measured: str
    difference: str
    complete: str
    holds: bool
    how: str
    note: str
    readings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AuditPart:
    """The cells of one column of one table."""

    title: str
    how: str
    lines: tuple[AuditLine, ...]


@dataclass(frozen=True)
class GridPart:
    """The rows of a grid, and what of the grid is counted, in words."""

    grid: Grid
    size: str
    rows: tuple[RowCost, ...] | tuple[RowMemory, ...]


@dataclass(frozen=True)
class CostsPage:
    """All that the page shows.

    Attributes:
        parts: the audit.
        holding, cells: published cells that agree within rounding, and all of them.
        splits: plots of where the operations go.
        costs: those that the paper does not print.
        memories: at inference.
        folder: name of the folder of plots.
        versions: of what counted.
    """

    parts: tuple[AuditPart, ...]
    holding: int
    cells: int
    splits: tuple[Figure, ...]
    costs: tuple[GridPart, ...]
    memories: tuple[GridPart, ...]
    folder: str
    versions: str


def anchor(table: int, row: str, column: str = "GFLOPs", size: str = "") -> str:
    """Where a published cell stands in the page; `size` is needed for Table 7 alone."""
    words = f"t{table} {row} {column if column != 'GFLOPs' else ''} {size if table == 7 else ''}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower().replace("*", " star ").replace("++", "pp")).strip("-")


def write_costs(
    cells: Sequence[Cell],
    costs: Sequence[RowCost],
    splits: Sequence[RowSplit],
    memories: Sequence[RowMemory],
    out: Path,
) -> Path:
    """Write `costs.html`, its CSV file, plots and card into the folder `out`; returns the page's path."""
    path = out / "costs.html"
    page = CostsPage(
        parts=tuple(_parts(cells)),
        holding=sum(cell.holds for cell in cells),
        cells=len(cells),
        splits=tuple(_split(name, list(rows)) for name, rows in groupby(splits, lambda row: row.grid)),
        costs=tuple(_grid_part(name, tuple(rows)) for name, rows in groupby(costs, lambda row: row.grid)),
        memories=tuple(_grid_part(name, tuple(rows)) for name, rows in groupby(memories, lambda row: row.grid)),
        folder=path.stem,
        versions=f"thop {version('thop')}, PyTorch {version('torch')}, commit {environment('cpu')['commit']}",
    )
    for figure in page.splits:
        update_all(figure.files(out / page.folder))
    update(path.with_suffix(".csv"), to_csv(cells, costs, memories))
    update(path, render("costs.html.j2", page))
    title, about = "Costs", f"Every printed cost counted anew: {page.holding} of {page.cells} agree within rounding."
    write_card(path, Card(title=title, about=about, files=(("CSV", "costs.csv"),), answers=(COSTS,)))
    refresh_index(out)
    return path


def _grid_part(name: str, rows: tuple[RowCost, ...] | tuple[RowMemory, ...]) -> GridPart:
    return GridPart(GRIDS[name], _size(GRIDS[name]), rows)


def _size(grid: Grid) -> str:
    """Data set, frames and tasks that are counted."""
    suite = grid.suite
    tasks = f"{len(suite.tasks)} tasks" if len(suite.tasks) > 1 else "1 task"
    return f"{DATASET_TITLES[suite.name]}, {suite.height} × {suite.width}, {tasks}"


def _split(name: str, rows: Sequence[RowSplit]) -> Figure:
    grid = GRIDS[name]
    return split_figure(f"split-{name}", f"Table {grid.table}: {_size(grid)}", rows)


def _parts(cells: Sequence[Cell]) -> list[AuditPart]:
    parts = []
    # Table 7 has its columns side by side at each size: here a column is a part.
    order = sorted(cells, key=lambda c: (c.table, list(_COLUMNS).index(c.column)))
    for (table, column), group in groupby(order, lambda c: (c.table, c.column)):
        lines = tuple(_line(cell) for cell in group)
        what = {1: "NYUd v2, 288 × 384", 2: "Cityscapes, 256 × 512", 7: "propagation alone"}[table]
        how = CONVENTIONS[table, column]
        parts.append(AuditPart(f"Table {table} ({what}): {_COLUMNS[column]}", how, lines))
    return parts


def _line(cell: Cell) -> AuditLine:
    digits = 0 if cell.column == "convolutions" else cell.published.decimals + 2
    name = f"{module_name(cell.row)}, {cell.size.replace('x', ' × ')}" if cell.table == 7 else cell.row
    return AuditLine(
        anchor=anchor(cell.table, cell.row, cell.column, cell.size),
        name=name,
        published=cell.published.text,
        measured=f"{cell.measured:.{digits}f}",
        difference=f"{cell.difference:+.{digits}f}".replace("-", "−"),
        complete=f"{cell.complete:.{digits}f}",
        holds=cell.holds,
        how=cell.convention,
        note=cell.note,
        readings=tuple((reading.what, f"{reading.value:.{digits}f}") for reading in cell.readings),
    )


def read_costs(out: Path) -> list[dict[str, str]]:
    """The lines of the `costs.csv` in a folder, see `HEADER`; none where nothing is counted yet."""
    path = out / "costs.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_counted(out: Path, table: int) -> dict[str, float]:
    """GFLOPs as published of a table's rows; empty where nothing is counted yet."""
    return {
        line["row"]: float(line["measured_as_published"])
        for line in read_costs(out)
        if (line["table"], line["quantity"]) == (str(table), "GFLOPs")
    }


HEADER = (
    *("table", "row", "quantity", "size", "published", "measured_as_published", "measured_complete", "difference"),
    *("within_rounding", "how", "note"),
)


def to_csv(cells: Sequence[Cell], costs: Sequence[RowCost], memories: Sequence[RowMemory]) -> str:
    """The CSV file, one line a number; only the published cells have a published value, a difference and a verdict."""
    lines: list[tuple[object, ...]] = [
        (
            *(c.table, c.row, c.column, c.size, c.published.text, c.measured, c.complete, c.difference),
            *("yes" if c.holds else "no", c.convention, c.note),
        )
        for c in cells
    ]
    for cost in costs:
        grid = GRIDS[cost.grid]
        where = (grid.table, cost.label)
        size = f"{grid.suite.height}x{grid.suite.width}"
        for what in ("keyframe", "non_keyframe", "average"):
            numbers = [getattr(share, what) / 1e9 for share in (cost.published, cost.complete)]
            lines.append((*where, f"GFLOPs, {what.replace('_', '-')}", size, None, *numbers, *[None] * 4))
        parameters = [share.parameters / 1e6 for share in (cost.published, cost.complete)]
        lines.append((*where, "parameters (M)", size, None, *parameters, *[None] * 4))
    for row in memories:
        grid = GRIDS[row.grid]
        size = f"{grid.suite.height}x{grid.suite.width}"
        for what, value in vars(row.memory).items():
            name = f"memory (MB), {what.replace('_', '-')}"
            lines.append((grid.table, row.label, name, size, None, None, value, *[None] * 4))
    return csv_text(HEADER, lines)
