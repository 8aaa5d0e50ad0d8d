"""The table for the terminal: three blocks that fit 80 columns, published and measured in blocks of their own."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports.provenance import About
from reports.tables import COST, Cell, Column, Line, ResultTable

_SHORT = {"Median": "Med."}  # to fit 80 columns


def to_terminal(table: ResultTable, about: About, title: str) -> RenderableType:
    """The published block, the measured block, and cost with the comparison to the constant predictor."""
    measured = f"MEASURED on {about.data}"
    return Group(
        Text(f"\n{title}", style="bold"),
        Text(f"\nPUBLISHED by the paper on {about.paper_data}", style="bold"),
        _numbers(table, measured=False),
        Text(measured, style="bold"),
        Text(_about_measured(table, about), style="dim"),
        _numbers(table, measured=True),
        Text(f"COST at {about.size} (GFLOPs), and MEASURED / constant predictor", style="bold"),
        Text(
            "10^9 multiply-accumulates a frame as thop counts them, decoders left out; independent of data and profile",
            style="dim",
        ),
        _checks(table),
    )


def _about_measured(table: ResultTable, about: About) -> str:
    spread = "; mean ± standard deviation over seeds" if table.spread else ""
    bold = "; bold: ahead of all by more than both spreads" if table.spread else "; no best is marked"
    return f"profile {about.profile}, {about.split} split, {about.seeds}{spread}{bold}"


def _grid() -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
    table.add_column("\n\n", no_wrap=True)
    return table


def _numbers(table: ResultTable, *, measured: bool) -> Table:
    grid = _grid()
    for c in table.headline:
        grid.add_column(_header(c), justify="right", no_wrap=len(c.unit) < 10, vertical="top")
    for line in table.lines:
        if line.constant and not measured:
            continue
        if line.constant:
            grid.add_section()
        cells = line.measured if measured else line.published
        grid.add_row(_label(line, measured), *(_cell(cells.get(c.key, Cell())) for c in table.headline))
    return grid


def _header(column: Column) -> Text:
    label = _SHORT.get(column.label, column.label).replace("< ", "<")
    unit = column.unit.replace(" × ", "×") if len(column.unit) < 10 else column.unit
    return Text(f"{label}\n{unit}\n{column.arrow}")


def _label(line: Line, measured: bool) -> Text:
    text = Text(line.label)
    if measured and line.missing:
        text.append(f"\n  {line.missing}", style="dim italic")
    return text


def _cell(cell: Cell) -> Text:
    text = Text(cell.text, style={"best": "bold", "second": "underline", "": ""}[cell.mark])
    if cell.spread:
        text.append(f"\n{cell.spread}", style="dim not bold")
    return text


def _checks(table: ResultTable) -> Table:
    grid = _grid()
    grid.add_column("published\nGFLOPs\n↓", justify="right", no_wrap=True)
    grid.add_column("measured\nGFLOPs\n↓", justify="right", no_wrap=True)
    for bar in table.bars:
        name = f"{bar.column.task.split(',')[0]} {bar.column.label}".replace("Segmentation ", "")
        grid.add_column(f"{name}\nratio\n{bar.sign} {bar.limit:g}", justify="right", no_wrap=True)
    for line in table.lines:
        if line.constant:
            continue
        cost = (line.published.get(COST, Cell()), line.measured.get(COST, Cell()))
        checks = [Text(c.text if c.passed is None else f"{c.text} {'✓' if c.passed else '✗'}") for c in line.checks]
        grid.add_row(line.label, *(Text(c.text) for c in cost), *checks)
    return grid
