"""Numbers that claims are about: cells of tables, and what is known of two numbers beside each other.

Scores of runs are told apart as in the tables, by `reports.differences`; with one seed that says that two networks
differ, and nothing of a claim. Times are told apart where their quartiles do not overlap; what is printed or counted is
exact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from mila.tasks import SUITES
from reports.claims.scores import Score, contrast_of
from reports.contrasts import Difference
from reports.differences import ONE_SEED, SIMILAR
from reports.published.numbers import module_name
from reports.statistics import ROUNDING

COSTS = ("gflops", "conv_layers", "params_millions")
_LOWER = (*COSTS, "latency", "depth_abs", "depth_rel", "normal_mean", "normal_median")


@dataclass(frozen=True)
class At:
    """A cell: table, data set, row and metric as `published.csv` names them.

    `latency` is a metric of ours, as are a metric `@first` and `@last`: at a keyframe, and at the last offset before
    the next one. A row that the paper does not print goes by its label in our grid.
    """

    table: int
    dataset: str
    row: str
    metric: str

    @property
    def name(self) -> str:
        """What tells the row from the others of its table."""
        model, *rest = self.row.split(" / ")
        name = model if not rest or rest == ["1"] else rest[0] if self.table == 7 else rest[-1]  # "1" is Table 10's K
        _, _, offset = self.metric.partition("@")
        return module_name(name) + {"": "", "first": " (keyframe)", "last": " (offset K − 1)"}[offset]

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return self.kind in _LOWER

    @property
    def kind(self) -> str:
        """The metric, whatever the offset."""
        return self.metric.split("@")[0]

    @property
    def similar(self) -> float | None:
        """Which difference is read as none; None where the metric has no such limit."""
        tasks = SUITES[self.dataset].tasks if self.dataset else ()  # modules alone are of no data set
        units = {m.name: m.unit for task in tasks for m in task.metrics}
        return SIMILAR.get((self.kind, units.get(self.kind, "")))


@dataclass(frozen=True)
class Number:
    """A number in the printed unit.

    Attributes:
        value: the number, a mean where there are seeds.
        text: as printed, or rounded.
        std: sample standard deviation over seeds, or the distance of the quartiles of a time; None where there is none.
        n: seeds; 0 for a number that has none.
        score: what tells it from the scores of other rows; None for what is no score.
        printed: the paper's own number in its place; None where it prints none.
    """

    value: float
    text: str
    std: float | None = None
    n: int = 0
    score: Score | None = None
    printed: float | None = None

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {digits(self.std, 2)}"
        return f"{self.text}{spread}{f' (n = {self.n})' if self.n else ''}"


def digits(value: float, count: int) -> str:
    """A number with so many significant digits, without an exponent; whole numbers keep all of theirs."""
    text = f"{value:.{count}g}"
    return f"{value:.0f}" if "e" in text else text


Source = Callable[[At], Number | None]
"""Finds the number of a cell; None where there is none."""


def lead(theirs: Number, ours: Number, sign: int) -> Literal["ahead", "behind", "level", "unclear"]:
    """Where theirs stands beside ours; `sign` is 1 where more is better, -1 where less is."""
    apart = sign * (theirs.value - ours.value)
    if theirs.n or ours.n:
        difference = difference_of(theirs, ours)
        if difference is None or not difference.differ or difference.n == 1:
            return "unclear"
    elif abs(apart) <= _quartiles(theirs, ours) > 0:
        return "unclear"
    return "level" if apart == 0 else "ahead" if apart > 0 else "behind"


def within(theirs: Number, ours: Number, tolerance: float) -> bool | None:
    """Whether two numbers differ by so much at most; None where that is not told."""
    apart = abs(theirs.value - ours.value)
    if theirs.n or ours.n:
        difference = difference_of(theirs, ours)
        if difference is None or difference.interval is None or difference.n == 1:
            return None
        low, high = difference.interval
        if max(abs(low), abs(high)) <= tolerance + ROUNDING:
            return True
        return False if low > tolerance or high < -tolerance else None
    if abs(apart - tolerance) <= _quartiles(theirs, ours) > 0:
        return None
    return apart <= tolerance + ROUNDING


def difference_of(theirs: Number, ours: Number) -> Difference | None:
    """Theirs minus ours, in the printed unit, as the table tells them apart; None where one is no score."""
    if theirs.score is None or ours.score is None:
        return None
    found = contrast_of([(1, theirs.score), (-1, ours.score)])
    return None if found is None else found.times(ours.score.scale)


def printed_sum(terms: Collection[tuple[float, Number]]) -> float | None:
    """The sum of factor times the paper's own number; None where it prints not all of them."""
    found = [factor * number.printed for factor, number in terms if number.printed is not None]
    return sum(found) if len(found) == len(terms) else None


def needed_text(difference: Difference | None) -> str:
    """From which difference on it would have been told; of one seed, whether these two networks differ."""
    if difference is None or not difference.error:
        return ""
    if difference.n == 1 and difference.differ:
        return f" (these two networks differ: {signed(difference.mean)})"
    least = difference.told_from if difference.detectable is None else difference.detectable
    return f" (from a difference of {least:.2g} on)"


def interval_text(difference: Difference | None) -> str:
    """The 95 % interval of a difference, in brackets; empty where there is none."""
    if difference is None or difference.interval is None:
        return ""
    low, high = difference.interval
    return f" (95 %: {signed(low)} to {signed(high)})"


def _quartiles(*numbers: Number) -> float:
    """Both distances of quartiles of times together; 0 of exact numbers."""
    return sum(number.std or 0.0 for number in numbers)


def of_networks(numbers: Mapping[At, Number]) -> str:
    """What one seed is about, where there is no more; empty otherwise."""
    return f" ({ONE_SEED})" if any(number.n == 1 for number in numbers.values()) else ""


def signed(value: float) -> str:
    """A difference with its sign and three digits."""
    return minus(f"{value:+.3g}")


def minus(text: str) -> str:
    """With the sign that printers use."""
    return text.replace("-", "−")
