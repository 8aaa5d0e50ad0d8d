"""What fits into some minutes: the size of a profile, and the rows that can be done at it, in order of worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.plan import Plan
from experiments.reference.pace import Pace
from experiments.stages import Evaluate, Stage, in_order

MARGIN = 1.1
"""Times what was measured: what is planned with."""


@dataclass(frozen=True)
class Unit:
    """What is worth something once all of it is done: a row with one seed.

    Attributes:
        name: for people.
        stages: all that are not in a unit before it, in the order in which they run.
        seconds: how long each takes; 0 for what is done, and for a score that is done along with another.
        fits: whether it is begun.
    """

    name: str
    stages: tuple[Stage, ...]
    seconds: tuple[float, ...]
    fits: bool


@dataclass(frozen=True)
class TimedPlan:
    """What a run is planned to do.

    Attributes:
        plan: at the size that was chosen.
        units: in order of worth.
        begin: seconds until the first stage begins.
        left: seconds that there are.
    """

    plan: Plan
    units: tuple[Unit, ...]
    begin: float
    left: float

    @property
    def stages(self) -> list[Stage]:
        """Those that are to run, in their order."""
        return [stage for unit in self.units if unit.fits for stage in unit.stages]

    @property
    def expected(self) -> dict[str, float]:
        """How long each of them takes, by key."""
        every = (zip(unit.stages, unit.seconds, strict=True) for unit in self.units if unit.fits)
        return {stage.key: seconds for pairs in every for stage, seconds in pairs}

    @property
    def first_row(self) -> float:
        """Seconds until the first row is done, whether it fits or not."""
        return self.begin + sum(sum(unit.seconds) for unit in self.units[:2])

    @property
    def left_out(self) -> tuple[str, ...]:
        """The rows that do not fit."""
        return tuple(unit.name for unit in self.units if not unit.fits)


def choose(
    plans: Sequence[Plan],
    pace: Pace,
    left: float,
    rows: Sequence[str] | None = None,
    is_done: Callable[[Stage], bool] = lambda _: False,
) -> TimedPlan:
    """The largest size at which all rows fit; where none is small enough, the smallest, without what does not fit.

    Args:
        plans: the same rows at each size, the largest first.
        pace: of this machine.
        left: seconds.
        rows: labels of the rows that are asked for; None for all.
        is_done: whether a stage needs no time any more.
    """
    found = None
    for plan in plans:
        found = time_plan(plan, pace, left, rows, is_done)
        if not found.left_out:
            break
    assert found is not None, "there is no size to choose from"
    return found


def time_plan(
    plan: Plan,
    pace: Pace,
    left: float,
    rows: Sequence[str] | None = None,
    is_done: Callable[[Stage], bool] = lambda _: False,
) -> TimedPlan:
    """What of a plan can be done in `left` seconds: a row that does not fit is left out, the ones after it may fit."""
    units: list[Unit] = []
    begin = pace.worker * MARGIN
    begun, spent = set[str](), begin
    for name, wanted in _in_order_of_worth(plan, rows):
        stages = tuple(stage for stage in in_order(wanted) if stage.key not in begun)
        along = set[str]()
        seconds = []
        for stage in stages:
            takes_none = stage.key in along or is_done(stage)
            seconds.append(0.0 if takes_none else pace.seconds(stage) * MARGIN)
            if isinstance(stage, Evaluate):
                along |= {other.key for other in stage.together}
        fits = spent + sum(seconds) <= left
        if fits:
            spent += sum(seconds)
            begun |= {stage.key for stage in stages}
        units.append(Unit(name, stages, tuple(seconds), fits))
    return TimedPlan(plan, tuple(units), begin, left)


def _in_order_of_worth(plan: Plan, rows: Sequence[str] | None) -> list[tuple[str, list[Stage]]]:
    """All rows with the first seed, then all with the second; what every page needs goes before them.

    What is kept to be looked at is no part of it: only numbers come back from a card.
    """
    found: list[tuple[str, list[Stage]]] = []
    asked = [row for row in plan.rows if rows is None or row.is_constant or row.label in rows]
    for place, seed in enumerate(plan.seeds):
        for row in sorted(asked, key=lambda row: not row.is_constant):
            if place and row.is_constant:
                continue
            stages: list[Stage] = [*row.evaluations[place], *([] if row.measure is None else [row.measure])]
            found.append((row.label if row.is_constant else f"{row.label}, seed {seed}", stages))
    return found
