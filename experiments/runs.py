"""What is finished on the embedded worlds, as the runner leaves it when it is not told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from experiments.collect import collect_rows
from experiments.grids import GRIDS
from experiments.grids.grid import Grid
from experiments.plan import Plan, make_plan
from experiments.profiles import Profile
from experiments.results import RowResult
from experiments.sources import MODES, world_of
from experiments.store import Store
from mila.errors import UserError

SEEDS = tuple(range(10))
"""Seeds that are looked for."""


@dataclass(frozen=True)
class Runs:
    """The finished runs of a grid.

    Attributes:
        plan: of the seeds that were looked for.
        results: by row, the constant predictor last.
    """

    plan: Plan
    results: tuple[RowResult, ...]


def embedded_plan(grid: Grid, profile: Profile, seeds: tuple[int, ...] = (0,)) -> Plan:
    """A grid on the world that has its tasks, or what stands in for them."""
    world = world_of(grid.suite)
    return make_plan(grid, profile, world, mode=MODES[world][0], seeds=seeds)


def finished_runs(store: Store, profile: Profile, grids: Iterable[Grid] = tuple(GRIDS.values())) -> list[Runs]:
    """What is finished of some grids under a profile, with whichever of the seeds 0 to 9.

    Grids that a user's own profile lacks what they need for, such as weights, are left out.
    """
    return runs_of(_plans(profile, grids), store)


def _plans(profile: Profile, grids: Iterable[Grid]) -> Iterator[Plan]:
    for grid in grids:
        with suppress(UserError):
            yield embedded_plan(grid, profile, SEEDS)


def runs_of(plans: Iterable[Plan], store: Store) -> list[Runs]:
    """What is finished of some plans."""
    return [Runs(plan, collect_rows(plan, store)) for plan in plans]
