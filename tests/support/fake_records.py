"""Files of records, of stores whose records nobody measured."""

from __future__ import annotations

from pathlib import Path

from experiments.plan import Plan
from experiments.shipped.pack import Shipped, ship
from experiments.store import Store
from tests.support.fake_results import fill, score_clips

LARGEST = 10**7


def filled_store(plan: Plan, root: Path) -> Store:
    """Every stage of a plan is finished, and every score has the sums of its clips."""
    store = Store(root)
    fill(store, plan)
    score_clips(store, plan)
    return store


def shipped(plan: Plan, store: Store, path: Path, *, partial: bool = False) -> Shipped:
    """Write the file of a plan's records."""
    return ship([plan], store, path, largest=LARGEST, partial=partial)
