"""One test that tells rows apart: what marks the best of a column, orders the rows and decides the claims.

How far two rows differ, and by what chance, is `reports.contrasts`. Here are all rows of a table. The variance over
seeds is that of all of them together; a row whose seeds scatter far more than those of the others (an outlying variance
by Cochran's test at 1 %, here of residuals from the means of rows and seeds) says nothing of theirs, nor they of its:
it is left out, and judged with the degrees of freedom of its own seeds. Over the pairs of rows of a column, Holm's
correction (Scandinavian Journal of Statistics 6, 1979) keeps the chance that any two are told apart wrongly at 5 %, as
long as the seeds of all rows that are judged together scatter alike, each by itself. Three seeds do not always show
that they do not: where one or two of ten rows scatter six to ten times as far, the chance is 6 to 17 % (simulated).
Rows that start from the same trained networks scatter together, which makes differences within such a group smaller,
and those between groups larger, than the variance of all rows says: with two groups of four rows whose seeds correlate
by 0.8 the chance is 8 %, by 0.95 10 % (simulated, three seeds).

Not told apart is not yet the same. A lead that the paper prints is missing (`missing_lead`) where the interval leaves
out every lead of that size, or of the size up to which two numbers are read as similar (`SIMILAR`), whichever is
smaller: a test of non-superiority with a margin (Wellek, Testing Statistical Hypotheses of Equivalence and
Noninferiority, 2010), one at a time, without a correction. Where the interval lies above 0, nothing is told: a
lead smaller than that may be there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy.special import fdtri

from experiments.results import RowResult
from mila.tasks import DISPARITY
from reports.contrasts import FEWEST_CLIPS, SIGNIFICANT, Difference, Sample, Spread, contrast
from reports.statistics import ROUNDING, Better, Mark

_OUTLYING = 0.01
_FEWEST_ROWS = 3
"""That seeds are known from together, after all rows of outlying variance are left out."""
TEST = (
    "Student’s t with the variance of a paired bootstrap over the test clips and, with several seeds, that of the "
    "seeds (crossed random effects), two-sided, p < 0.05 after Holm’s correction over the pairs of the column"
)
"""How rows are told apart, in words."""
SIMILAR: Mapping[tuple[str, str], float] = {("miou", "%"): 0.5, ("depth_abs", DISPARITY): 0.02}
"""By metric and unit, differences that are read as none where the paper says “similar” and gives no limit: points of
mIoU, and absolute depth as Cityscapes has it printed."""
READ_AS_SIMILAR = "{:g} points of mIoU, {:g} of absolute depth as printed for Cityscapes".format(*SIMILAR.values())
_NO_CLIPS = f"; where sums of fewer than {FEWEST_CLIPS} clips were kept, the seeds alone count"
ONE_SEED = "one seed: it tells two trained networks apart, and says nothing of the methods"


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
        kept, rest = dict(rows), dict(rows)
        while len(rest) > _FEWEST_ROWS:  # to the end, for two rows of like outlying variance hide each other
            squares = _squares(rest, seeds)
            largest = max(squares, key=lambda row: squares[row])
            is_outlying = squares[largest] > outlying_share(len(rest), len(seeds)) * sum(squares.values())
            del rest[largest]
            kept = dict(rest) if is_outlying else kept
        df = (len(kept) - 1) * (len(seeds) - 1)
        return Spread(sum(_squares(kept, seeds).values()) / df, df, frozenset(kept))

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

    def told_behind(self, first: str, others: Sequence[str], better: Better, *, networks: bool) -> int:
        """From how many of the others a row is told apart as the better one; with `networks` by one seed as well."""
        differences = [self.difference(first, other) for other in others]
        counted = [d for d in differences if d is not None and (d.n > 1 or networks)]
        return sum(d.differ and is_ahead(d, better) for d in counted)


def test_in_words(found: Iterable[Family]) -> str:
    """How the rows are told apart; says so where what is known of the clips is missing."""
    pairs = [difference for family in found for difference in family.pairs.values()]
    return TEST + _NO_CLIPS * any(d.p is not None and not d.clips for d in pairs)


def of_networks_alone(found: Iterable[Family]) -> bool:
    """Whether no two rows have several seeds in common; else what one seed tells is not said beside what they tell."""
    return not any(difference.n > 1 for family in found for difference in family.pairs.values())


def measured_marks(family: Family, better: Better, *, networks: bool) -> dict[str, Mark]:
    """Best and second best row of a column, where they are told apart.

    The best is ahead of every other row, the second of all rows behind it; without a best there is no second.

    Args:
        family: the column.
        better: the direction of better.
        networks: see `of_networks_alone`, of the table.
    """
    rows = family.best_first(better)
    marks: dict[str, Mark] = {}
    names: tuple[Mark, ...] = ("best", "second")
    for place, name in enumerate(names):
        rest = rows[place + 1 :]
        if not rest or family.told_behind(rows[place], rest, better, networks=networks) < len(rest):
            break
        marks[rows[place]] = name
    return marks


def missing_lead(lead: Difference | None, printed: float | None, similar: float | None) -> float | None:
    """The size that a lead is told not to have: the paper's, or what is read as none; None where it may have it.

    Args:
        lead: of several seeds, positive where it is one, in the printed unit.
        printed: the paper's own lead; with None or one that is not positive, nothing is told.
        similar: which difference is read as none (`SIMILAR`); with None, nothing is told.
    """
    if lead is None or lead.interval is None or lead.n == 1 or printed is None or similar is None:
        return None
    least = min(printed, similar)
    low, high = lead.interval
    return least if least >= ROUNDING and low <= 0 and high < least else None


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


def _squares(rows: Mapping[str, Mapping[int, float]], seeds: Sequence[int]) -> dict[str, float]:
    """By row, the squares of what its numbers are off the means of the row and of each seed, summed over the seeds."""
    numbers = np.array([[row[seed] for seed in seeds] for row in rows.values()])
    residual = numbers - numbers.mean(0) - numbers.mean(1, keepdims=True) + numbers.mean()
    return dict(zip(rows, (residual**2).sum(1).tolist(), strict=True))


def outlying_share(rows: int, seeds: int) -> float:
    """The share of all squares (`_squares`) from which on those of a row are an outlier; at least three rows.

    Cochran's C is that share of independent variances. Here the means of the seeds are gone from the numbers, so that a
    row's squares are (1 - 1/p) s^2 chi^2 with n - 1 degrees of freedom of p rows and n seeds, and the rest of all
    squares, once p/(p - 1) of them are taken away, independent of them with (p - 2)(n - 1).
    """
    ratio = float(fdtri(seeds - 1, (rows - 2) * (seeds - 1), 1 - _OUTLYING / rows))
    return (1 - 1 / rows) / (1 + (rows - 2) / ratio)


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
        detectable = difference.half(SIGNIFICANT / rest) if p >= SIGNIFICANT and difference.error else None
        found[pair] = replace(difference, adjusted=p, detectable=detectable)
    return found
