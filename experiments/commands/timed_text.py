"""What a run that is sized by the clock says before and after."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from experiments.reference.timed_plan import TimedPlan
from experiments.stages import Data, Stage, Train
from experiments.store import Store


def schedule(timed: TimedPlan, spent: float, until: float) -> Group:
    """The stages that are to run, what each takes, and when it should have ended.

    Args:
        timed: what is planned.
        spent: seconds since the run began.
        until: seconds from its beginning after which nothing runs.
    """
    table = Table("stage", "how much", "about", "until", box=None)
    at = spent + timed.begin
    for unit in timed.units:
        for stage, seconds in zip(unit.stages, unit.seconds, strict=True) if unit.fits else ():
            at += seconds
            if seconds:
                table.add_row(stage.title, _amount(stage), f"{seconds:.0f} s", _clock(at))
    for name in timed.left_out:
        table.add_row(name, "does not fit", "", "")
    profile = timed.plan.profile
    return Group(
        f"Size: {profile.name}. {profile.about} --profile {profile.name} gives the same again.",
        table,
        f"Planned until {_clock(at)}. What runs at {_clock(until)} is stopped; then page and records are written.",
    )


def how_it_ended(timed: TimedPlan, store: Store, *, time_is_up: bool) -> str:
    """Which rows are done, and which are not."""
    units = timed.units[1:]
    missing = [unit.name for unit in units if any(store.state(stage) != "done" for stage in unit.stages)]
    text = f"{len(units) - len(missing)} of {len(units)} rows are done"
    text = f"The time is up: {text}" if time_is_up else text
    return f"{text}; not run: {'; '.join(missing)}." if missing else f"{text}."


def _amount(stage: Stage) -> str:
    if isinstance(stage, Train) and stage.schedule is not None:
        return f"{stage.schedule.steps(stage.data.count):,} steps"
    data = stage if isinstance(stage, Data) else getattr(stage, "data", None)
    return f"{data.count:,} clips" if isinstance(data, Data) else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
