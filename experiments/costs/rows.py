"""Costs, their parts and memory of whole tables' models at the paper's sizes: what the paper does not print."""

from __future__ import annotations

import torch

from experiments.costs.values import RowCost, RowMemory, RowSplit
from experiments.grids.grid import Grid, Row
from experiments.models import build
from mila.cost.conventions import COMPLETE, PUBLISHED, count
from mila.cost.memory import memory
from mila.video_model import VideoModel


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
