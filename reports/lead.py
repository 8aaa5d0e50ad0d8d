"""The sentence that a page begins with: what its runs show, as far as the test of `reports.differences` tells."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.results import RowResult
from mila.tasks import Suite, Task
from reports.differences import ONE_SEED, Family, families, of_networks_alone


def lead(rows: Sequence[RowResult], suite: Suite) -> str:
    """Which row leads in each task's main metric, and from how many others it is told apart; empty without two rows."""
    found = families(rows)
    tasks = [(task, found.get(task.main_metric.name)) for task in suite.tasks]
    compared = [(t, f) for t, f in tasks if f is not None and len(f.best_first(t.main_metric.better)) > 1]
    if not compared:
        return ""
    networks = of_networks_alone(found.values())
    words = "; ".join(_leader(task, family, networks=networks) for task, family in compared)
    said = any(family.pairs for _, family in compared)
    return f"{words}. ({ONE_SEED.capitalize()}.)" if networks and said else f"{words}."


def _leader(task: Task, family: Family, *, networks: bool) -> str:
    metric = task.main_metric
    first, *rest = family.best_first(metric.better)
    told = family.told_behind(first, rest, metric.better, networks=networks)
    where = f"in {task.name} ({metric.label})"
    if told == len(rest) and networks:
        return f"{where}, {first} has the best number, told apart from {_others(told)}"
    if told == len(rest):
        return f"{where}, {first} is ahead of {_others(told)}"
    if told == 0:
        return f"{where}, {first} has the best number, and is told apart from no other row"
    return f"{where}, {first} has the best number, told apart from {told} of {len(rest)} other rows"


def _others(rows: int) -> str:
    return "the other row" if rows == 1 else f"all {rows} other rows"
