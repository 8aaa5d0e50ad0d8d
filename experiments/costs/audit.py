"""The paper's cost cells against the counter: all 37 of Tables 1, 2 and 7, under one convention a column.

python -m experiments.costs.audit

A cell holds where what is measured under its column's convention lies within half a unit of the last printed digit. No
cell has a convention of its own; how else one that does not hold was counted stands beside it, as readings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, product
from typing import Literal

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from experiments.costs.table7 import MODULES, SIZES, TABLE7, WHOLE, Module, Way, cost_alone, ways
from experiments.grids.grid import Grid, Row
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.models import build, is_mila
from mila.cost.conventions import COMPLETE, EXECUTED, PUBLISHED, Convention, Cost, count
from mila.tasks import CITYSCAPES, NYUV2, Suite
from reports.published.numbers import PublishedCell, read_published

Column = Literal["GFLOPs", "convolutions", "parameters (M)"]

_MODELS = (
    "thop's multiply-accumulates / 10^9, (keyframe + 4 non-keyframes) / 5, decoders left out, ILA's h on both maps of "
    "each propagation, ceil-mode feature maps"
)
CONVENTIONS: dict[tuple[int, Column], str] = {
    (1, "GFLOPs"): _MODELS,
    (2, "GFLOPs"): _MODELS,
    (7, "GFLOPs"): (
        "thop's multiply-accumulates / 10^9 of the module alone, once: 512 channels, maps of H/8 x W/8 (as Table 4 has "
        "them: 64 columns at 512 pixels), FlowNet-S on half-size frames, ILA's h on the current frame"
    ),
    (7, "convolutions"): "convolutions of the module alone, transposed ones included",
    (7, "parameters (M)"): "parameters of the module alone / 10^6",
}
"""How each column is counted."""


@dataclass(frozen=True)
class Reading:
    """Another way to count a cell, and what it gives."""

    what: str
    value: float


@dataclass(frozen=True)
class Cell:
    """A published cost and what is measured for it.

    Attributes:
        table: its number.
        row: model or module, as `published.csv` has it.
        column: what is printed.
        size: of the input, "height x width".
        published: as printed.
        measured: under the column's convention.
        complete: under `mila.cost.conventions.COMPLETE`, in the same unit.
        readings: how else it was counted, where it does not hold.
        note: why it does not hold, or empty.
    """

    table: int
    row: str
    column: Column
    size: str
    published: PublishedCell
    measured: float
    complete: float
    readings: tuple[Reading, ...] = ()
    note: str = ""

    @property
    def convention(self) -> str:
        """How the whole column is counted."""
        return CONVENTIONS[self.table, self.column]

    @property
    def difference(self) -> float:
        """Measured less published."""
        return self.measured - self.published.value

    @property
    def holds(self) -> bool:
        """Whether the two agree within rounding."""
        return within_rounding(self.measured, self.published)


def within_rounding(measured: float, published: PublishedCell) -> bool:
    """Whether a number lies within half a unit of the last digit that is printed."""
    return abs(measured - published.value) <= 0.5 * 10.0**-published.decimals + 1e-9


def cells() -> list[Cell]:
    """All published cost cells, in the paper's order: 10 of Table 1, 9 of Table 2, 18 of Table 7."""
    return [*_models(TABLE1), *_models(TABLE2), *_modules()]


# Tables 1 and 2: whole models


def gflops_as_published(grid: Grid) -> dict[str, float]:
    """What is counted for the rows of Table 1 or 2 in the paper's own way, by their published names."""
    return {str(row.published): _gflops(row, grid.suite, grid.suite, PUBLISHED) for row in grid.rows}


@lru_cache(maxsize=256)
def _gflops(row: Row, tasks: Suite, size: Suite, convention: Convention) -> float:
    """A row's model for the tasks of one suite at the input size of another."""
    return _cost(row, tasks, size, convention).gflops


def _cost(row: Row, tasks: Suite, size: Suite, convention: Convention) -> Cost:
    with torch.device("meta"):
        model = build(row.model, tasks, dict(row.arguments))
    return count(model, size.height, size.width, convention)


def _models(grid: Grid) -> Iterable[Cell]:
    suite = grid.suite
    published = read_published(grid.table, suite.name)
    for row in grid.rows:
        assert row.published is not None
        printed = published[row.published]["gflops"]
        measured, complete = (_gflops(row, suite, suite, convention) for convention in (PUBLISHED, COMPLETE))
        size = f"{suite.height}x{suite.width}"
        why = ((), "") if within_rounding(measured, printed) else _why_model(row, suite, printed, measured)
        yield Cell(grid.table, row.published, "GFLOPs", size, printed, measured, complete, *why)


_ONCE = Convention("h once a frame", decoders=False, reuse_embeddings=True)


def _why_model(row: Row, suite: Suite, printed: PublishedCell, measured: float) -> tuple[tuple[Reading, ...], str]:
    other = CITYSCAPES if suite is NYUV2 else NYUV2
    tried = [
        ("with decoders", suite, suite, EXECUTED),
        (f"{len(other.tasks)} tasks", other, suite, PUBLISHED),
        (f"input {other.height}x{other.width}", suite, other, PUBLISHED),
        (f"{len(other.tasks)} tasks, input {other.height}x{other.width}", other, other, PUBLISHED),
    ]
    if is_mila(row.model):
        tried.append((_ONCE.name, suite, suite, _ONCE))
    readings = tuple(Reading(what, _gflops(row, *how)) for what, *how in tried)
    if is_mila(row.model):
        note = (
            f"{measured - readings[1].value:.2f} of it are the third task's; with h once a frame it is "
            f"{readings[-1].value:.2f}, but only {_slow_fast_cells(_ONCE)} of the {_slow_fast_cells()} "
            f"slow-fast cells of Tables 1 and 2 hold with that, {_slow_fast_cells(PUBLISHED)} with the columns' own way"
        )
    elif row.model == "mtan":
        note = (
            f"the same network holds in the other table ({readings[3].value:.2f}); here {printed.value - measured:.1f} "
            f"are lacking, and with its decoders it has {readings[0].value - printed.value:.1f} too many"
        )
    else:
        fits = sum(within_rounding(reading.value, printed) for reading in readings)
        note = (
            f"the public design gives {readings[0].value:.2f} with its heads and {measured:.2f} without; the paper "
            f"tells neither widths nor heads; {fits} of {len(readings)} readings give its number"
        )
    return readings, note


