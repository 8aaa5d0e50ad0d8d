"""Statistics over seeds: the interval of a mean, the difference between two rows, and who may be called best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit

from experiments.results import RowResult, Value

Better = Literal["higher", "lower"]
Mark = Literal["", "best", "second"]

LEVEL = 0.95
METHOD = "Student’s t over seeds"
"""How the intervals are made, in words."""


def interval(mean: float, std: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a mean of `n` (2 or more) seeds with sample standard deviation `std`: Student's t."""
    half = _quantile(n) * std / math.sqrt(n)
    return mean - half, mean + half


@dataclass(frozen=True)
class Difference:
    """The mean difference of two rows over the seeds that both have.

    Attributes:
        mean: first row minus second.
        low, high: its 95 % interval; None with one seed.
        p: two-sided, of the hypothesis that there is none; None with one seed.
        n: seeds.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Paired t-test of two rows' numbers by seed; None where no seed has both."""
    differences = [first[seed] - second[seed] for seed in first if seed in second]
    n = len(differences)
    if not n or not all(map(math.isfinite, differences)):
        return None
    mean = statistics.fmean(differences)
    if n == 1:
        return Difference(mean, None, None, None, 1)
    error = statistics.stdev(differences) / math.sqrt(n)
    half = _quantile(n) * error
    p = (1.0 if mean == 0 else 0.0) if error == 0 else float(2 * stdtr(n - 1, -abs(mean / error)))
    return Difference(mean, mean - half, mean + half, p, n)


def _quantile(n: int) -> float:
    return float(stdtrit(n - 1, (1 + LEVEL) / 2))


def by_seed(result: RowResult, metric: str) -> dict[int, float]:
    """A row's number of each finished seed: the mean over its offsets, in the metric's SI unit."""
    return {
        int(train.stage["config"]["seed"]): statistics.fmean(score.result["metrics"][metric] for score in scores)
        for train, scores in zip(result.trains, result.evaluations, strict=True)
    }


def published_marks(values: Mapping[str, float], better: Better) -> dict[str, Mark]:
    """Best and second best printed numbers by row, equal ones together, as the paper marks them."""
    names: tuple[Mark, ...] = ("best", "second")
    marks = dict(zip(sorted(set(values.values()), reverse=better == "higher"), names, strict=False))
    return {name: marks[value] for name, value in values.items() if value in marks}


def measured_marks(values: Sequence[tuple[str, Value]], better: Better) -> dict[str, Mark]:
    """Best and second best measured numbers by row, where the seeds tell them apart.

    The best is ahead of every other row by more than both standard deviations together. The second is so of all rows
    behind it; without a best there is none. Rows with one seed have no spread, so nothing can be said about a column
    that holds one.
    """
    rivals = [(label, value) for label, value in values if not math.isnan(value.mean)]
    if len(rivals) < 2 or any(value.std is None for _, value in rivals):
        return {}
    sign = 1 if better == "higher" else -1
    rivals.sort(key=lambda rival: -sign * rival[1].mean)
    marks: dict[str, Mark] = {}
    names: tuple[Mark, ...] = ("best", "second")
    for place, name in enumerate(names):
        rest = rivals[place + 1 :]
        label, ours = rivals[place]
        if not rest or not all(sign * (ours.mean - v.mean) > (ours.std or 0.0) + (v.std or 0.0) for _, v in rest):
            break
        marks[label] = name
    return marks
