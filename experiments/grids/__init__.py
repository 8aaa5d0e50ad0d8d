"""Grids: the single description of each table. The runner takes its stages from it, the report its rows and columns."""

from __future__ import annotations

from experiments.grids.ablations import TABLE3, TABLE4, TABLE9, TABLE10
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1, TABLE2, TABLE8
from experiments.grids.propagation import TABLE5, TABLE6, TABLE11
from mila.errors import UserError

TABLES: dict[str, tuple[Grid, ...]] = {
    "table1": (TABLE1,),
    "table2": (TABLE2,),
    "table3": (TABLE3,),
    "table4": (TABLE4,),
    "table5": (TABLE5,),
    "table6": TABLE6,
    "table8": (TABLE8,),
    "table9": (TABLE9,),
    "table10": (TABLE10,),
    "table11": (TABLE11,),
}
"""The paper's tables; one that is about two data sets has a grid for each."""

NAMES: dict[str, tuple[str, ...]] = {
    "multi_task_nyuv2": ("table1",),
    "multi_task_cityscapes": ("table2",),
    "ablation_losses": ("table3",),
    "ablation_window": ("table4",),
    "propagation_keyframe_interval": ("table5", "table11"),
    "propagation_svc": ("table6",),
    "backbones": ("table8",),
    "weighting": ("table9",),
    "slow_only": ("table10",),
    "all": tuple(TABLES),
}
"""Names that say what the tables are about."""

GRIDS = {grid.name: grid for grids in TABLES.values() for grid in grids}


def find_grids(name: str) -> tuple[Grid, ...]:
    """The grids of a table, of what `NAMES` calls so, or the one grid of that name; `UserError` where there is none."""
    if name in GRIDS:
        return (GRIDS[name],)
    if name == "table7":
        raise UserError("Table 7 holds costs alone, and nothing is trained for it: nox -s reproduce-costs.")
    tables = NAMES.get(name, (name,))
    if not all(table in TABLES for table in tables):
        known = ", ".join((*TABLES, *NAMES))
        raise UserError(f"there is no grid {name!r}; choose one of: {known} (see --list).")
    return tuple(grid for table in tables for grid in TABLES[table])
