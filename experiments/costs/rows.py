"""Costs, their parts and memory of whole tables' models at the paper's sizes: what the paper does not print."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from experiments.grids.ablations import TABLE3, TABLE4, TABLE10
from experiments.grids.grid import Grid, Row
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.grids.propagation import TABLE5, TABLE6, TABLE11
from experiments.models import build
from mila.cost.conventions import COMPLETE, PUBLISHED, Cost, count
from mila.cost.memory import MemoryUse, memory
from mila.video_model import VideoModel

COSTED: tuple[Grid, ...] = (TABLE3, TABLE4, TABLE5, TABLE11, TABLE6[0], TABLE10)
"""Tables without costs: losses, windows, keyframe intervals, fast and slow networks, kinds of propagation."""

REMEMBERED: tuple[Grid, ...] = (TABLE1, TABLE2, TABLE4)
"""Tables whose models' memory is shown."""

SPLIT: tuple[Grid, ...] = (TABLE1, TABLE2)
"""Tables whose models' costs are split by part."""


@dataclass(frozen=True)
class RowCost:
    """What a row's model costs at the paper's size.

    Attributes:
        grid, label: which row of which grid.
        published_row: its name in `published.csv`, or None.
        interval: keyframe interval K.
        published, complete: under the convention of that name.
    """

    grid: str
    label: str
    published_row: str | None
    interval: int
    published: Cost
    complete: Cost


@dataclass(frozen=True)
class RowMemory:
    """What a row's model keeps in memory at the paper's size, see `RowCost` and `mila.cost.memory`."""

    grid: str
    label: str
    memory: MemoryUse


@dataclass(frozen=True)
class RowSplit:
    """Where a row's model spends its operations at the paper's size, see `RowCost`; `cost` is the complete one."""

    grid: str
    label: str
    interval: int
    cost: Cost


def row_cost(grid: Grid, row: Row) -> RowCost:
    """Count a row's model."""
    model, size = _model(grid, row), (grid.suite.height, grid.suite.width)
    published, complete = (count(model, *size, convention) for convention in (PUBLISHED, COMPLETE))
    return RowCost(grid.name, row.label, row.published, model.keyframe_interval, published, complete)


def row_split(grid: Grid, row: Row) -> RowSplit:
    """Count a row's model by part."""
    model = _model(grid, row)
    cost = count(model, grid.suite.height, grid.suite.width, COMPLETE)
    return RowSplit(grid.name, row.label, model.keyframe_interval, cost)


def row_memory(grid: Grid, row: Row) -> RowMemory:
    """Follow what a row's model keeps in memory."""
    return RowMemory(grid.name, row.label, memory(_model(grid, row), grid.suite.height, grid.suite.width))


def _model(grid: Grid, row: Row) -> VideoModel:
    with torch.device("meta"):
        return build(row.model, grid.suite, dict(row.arguments))
