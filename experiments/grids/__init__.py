"""Grids: the single description of each table. The runner takes its stages from it, the report its rows and columns."""

from __future__ import annotations

from experiments.grids.grid import Grid
from experiments.grids.table1 import TABLE1
from mila.errors import UserError

GRIDS = {grid.name: grid for grid in (TABLE1,)}


def find_grid(name: str) -> Grid:
    """The grid called `name`; `UserError` where there is none."""
    if name not in GRIDS:
        raise UserError(f"there is no grid {name!r}; choose one of: {', '.join(GRIDS)} (see --list).")
    return GRIDS[name]
