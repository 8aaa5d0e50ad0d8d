"""What there is to run: grids, profiles and data sets. Needs no PyTorch."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from experiments.grids import BEYOND, FIGURES, NAMES, REFERENCE, TABLES
from experiments.profiles import PROFILES
from experiments.sources import DATA, EMBEDDED, MODES, SUITES_OF


def show(console: Console) -> int:
    """Print the names that the options take, and what each is; returns the exit code."""
    console.print(_grids())
    console.print(_names())
    console.print(_profiles())
    console.print(_data())
    return 0


def _grids() -> Table:
    table = Table("grid", "rows", "what", box=None)
    for name, grids in (TABLES | FIGURES | BEYOND | REFERENCE).items():
        if len(grids) > 1:
            all_of = "both" if len(grids) == 2 else "all parts"
            table.add_row(name, "", f"{all_of}: {' and '.join(grid.name for grid in grids)}")
        for grid in grids:
            table.add_row(grid.name, str(len(grid.rows)), grid.title)
    table.add_row("table7", "3", "Cost of the propagation modules; counted, nothing is trained")
    return table


def _names() -> Table:
    table = Table("also called", "", box=None)
    for name, tables in NAMES.items():
        table.add_row(name, ", ".join(tables))
    return table


def _profiles() -> Table:
    table = Table("profile", "what", box=None)
    for profile in PROFILES.values():
        table.add_row(profile.name, profile.about)
    table.add_row("NAME-N", "N % of the clips of the profile NAME, in bfloat16: what --minutes chooses from.")
    return table


def _data() -> Table:
    table = Table("data", "modes", "suites", "needs", box=None)
    for name in DATA:
        needs = "nothing: rendered" if name in EMBEDDED else "--data-root"
        table.add_row(name, ", ".join(MODES[name]), ", ".join(suite.name for suite in SUITES_OF[name]), needs)
    return table
