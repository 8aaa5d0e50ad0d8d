"""The paper's cost cells against the counter: all 37 of Tables 1, 2 and 7, under one convention a column.

A cell holds where what is measured under its column's convention lies within half a unit of the last printed digit. No
cell has a convention of its own; how else one that does not hold was counted stands beside it, as readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import groupby, product

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.costs.table7 import MODULES, SIZES, TABLE7, WHOLE, Module, Way, cost_alone, ways
from experiments.costs.values import (
    CONVENTIONS,
    Cell,
    Column,
    PrintedNumber,
    PrintedTable,
    Reading,
    within_rounding,
)
from experiments.grids.grid import Grid, Row
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.models import build, is_mila
from mila.cost.conventions import COMPLETE, EXECUTED, PUBLISHED, Convention, Cost, count
from mila.tasks import CITYSCAPES, NYUV2, Suite

Why = tuple[tuple[Reading, ...], str]
"""Readings of a cell that does not hold, and a note."""


def cells(printed: Mapping[int, PrintedTable]) -> list[Cell]:
    """All published cost cells, in the paper's order: 10 of Table 1, 9 of Table 2, 18 of Table 7.

    Args:
        printed: the paper's Tables 1, 2 and 7, by their number.
    """
    return [*_models(TABLE1, printed), *_models(TABLE2, printed), *_modules(printed[7])]


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


def _models(grid: Grid, printed: Mapping[int, PrintedTable]) -> Iterable[Cell]:
    suite = grid.suite
    for row in grid.rows:
        assert row.published is not None
        number = printed[grid.table][row.published]["gflops"]
        measured, complete = (_gflops(row, suite, suite, convention) for convention in (PUBLISHED, COMPLETE))
        size = f"{suite.height}x{suite.width}"
        why: Why = ((), "")
        if not within_rounding(measured, number):
            readings = _readings(row, suite)
            why = readings, _note(row, number, measured, readings, printed)
        yield Cell(grid.table, row.published, "GFLOPs", size, number, measured, complete, *why)


_ONCE = Convention("h once a frame", decoders=False, reuse_embeddings=True)


def _readings(row: Row, suite: Suite) -> tuple[Reading, ...]:
    """Other ways to count a row's model; of MILA's the last one is `_ONCE`."""
    other = CITYSCAPES if suite is NYUV2 else NYUV2
    tried = [
        ("with decoders", suite, suite, EXECUTED),
        (f"{len(other.tasks)} tasks", other, suite, PUBLISHED),
        (f"input {other.height}x{other.width}", suite, other, PUBLISHED),
        (f"{len(other.tasks)} tasks, input {other.height}x{other.width}", other, other, PUBLISHED),
    ]
    if is_mila(row.model):
        tried.append((_ONCE.name, suite, suite, _ONCE))
    return tuple(Reading(what, _gflops(row, *how)) for what, *how in tried)


def _note(
    row: Row,
    number: PrintedNumber,
    measured: float,
    readings: tuple[Reading, ...],
    printed: Mapping[int, PrintedTable],
) -> str:
    """Why the cell of a row's model does not hold."""
    if is_mila(row.model):
        slow_fast = _slow_fast_cells(printed)
        held = {
            convention: sum(within_rounding(_gflops(one, at, at, convention), cell) for one, at, cell in slow_fast)
            for convention in (_ONCE, PUBLISHED)
        }
        return (
            f"{measured - readings[1].value:.2f} of it are the third task's; with h once a frame it is "
            f"{readings[-1].value:.2f}, but only {held[_ONCE]} of the {len(slow_fast)} "
            f"slow-fast cells of Tables 1 and 2 hold with that, {held[PUBLISHED]} with the columns' own way"
        )
    if row.model == "mtan":
        return (
            f"the same network holds in the other table ({readings[3].value:.2f}); here {number.value - measured:.1f} "
            f"are lacking, and with its decoders it has {readings[0].value - number.value:.1f} too many"
        )
    fits = sum(within_rounding(reading.value, number) for reading in readings)
    return (
        f"the public design gives {readings[0].value:.2f} with its heads and {measured:.2f} without; the paper "
        f"tells neither widths nor heads; {fits} of {len(readings)} readings give its number"
    )


def _slow_fast_cells(printed: Mapping[int, PrintedTable]) -> list[tuple[Row, Suite, PrintedNumber]]:
    """The slow-fast models of Tables 1 and 2, with what is printed for each."""
    return [
        (row, grid.suite, printed[grid.table][str(row.published)]["gflops"])
        for grid in (TABLE1, TABLE2)
        for row in grid.rows
        if is_mila(row.model) or row.model == "multinetpp"
    ]


# Table 7: propagations alone


def _modules(printed: PrintedTable) -> Iterable[Cell]:
    held = holding(printed)
    for size, index, module in product(SIZES, range(3), MODULES):
        numbers = printed[_row_name(module, size)]
        alone, whole = cost_alone(module, size, TABLE7), cost_alone(module, size, WHOLE)
        columns: tuple[tuple[Column, str, float, float], ...] = (
            ("GFLOPs", "gflops", TABLE7.gflops(module, size), WHOLE.gflops(module, size)),
            ("convolutions", "conv_layers", alone.conv_layers, whole.conv_layers),
            ("parameters (M)", "params_millions", alone.parameters / 1e6, whole.parameters / 1e6),
        )
        column, metric, measured, complete = columns[index]
        number = numbers[metric]
        why: Why = ((), "")
        if not within_rounding(measured, number):
            why = _why_gflops(module, size, number, held) if column == "GFLOPs" else _why_parameters(measured)
        yield Cell(7, module, column, _size_name(size), number, measured, complete, *why)


def _size_name(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _row_name(module: Module, size: tuple[int, int]) -> str:
    return f"feature propagation module / {module} / {_size_name(size)}"


def holding(printed: PrintedTable) -> dict[Way, int]:
    """In how many of Table 7's six cells of GFLOPs each way holds."""
    cells = {(module, size): printed[_row_name(module, size)]["gflops"] for module, size in product(MODULES, SIZES)}
    return {way: sum(within_rounding(way.gflops(*where), number) for where, number in cells.items()) for way in ways()}


def _why_gflops(module: Module, size: tuple[int, int], number: PrintedNumber, held: Mapping[Way, int]) -> Why:
    values: dict[float, list[Way]] = {}
    for way in held:
        values.setdefault(round(way.gflops(module, size), 9), []).append(way)
    readings = tuple(Reading(same[0].describe(module), value) for value, same in values.items())
    fitting = [way for value, same in values.items() if within_rounding(value, number) for way in same]
    if fitting:
        best = max(fitting, key=lambda way: held[way])
        note = (
            f"given by {len(fitting)} of {len(held)} ways to count ({best.describe(module)}), none of which holds "
            f"in more than {held[best]} of the column's six cells; the column's own way holds in {held[TABLE7]}"
        )
    else:
        nearest = min(values, key=lambda value: abs(value - number.value))
        how = values[nearest][0].describe(module)
        note = f"given by none of {len(held)} ways to count; the nearest is {nearest:.3f} ({how})"
    return readings, note


def _why_parameters(measured: float) -> Why:
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
        console.print(Text.assemble((f"Table {number}, {column}:", "bold"), f" {how}"))
    for c in found:
        if not c.holds:
            where = f"Table {c.table}, {c.row}, {c.column} at {c.size}: {c.published.text}"
            console.print(Text.assemble((f"\n{where}", "bold"), f" {c.note}"))
            for reading in c.readings:
                console.print(f"  {reading.value:9.3f}  {reading.what}", highlight=False)