def _slow_fast_cells(convention: Convention | None = None) -> int:
    """How many of the slow-fast models' cells in Tables 1 and 2 hold under a convention, or how many there are."""
    found = [
        (
            _gflops(row, grid.suite, grid.suite, convention or PUBLISHED),
            read_published(grid.table, grid.suite.name),
            row,
        )
        for grid in (TABLE1, TABLE2)
        for row in grid.rows
        if row.model in ("mila", "multinetpp")
    ]
    cells = [(value, published[str(row.published)]["gflops"]) for value, published, row in found]
    return sum(convention is None or within_rounding(*cell) for cell in cells)


# Table 7: propagations alone


def _modules() -> Iterable[Cell]:
    published = read_published(7, "")
    for size, index, module in product(SIZES, range(3), MODULES):
        text = f"{size[0]}x{size[1]}"
        printed = published[f"feature propagation module / {module} / {text}"]
        alone, whole = cost_alone(module, size, TABLE7), cost_alone(module, size, WHOLE)
        columns: tuple[tuple[Column, str, float, float], ...] = (
            ("GFLOPs", "gflops", TABLE7.gflops(module, size), WHOLE.gflops(module, size)),
            ("convolutions", "conv_layers", alone.conv_layers, whole.conv_layers),
            ("parameters (M)", "params_millions", alone.parameters / 1e6, whole.parameters / 1e6),
        )
        column, metric, measured, complete = columns[index]
        why: tuple[tuple[Reading, ...], str] = ((), "")
        if not within_rounding(measured, printed[metric]):
            why = _why_gflops(module, size, printed[metric]) if column == "GFLOPs" else _why_parameters(measured)
        yield Cell(7, module, column, text, printed[metric], measured, complete, *why)


@lru_cache(maxsize=1)
def holding() -> dict[Way, int]:
    """In how many of Table 7's six cells of GFLOPs each way holds."""
    published = read_published(7, "")
    found = {}
    for way in ways():
        printed = {
            (module, size): published[f"feature propagation module / {module} / {size[0]}x{size[1]}"]["gflops"]
            for module, size in product(MODULES, SIZES)
        }
        found[way] = sum(within_rounding(way.gflops(*where), cell) for where, cell in printed.items())
    return found


def _why_gflops(module: Module, size: tuple[int, int], printed: PublishedCell) -> tuple[tuple[Reading, ...], str]:
    values: dict[float, list[Way]] = {}
    for way in holding():
        values.setdefault(round(way.gflops(module, size), 9), []).append(way)
    readings = tuple(Reading(same[0].describe(module), value) for value, same in values.items())
    fitting = [way for value, same in values.items() if within_rounding(value, printed) for way in same]
    most = holding()[TABLE7]
    if fitting:
        best = max(fitting, key=lambda way: holding()[way])
        note = (
            f"given by {len(fitting)} of {len(holding())} ways to count ({best.describe(module)}), none of which holds "
            f"in more than {holding()[best]} of the column's six cells; the column's own way holds in {most}"
        )
    else:
        nearest = min(values, key=lambda value: abs(value - printed.value))
        how = values[nearest][0].describe(module)
        note = f"given by none of {len(holding())} ways to count; the nearest is {nearest:.3f} ({how})"
    return readings, note


def _why_parameters(measured: float) -> tuple[tuple[Reading, ...], str]:
    ila = cost_alone("ila", SIZES[0], TABLE7).parameters / 1e6
    return (), (
        f"{measured:.2f} cut off instead of rounded would be {int(measured)}, but the same column prints ILA's "
        f"{ila:.3f} as 0.2, which is rounded"
    )


def show(found: list[Cell], console: Console) -> None:
    """Print the audit."""
    for (number, column, size), group in groupby(found, key=lambda c: (c.table, c.column, c.size)):
        table = Table(title=f"Table {number}, {column} at {size}", title_justify="left", box=SIMPLE_HEAD)
        for heading in ("", "published", "measured", "difference", "within rounding", "complete"):
            table.add_column(heading, justify="right" if heading else "left")
        for c in group:
            digits = c.published.decimals + 2
            values = (f"{c.measured:.{digits}f}", f"{c.difference:+.{digits}f}", "yes" if c.holds else "NO")
            table.add_row(c.row, c.published.text, *values, f"{c.complete:.{digits}f}")
        console.print(table)
    console.print(f"{sum(c.holds for c in found)} of {len(found)} within half a unit of the last printed digit\n")
    for (number, column), how in CONVENTIONS.items():
        console.print(f"[bold]Table {number}, {column}:[/bold] {how}", highlight=False)
    for c in found:
        if not c.holds:
            where = f"Table {c.table}, {c.row}, {c.column} at {c.size}: {c.published.text}"
            console.print(f"\n[bold]{where}[/bold] {c.note}", highlight=False)
            for reading in c.readings:
                console.print(f"  {reading.value:9.3f}  {reading.what}", highlight=False)


if __name__ == "__main__":
    show(cells(), Console())
