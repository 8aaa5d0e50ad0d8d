"""What a run will take, before it starts: stages, space on the disk, and time as far as earlier runs tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from experiments.space import Space, space_of_all
from experiments.stages import Stage, Train
from experiments.store import Store
from mila.common.files import free_space

_HOUR, _MINUTE = 3600, 60
_MOST = 3
"""Hours from which minutes are no matter."""


@dataclass(frozen=True)
class Forecast:
    """What is yet to be run.

    Attributes:
        stages: in all.
        waiting: those that are not done.
        seconds: how long those took before that ever computed the same.
        timed: how many of `waiting` those are.
        space: what they need.
        free: bytes on the disk of the store.
    """

    stages: int
    waiting: int
    seconds: float
    timed: int
    space: Space
    free: int

    def sentences(self, jobs: int, verb: str = "would run") -> str:
        """In words, for `jobs` stages at once."""
        if not self.waiting:
            return f"0 of {self.stages} stages {verb}."
        space = f"they need {decimal(self.space.stays)} of disk"
        if self.space.meanwhile:
            space += f", and up to {decimal(self.space.meanwhile)} more while they run"
        words = f"{self.waiting} of {self.stages} stages {verb}; {space} ({decimal(self.free)} are free)."
        if self.space.most > self.free:
            words += " That is more than is free: free some, or give --results on another disk."
        if self.timed:
            rest = "" if self.timed == self.waiting else f", {self.waiting - self.timed} stages that never ran apart"
            words += f" By earlier runs they take about {duration(self.seconds / jobs)}{rest}."
        return words


def forecast(
    stages: Sequence[Stage],
    store: Store,
    jobs: int,
    *,
    keep_states: bool = False,
    earlier: Mapping[str, float] | None = None,
) -> Forecast:
    """Look at what is done, and estimate the rest.

    Args:
        stages: all of a run.
        store: where they go.
        jobs: how many run at once.
        keep_states: see `experiments.space`.
        earlier: `Store.earlier_seconds`, where that was read already.
    """
    earlier = store.earlier_seconds() if earlier is None else earlier
    waiting = [stage for stage in stages if store.state(stage) != "done"]
    known = [earlier[stage.identity] for stage in waiting if stage.identity in earlier]
    space = space_of_all(waiting, jobs, keep_states=keep_states)
    return Forecast(len(stages), len(waiting), sum(known), len(known), space, free_space(store.root))


def duration(seconds: float) -> str:
    """A time in the unit that fits it."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < _MOST * _HOUR:
        return f"{round(seconds / _MINUTE)} minutes"
    return f"{seconds / _HOUR:.1f} hours"


def show_forecast(
    stages: Sequence[Stage], store: Store, jobs: int, console: Console, *, keep_states: bool = False
) -> int:
    """Print every stage, whether it would run and how long it took before, and what the rest needs.

    Returns:
        The exit code.
    """
    earlier = store.earlier_seconds()
    table = Table("stage", "kind", "hash", "state", "took", box=None)
    for stage in stages:
        state, before = store.state(stage), earlier.get(stage.identity)
        if state == "done":
            before = store.record(stage).seconds
        table.add_row(stage.title, stage.kind, stage.key, state, "never run" if before is None else f"{before:.1f} s")
    console.print(table)
    found = forecast(stages, store, jobs, keep_states=keep_states, earlier=earlier)
    console.print(found.sentences(jobs), highlight=False)
    estimate = _on_a_gpu(stages, store)
    if found.timed < found.waiting and estimate is not None:
        console.print(estimate, highlight=False)
    return 0


def _on_a_gpu(stages: Sequence[Stage], store: Store) -> str | None:
    """What the trainings that wait would take on a GPU, where they are of the paper's networks."""
    waiting = [s for s in stages if isinstance(s, Train) and s.schedule is not None and store.state(s) != "done"]
    if not waiting or any(dict(stage.arguments).get("width", 1.0) != 1.0 for stage in waiting):
        return None
    from experiments.costs.training_time import hours_of

    seconds = _HOUR * hours_of(waiting)
    return f"Their trainings take about {duration(seconds)} on an H100, by the steps that were measured on one."
