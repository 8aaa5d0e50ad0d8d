"""One test that tells rows apart: what marks the best of a column, orders the rows and decides the claims.

Two sources of chance are behind a number: the clips that it is measured on, and the seed that its network is trained
with. They are crossed, for every network is scored on the same clips, and both are random effects, as cases and readers
are where several readers judge the same cases (Dorfman, Berbaum and Metz, Investigative Radiology 27, 1992):

- Clips: a metric is written as a mean over clips (`ClipSums.jackknife`), so that the standard error of a difference is
  that of a paired bootstrap over the clips, in the limit of many draws. With one seed it is the only source: what it
  tells apart are two trained networks, and nothing is said of the methods.
- Seeds: the variance of the difference over them. Three seeds are too few to know it, so it is that of all rows of the
  table together (the interaction of rows and seeds), or that of the two rows where it is larger. A row whose seeds
  scatter far more than those of the others (an outlying variance by Cochran's test at 1 %, as in ISO 5725-2) says
  nothing of theirs, nor they of its: it is left out, and judged with the degrees of freedom of its own seeds. What
  clips and seeds have in common is counted once.

The two variances are added, and the degrees of freedom are Satterthwaite's; p is that of Student's t. Over the pairs of
rows of a column, Holm's correction (Scandinavian Journal of Statistics 6, 1979) keeps the chance that any two are told
apart wrongly at 5 %. Intervals are of 95 % each, without it.

Not told apart is not yet the same. A lead that the paper prints is missing (`missing_lead`) where the interval leaves
out every lead of that size, or of the size up to which two numbers are read as similar (`SIMILAR`), whichever is
smaller: a test of non-superiority with a margin (Wellek, Testing Statistical Hypotheses of Equivalence and
Noninferiority, 2010).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy.special import fdtri, stdtr, stdtrit

from experiments.results import RowResult
from mila.common.types import FloatArray
from reports.statistics import LEVEL, Better, Mark

SIGNIFICANT = 0.05
_OUTLYING = 0.01
_FEWEST_ROWS = 3
"""That seeds are known from together, after all rows of outlying variance are left out."""
TEST = (
    "Student’s t with the variance of a paired bootstrap over the test clips and, with several seeds, that of the "
    "seeds (crossed random effects), two-sided, p < 0.05 after Holm’s correction over the pairs of the column"
)
"""How rows are told apart, in words."""
SIMILAR: Mapping[str, float] = {"miou": 0.5, "depth_abs": 0.02}
"""By metric, differences that are read as none where the paper says “similar” and gives no limit: points of mIoU, and
absolute depth as Cityscapes has it printed."""
_NO_LEAD = 1e-9
"""Less than any number of printed digits, and more than what sums of them are off."""
READ_AS_SIMILAR = f"{SIMILAR['miou']:g} points of mIoU, {SIMILAR['depth_abs']:g} of absolute depth, as printed"
_FEWEST_CLIPS = 20
"""With fewer, no bootstrap says much, and metrics are no sums over clips, not even nearly."""
_NO_CLIPS = f"; where sums of fewer than {_FEWEST_CLIPS} clips were kept, the seeds alone count"
ONE_SEED = "one seed: it tells two trained networks apart, and says nothing of the methods"


@dataclass(frozen=True)
class Sample:
    """A row's number on one metric, in any unit.

    Attributes:
        row: its label.
        by_seed: the number of each finished seed.
        by_clip: pseudo-values `[N]` of those seeds that kept the sums of every clip.
    """

    row: str
    by_seed: Mapping[int, float]
    by_clip: Mapping[int, FloatArray]


@dataclass(frozen=True)
class Difference:
    """The difference of two rows, or another contrast, over the seeds that all of them have.

    Attributes:
        mean: first row minus second.
        n: seeds.
        clips: on how many clips; 0 where there are too few or their sums were not kept, so that only the seeds count.
        error: standard error; None where nothing is known of it (one seed, no sums of clips).
        df: degrees of freedom of the error.
        p: two-sided, of the hypothesis that there is none.
        adjusted: p after Holm's correction over the pairs of the column; `p` where it is the only one.
        detectable: of a pair that is not told apart, from which difference on it would have been.
    """

    mean: float
    n: int
    clips: int
    error: float | None = None
    df: float = math.inf
    p: float | None = None
    adjusted: float | None = None
    detectable: float | None = None

    @property
    def differ(self) -> bool:
        """Whether they are told apart: the methods with several seeds, the two networks with one."""
        return self.adjusted is not None and self.adjusted < SIGNIFICANT

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference by itself; None where there is no error."""
        if self.error is None:
            return None
        half = _half(self, 1 - LEVEL)
        return self.mean - half, self.mean + half

    @property
    def told_from(self) -> float:
        """From which difference on this one by itself would be told from none; infinite where there is no error."""
        return math.inf if self.error is None else _half(self, SIGNIFICANT)

    def times(self, factor: float) -> Difference:
        """In another unit, or the other way round."""
        size = abs(factor)
        return replace(
            self,
            mean=factor * self.mean + 0.0,  # never a negative zero
            error=None if self.error is None else size * self.error,
            detectable=None if self.detectable is None else size * self.detectable,
        )


