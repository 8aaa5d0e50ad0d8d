"""States of a training that nobody needs any more once they are scored.

A protocol that scores the mean over the last ten epochs keeps ten states of a network (`Train.states`). When the scores
at all offsets stand, with the numbers of each state in them, the last one stays and the others are dropped.
"""

from __future__ import annotations

from contextlib import suppress

from filelock import Timeout

from experiments.records import DamagedRecordError
from experiments.stages import Evaluate, Stage, Train
from experiments.store import Store


def drop_states(stage: Evaluate, store: Store) -> None:
    """Drop the states of a score's training before the last, if all that is scored `Stage.together` stands."""
    states = stage.train.states(stage.train.data.count)[:-1]
    if not states or any(store.state(each) != "done" for each in (stage, *stage.together)):
        return
    with suppress(Timeout), store.lock(stage.train, timeout=0):  # somebody is at work on it: another time
        store.drop_files(stage.train, states)


def dropped_states(stage: Stage, store: Store) -> tuple[str, ...]:
    """Files of the states of a finished training that were dropped."""
    if not isinstance(stage, Train):
        return ()
    try:
        return tuple(store.record(stage).result.get("dropped", ()))
    except (FileNotFoundError, NotADirectoryError, DamagedRecordError):
        return ()
