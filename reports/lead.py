"""The sentence that a page begins with: what its runs show, as far as the test of `reports.differences` tells."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from experiments.results import RowResult
from mila.tasks import Suite, Task
from reports.differences import ONE_SEED, Family, families, is_ahead


def lead(rows: Sequence[RowResult], suite: Suite) -> str:
    """Which row leads in each task's main metric, and from how many others it is told apart; empty without two rows."""
    found = families(rows)
    with_numbers = [
        (t, found[t.main_metric.name]) for t in suite.tasks if len(_means(found.get(t.main_metric.name))) > 1
    ]
    if not with_numbers:
        return ""
    words = "; ".join(_leader(task, family) for task, family in with_numbers)
    seeds = {d.n for _, family in with_numbers for d in family.pairs.values()}
    return f"{words}. ({ONE_SEED.capitalize()}.)" if seeds == {1} else f"{words}."


def _leader(task: Task, family: Family) -> str:
    means, metric = _means(family), task.main_metric
    where = f"in {task.name} ({metric.label})"
    first, *rest = sorted(means, key=lambda row: means[row], reverse=metric.better == "higher")
    differences = [family.difference(first, row) for row in rest]
    told = sum(d is not None and d.differ and is_ahead(d, metric.better) for d in differences)
    if told == len(rest):
        return f"{where}, {first} is ahead of {'the other row' if told == 1 else f'all {told} other rows'}"
    if told == 0:
        return f"{where}, {first} has the best number, and is told apart from no other row"
    return f"{where}, {first} has the best number, told apart from {told} of {len(rest)} other rows"


def _means(family: Family | None) -> dict[str, float]:
    if family is None:
        return {}
    return {row: statistics.fmean(s.by_seed.values()) for row, s in family.samples.items() if s.by_seed}