@dataclass(frozen=True)
class Spread:
    """Variance of a row's number over seeds, apart from what all rows of a seed have in common; degrees of freedom.

    Attributes:
        rows: whose it is; not those of outlying variance.
    """

    variance: float
    df: float
    rows: frozenset[str]


class Family:
    """All rows of a table on one metric.

    Args:
        samples: of rows that have a number.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = {sample.row: sample for sample in samples}

    @cached_property
    def spread(self) -> Spread | None:
        """Over seeds, of all rows together; None where no two seeds are common to two rows."""
        rows = {name: sample.by_seed for name, sample in self.samples.items() if len(sample.by_seed) > 1}
        seeds = sorted(set.intersection(*map(set, rows.values()))) if rows else []
        if len(rows) < 2 or len(seeds) < 2:
            return None
        while True:
            numbers = np.array([[row[seed] for seed in seeds] for row in rows.values()])
            residual = numbers - numbers.mean(0) - numbers.mean(1, keepdims=True) + numbers.mean()
            squares = (residual**2).sum(1)
            largest = int(squares.argmax())
            if len(rows) <= _FEWEST_ROWS or squares[largest] <= outlying_share(*numbers.shape) * squares.sum():
                break
            del rows[list(rows)[largest]]
        df = (len(rows) - 1) * (len(seeds) - 1)
        return Spread(float(squares.sum() / df), df, frozenset(rows))

    @cached_property
    def pairs(self) -> Mapping[tuple[str, str], Difference]:
        """Every pair of rows that have a seed in common, first minus second, with Holm's correction."""
        found = {}
        for first, second in combinations(self.samples.values(), 2):
            difference = contrast([(1, first), (-1, second)], self.spread)
            if difference is not None:
                found[first.row, second.row] = difference
        return _corrected(found)

    def difference(self, first: str, second: str) -> Difference | None:
        """First row minus second; None where one has no number, or they have no seed in common."""
        if (first, second) in self.pairs:
            return self.pairs[first, second]
        reverse = self.pairs.get((second, first))
        return None if reverse is None else reverse.times(-1)

    def best_first(self, better: Better) -> list[str]:
        """The rows that have a number, in the order of their means."""
        means = {row: statistics.fmean(s.by_seed.values()) for row, s in self.samples.items() if s.by_seed}
        return sorted(means, key=lambda row: means[row], reverse=better == "higher")

    def told_behind(self, first: str, others: Sequence[str], better: Better) -> int:
        """From how many of the others a row is told apart as the better one."""
        differences = [self.difference(first, other) for other in others]
        return sum(d is not None and d.differ and is_ahead(d, better) for d in differences)


def test_in_words(found: Iterable[Family]) -> str:
    """How the rows are told apart; says so where what is known of the clips is missing."""
    pairs = [difference for family in found for difference in family.pairs.values()]
    return TEST + _NO_CLIPS * any(d.p is not None and not d.clips for d in pairs)


def measured_marks(family: Family, better: Better) -> dict[str, Mark]:
    """Best and second best row of a column, where they are told apart.

    The best is ahead of every other row, the second of all rows behind it; without a best there is no second.
    """
    rows = family.best_first(better)
    marks: dict[str, Mark] = {}
    names: tuple[Mark, ...] = ("best", "second")
    for place, name in enumerate(names):
        rest = rows[place + 1 :]
        if not rest or family.told_behind(rows[place], rest, better) < len(rest):
            break
        marks[rows[place]] = name
    return marks


def missing_lead(lead: Difference | None, printed: float | None, metric: str) -> float | None:
    """The size that a lead is told not to have: the paper's, or what is read as none; None where it may have it.

    Args:
        lead: of several seeds, positive where it is one, in the printed unit.
        printed: the paper's own lead; with None or one that is not positive, nothing is told.
        metric: one without a limit in `SIMILAR` is never read as the same.
    """
    if lead is None or lead.interval is None or lead.n == 1 or printed is None or metric not in SIMILAR:
        return None
    least = min(printed, SIMILAR[metric])
    if least < _NO_LEAD:
        return None
    return least if lead.interval[1] < least else None


def is_ahead(difference: Difference, better: Better) -> bool:
    """Whether the first row's number is the better one."""
    return difference.mean > 0 if better == "higher" else difference.mean < 0


def families(results: Iterable[RowResult], offset: int | None = None) -> dict[str, Family]:
    """All rows by metric, in SI units, without the constant predictor.

    Args:
        results: rows of one table.
        offset: of which keyframe offset; None for the mean over all of them.
    """
    samples: dict[str, list[Sample]] = {}
    for result in results:
        for metric in () if result.plan.is_constant else result.values:
            sample = _sample(result, metric, offset)
            if all(map(math.isfinite, sample.by_seed.values())):
                samples.setdefault(metric, []).append(sample)
    return {metric: Family(rows) for metric, rows in samples.items()}


