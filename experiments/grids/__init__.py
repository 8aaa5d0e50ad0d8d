"""Grids: the single description of each table. The runner takes its stages from it, the report its rows and columns."""

from __future__ import annotations

from experiments.grids.ablations import TABLE9, TABLE10
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1, TABLE2, TABLE8
from experiments.grids.propagation import TABLE6
from mila.errors import UserError

TABLES: dict[str, tuple[Grid, ...]] = {
    "table1": (TABLE1,),
    "table2": (TABLE2,),
    "table6": TABLE6,
    "table8": (TABLE8,),
    "table9": (TABLE9,),
    "table10": (TABLE10,),
}
"""The paper's tables; one that is about two data sets has a grid for each."""

GRIDS = {grid.name: grid for grids in TABLES.values() for grid in grids}


def find_grids(name: str) -> tuple[Grid, ...]:
    """The grids of the table `name`, or the grid of that name; `UserError` where there is none."""
    if name in GRIDS:
        return (GRIDS[name],)
    if name not in TABLES:
        raise UserError(f"there is no grid {name!r}; choose one of: {', '.join(TABLES)} (see --list).")
    return TABLES[name]
