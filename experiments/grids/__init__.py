"""Grids: the single description of each table and figure, and of ablations that the paper does not have.

The runner takes its stages from it, the report its rows and columns.
"""

from __future__ import annotations

from experiments.grids.ablations import TABLE3, TABLE4, TABLE9, TABLE10
from experiments.grids.beyond import MATCHING, MIMICRY
from experiments.grids.figures import FIGURE1, FIGURE4, FIGURE5, FIGURE7, FIGURE8
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1, TABLE2, TABLE8
from experiments.grids.propagation import TABLE5, TABLE6, TABLE11
from experiments.grids.reference import PARTS
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

FIGURES: dict[str, tuple[Grid, ...]] = {
    "figure1": (FIGURE1,),
    "figure4": FIGURE4,
    "figure5": FIGURE5,
    "figure7": (FIGURE7,),
    "figure8": (FIGURE8,),
}
"""The paper's figures that show results, one grid a data set."""

BEYOND: dict[str, tuple[Grid, ...]] = {grid.name: (grid,) for grid in (MIMICRY, MATCHING)}
"""Ablations of this suite's own, on which settings are chosen; the validation split is scored."""

REFERENCE: dict[str, tuple[Grid, ...]] = {"reference": PARTS}
"""Rows of the tables in parts that fit into minutes of a rented GPU (docs/reference_results.md)."""

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
    "all": (*TABLES, *FIGURES),
}
"""Names that say what the tables are about."""

GRIDS = {grid.name: grid for grids in TABLES.values() for grid in grids}
"""The grids of the tables, by their own names."""

ALL_GRIDS = GRIDS | {grid.name: grid for grids in (FIGURES | BEYOND | REFERENCE).values() for grid in grids}
"""The grids of tables and figures, those beyond them and those of reference results, by their own names."""


def find_grids(name: str) -> tuple[Grid, ...]:
    """The grids of a table, a figure, an ablation, or what `NAMES` calls so, or the one grid of that name.

    Raises:
        UserError: there is none. Table 7 has none: nothing in it is trained.
    """
    known = TABLES | FIGURES | BEYOND | REFERENCE
    if name in ALL_GRIDS:
        return (ALL_GRIDS[name],)
    names = NAMES.get(name, (name,))
    if not all(each in known for each in names):
        raise UserError(
            f"there is no grid {name!r}; choose one of: {', '.join((*known, 'table7', *NAMES))} (see --list)."
        )
    return tuple(grid for each in names for grid in known[each])
