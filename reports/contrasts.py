"""The difference of two rows of a table, or another contrast of them: how large it is, and by what it may be off.

Two sources of chance are behind a number: the clips that it is measured on, and the seed that its network is trained
with. They are crossed, for every network is scored on the same clips, and both are random effects, as cases and readers
are where several readers judge the same cases (Dorfman, Berbaum and Metz, Investigative Radiology 27, 1992):

- Clips: a metric is written as a mean over clips (`ClipSums.jackknife`), so that the standard error of a difference is
  that of a paired bootstrap over the clips, in the limit of many draws. With one seed it is the only source: what it
  tells apart are two trained networks, and nothing is said of the methods.
- Seeds: the variance of the difference over them. Three seeds are too few to know it, so it is that of all rows of the
  table together (the interaction of rows and seeds, `Spread`), or that of the two rows where it is larger. What clips
  and seeds have in common is counted once.

The two variances are added, and the degrees of freedom are Satterthwaite's; p is that of Student's t. Intervals are of
95 % each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from mila.common.types import FloatArray
from reports.statistics import LEVEL

SIGNIFICANT = 0.05
FEWEST_CLIPS = 20
"""With fewer, no bootstrap says much, and metrics are no sums over clips, not even nearly."""
_ROUNDING = 1e-12
"""Share of a number that may be rounding."""


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
        half = self.half(1 - LEVEL)
        return self.mean - half, self.mean + half

    @property
    def told_from(self) -> float:
        """From which difference on this one by itself would be told from none; infinite where there is no error."""
        return math.inf if self.error is None else self.half(SIGNIFICANT)

    def half(self, level: float) -> float:
        """Half of the interval that misses the true difference with probability `level`; there must be an error."""
        assert self.error is not None
        return float(stdtrit(self.df, 1 - level / 2)) * self.error

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
    largest = max(abs(factor * sample.by_seed[seed]) for factor, sample in terms for seed in seeds)
    if total <= (_ROUNDING * largest) ** 2:
        p = 1.0 if abs(mean) <= _ROUNDING * largest else 0.0
        return replace(found, error=0.0, p=p, adjusted=p)
    df = 1 / sum((variance / total) ** 2 / df for variance, df in parts)
    p = float(2 * stdtr(df, -abs(mean) / math.sqrt(total)))
    return replace(found, error=math.sqrt(total), df=df, p=p, adjusted=p)


def _by_clip(terms: Sequence[tuple[float, Sample]], seeds: Sequence[int]) -> FloatArray | None:
    """The contrast of every seed on every clip, `[seeds, clips]`; None where there are not enough sums of clips."""
    if not all(seed in sample.by_clip for _, sample in terms for seed in seeds):
        return None
    rows = [[sample.by_clip[seed] for _, sample in terms] for seed in seeds]
    clips = {len(values) for row in rows for values in row}
    if len(clips) > 1 or min(clips) < FEWEST_CLIPS:
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
