"""The table for the terminal: three blocks that fit 80 columns, published and measured in blocks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from reports.provenance import About
from reports.tables.flow import Flow
from reports.tables.table import COST, Cell, Column, Line, ResultTable

_SHORT = {"Median": "Med.", "Segmentation": "Seg.", "Normals": "Norm."}  # to fit 80 columns
_WIDE = 10  # characters of a unit that is broken into lines
_ANY = 10_000  # columns, to see how wide a block would like to be


def to_terminal(table: ResultTable, about: About, flow: Flow | None, title: str) -> RenderableType:
    """The published and the measured block, cost with the comparison to the constant predictor, and FlowNet-S."""
    measured = f"MEASURED on {about.data}"
    heading = Text(f"\nPUBLISHED by the paper on {about.paper_data}", style="bold")
    left_out = [Text(table.left_out, style="dim")] if table.left_out else []
    printed: list[RenderableType] = [heading, *left_out, _Numbers(table, measured=False)]
    return Group(
        Text(f"\n{title}", style="bold"),
        *(printed if table.published or left_out else []),
        Text(f"\n{measured}", style="bold"),
        Text(_about_measured(table, about), style="dim"),
        _Numbers(table, measured=True),
        Text(f"\nCOST at {about.size} (GFLOPs), and MEASURED / constant predictor", style="bold"),
        Text(
            "10^9 multiply-accumulates a frame counted by thop, decoders left out;\n"
            "they depend on neither data nor profile",
            style="dim",
        ),
        _checks(table),
        *(() if flow is None else _flow(flow)),
    )


def _about_measured(table: ResultTable, about: About) -> str:
    spread = "\nmean ± standard deviation over seeds" if table.spread else ""
    bold = {
        "methods": "; bold: told apart from all others",
        "networks": "; bold: told apart from all others\n(one seed: as a network, not as a method)",
        "": "; no best is marked",
    }[table.tells_apart]
    whose = f"\n{about.whose}" if about.whose else ""
    return f"profile {about.profile}, {about.split} split, {about.seeds}{spread}{bold}{whose}"


def _grid() -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    return table


@dataclass(frozen=True)
class _Numbers:
    """One block of numbers; where it is wider than the terminal, several below each other, by task."""

    table: ResultTable
    measured: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rest = list(self.table.headline if self.measured else self.table.published)
        while rest:
            tasks = list(dict.fromkeys(c.task for c in rest))
            for n in range(len(tasks), 0, -1):
                columns = [c for c in rest if c.task in tasks[:n]]
                grid = self._grid(columns)
                if (
                    n == 1
                    or Measurement.get(console, options.update(max_width=_ANY), grid).maximum <= options.max_width
                ):
                    break
            yield grid
            rest = rest[len(columns) :]
            if rest:
                yield ""

    def _grid(self, columns: Sequence[Column]) -> Table:
        grid = _grid()
        for before, c in zip((None, *columns), columns, strict=False):
            first = before is None or before.task != c.task
            grid.add_column(_header(c, first), justify="right", no_wrap=len(c.unit) < _WIDE, vertical="top")
        for line in self.table.lines:
            if line.constant and not self.measured:
                continue
            if line.constant:
                grid.add_section()
            cells = line.measured if self.measured else line.published
            grid.add_row(_label(line, self.measured), *(_cell(cells.get(c.key, Cell())) for c in columns))
        return grid


def _header(column: Column, first: bool) -> Text:
    """Task (over its first column), metric, unit, direction."""
    task = _SHORT.get(column.short_task, column.short_task) if first else ""
    label = _SHORT.get(column.label, column.label).replace("< ", "<")
    unit = column.unit.replace(" × ", "×") if len(column.unit) < _WIDE else column.unit
    return Text(f"{task}\n{label}\n{unit}\n{column.arrow}")


def _label(line: Line, measured: bool) -> Text:
    text = Text(line.label)
    note = line.missing if measured else "" if line.in_paper else "not in the paper"
    if note:
        text.append(f"\n  {note}", style="dim italic")
    return text


def _cell(cell: Cell) -> Text:
    text = Text(cell.text, style={"best": "bold", "second": "underline", "": ""}[cell.mark])
    if cell.spread:
        text.append(f"\n{cell.spread}", style="dim not bold")
    return text


def _checks(table: ResultTable) -> Table:
    grid = _grid()
    if table.published_cost:
        grid.add_column("published\nGFLOPs\n↓", justify="right", no_wrap=True)
    grid.add_column("measured\nGFLOPs\n↓", justify="right", no_wrap=True)
    for bar in table.bars:
        grid.add_column(f"{bar.name}\nratio\n{bar.sign} {bar.limit:g}", justify="right", no_wrap=True)
    for line in table.lines:
        if line.constant:
            continue
        cost = [line.measured.get(COST, Cell())]
        if table.published_cost:
            cost.insert(0, line.published.get(COST, Cell()))
        checks = [Text(c.text if c.passed is None else f"{c.text} {'✓' if c.passed else '✗'}") for c in line.checks]
        grid.add_row(Text(line.label), *(Text(c.text) for c in cost), *checks)
    return grid


def _flow(flow: Flow) -> tuple[RenderableType, ...]:
    """A heading, and the numbers or why there are none."""
    heading = Text(f"\nFLOWNET-S, MEASURED on exact flow of {flow.data}", style="bold")
    n = f"{flow.size} px; n = {flow.seeds}"
    if not flow.seeds:
        return heading, Text(flow.missing, style="dim italic")
    grid = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for entry in flow.entries:
        cell = " ".join(filter(None, (entry.cell.text, entry.cell.spread, entry.unit)))
        grid.add_row(entry.name, cell)
    return heading, Text(n + (f"; {flow.missing}" if flow.missing else ""), style="dim"), grid