def _sample(result: RowResult, metric: str, offset: int | None) -> Sample:
    by_seed, by_clip = {}, {}
    offsets = slice(None) if offset is None else [offset]
    for place, (train, scores) in enumerate(zip(result.trains, result.evaluations, strict=True)):
        seed = int(train.stage["config"]["seed"])
        numbers = [score.result["metrics"][metric] for score in scores]
        by_seed[seed] = float(np.mean(np.array(numbers)[offsets]))
        kept = [sums.jackknife() for sums in result.clips[place]] if result.clips else []
        if kept and all(metric in values and np.isfinite(values[metric]).all() for values in kept):
            by_clip[seed] = np.stack([values[metric] for values in kept])[offsets].mean(0)
    return Sample(result.plan.label, by_seed, by_clip)


def contrast(terms: Sequence[tuple[float, Sample]], spread: Spread | None) -> Difference | None:
    """The sum of factor times number over some rows of a table; None where they have no seed in common.

    Args:
        terms: factors, whose sum is 0, and the rows' numbers on one metric.
        spread: of the table over seeds; None where it is not known.
    """
    seeds = [seed for seed in terms[0][1].by_seed if all(seed in sample.by_seed for _, sample in terms)]
    if not seeds:
        return None
    numbers = np.array([sum(factor * sample.by_seed[seed] for factor, sample in terms) for seed in seeds])
    by_clip = _by_clip(terms, seeds)  # [seeds, clips]
    mean, n = float(numbers.mean()), len(seeds)
    found = Difference(mean, n, 0 if by_clip is None else by_clip.shape[1])
    parts = []
    if n > 1:
        variance, df = float(numbers.var(ddof=1)), float(n - 1)
        if spread is not None:
            variance = max(variance, sum(factor**2 for factor, _ in terms) * spread.variance)
            df = max(df, spread.df) if all(sample.row in spread.rows for _, sample in terms) else df
        parts.append((variance / n, df))
    if by_clip is not None:
        parts.append((_variance_over_clips(by_clip), found.clips - 1.0))
    if not parts:
        return found
    total = sum(variance for variance, _ in parts)
    if total == 0:
        p = 1.0 if mean == 0 else 0.0
        return replace(found, error=0.0, p=p, adjusted=p)
    df = 1 / sum((variance / total) ** 2 / df for variance, df in parts)
    p = float(2 * stdtr(df, -abs(mean) / math.sqrt(total)))
    return replace(found, error=math.sqrt(total), df=df, p=p, adjusted=p)


def outlying_share(rows: int, seeds: int) -> float:
    """Cochran's C: the share of the sum of all rows' variances from which on the largest is an outlier."""
    others = float(fdtri(seeds - 1, (rows - 1) * (seeds - 1), 1 - _OUTLYING / rows))
    return 1 / (1 + (rows - 1) / others)


def _by_clip(terms: Sequence[tuple[float, Sample]], seeds: Sequence[int]) -> FloatArray | None:
    """The contrast of every seed on every clip, `[seeds, clips]`; None where there are not enough sums of clips."""
    if not all(seed in sample.by_clip for _, sample in terms for seed in seeds):
        return None
    rows = [[sample.by_clip[seed] for _, sample in terms] for seed in seeds]
    clips = {len(values) for row in rows for values in row}
    if len(clips) > 1 or min(clips) < _FEWEST_CLIPS:
        return None
    factors = np.array([factor for factor, _ in terms])
    found: FloatArray = np.einsum("t,stn->sn", factors, np.array(rows))
    return found


def _variance_over_clips(values: FloatArray) -> float:
    """Of the mean of `values` `[seeds, clips]`: the clips' part, without what they and the seeds have in common."""
    seeds, clips = values.shape
    variance: float = values.mean(0).var(ddof=1) / clips
    if seeds > 1:
        residual = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
        variance -= (residual**2).sum() / ((seeds - 1) * (clips - 1)) / (seeds * clips)
    return max(variance, 0.0)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values after Holm's correction, in the order given."""
    order, largest = sorted(range(len(ps)), key=lambda i: ps[i]), 0.0
    adjusted = [0.0] * len(ps)
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[i]))
        adjusted[i] = largest
    return adjusted


def _corrected(pairs: Mapping[tuple[str, str], Difference]) -> dict[tuple[str, str], Difference]:
    ps = {pair: difference.p for pair, difference in pairs.items() if difference.p is not None}
    adjusted = dict(zip(ps, holm(list(ps.values())), strict=True))
    rest = sum(p >= SIGNIFICANT for p in adjusted.values())
    found = dict(pairs)
    for pair, p in adjusted.items():
        difference = pairs[pair]
        detectable = _half(difference, SIGNIFICANT / rest) if p >= SIGNIFICANT else None
        found[pair] = replace(difference, adjusted=p, detectable=detectable)
    return found


def _half(difference: Difference, level: float) -> float:
    """Half of the interval that misses the true difference with probability `level`."""
    assert difference.error is not None
    return float(stdtrit(difference.df, 1 - level / 2)) * difference.error
