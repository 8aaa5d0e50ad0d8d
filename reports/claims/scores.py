"""Contrasts of scores that are not of one column: of rows at several keyframe offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from reports.contrasts import Difference, Sample, Spread, contrast
from reports.differences import Family

Weights = Mapping[int, tuple[float, Family]]
"""What a row's numbers in some families count in a contrast, by `id` of the family."""


@dataclass(frozen=True)
class Score:
    """A score of a run among those of its table.

    Attributes:
        row: its label there.
        family: all rows of the table on the same metric, in SI units.
        scale: printed unit = `scale` x SI unit.
    """

    row: str
    family: Family
    scale: float

    @property
    def sample(self) -> Sample:
        """Its numbers by seed and clip."""
        return self.family.samples[self.row]


def contrast_of(terms: Sequence[tuple[float, Score]]) -> Difference | None:
    """The sum of factor times score, in SI units; None where the rows have no seed in common.

    Two rows of one column are compared as the table compares them, with Holm's correction. A row at two offsets is one
    network: what it loses between them is a number of its own, and the spread of that over seeds is that of all rows of
    the table. Where the terms are no contrast of one such number, the larger of their spreads counts.

    Args:
        terms: factors, whose sum is 0, and scores.
    """
    terms = _in_one_family(terms)
    weights: dict[str, dict[int, tuple[float, Family]]] = {}
    for factor, score in terms:
        weights.setdefault(score.row, {})[id(score.family)] = (factor, score.family)
    first = next(iter(weights.values()))
    shares = {row: _share(counts, first) for row, counts in weights.items()}
    if None in shares.values():
        spreads = [spread for _, score in terms if (spread := score.family.spread) is not None]
        largest = max(spreads, key=lambda spread: spread.variance, default=None)
        return contrast([(factor, score.sample) for factor, score in terms], largest)
    number = _combined(first, set(weights))
    if len(first) == 1 and len(weights) == 2:
        ((factor, _),) = first.values()
        found = number.difference(*weights)
        return None if found is None else found.times(factor)
    samples = [(share, number.samples[row]) for row, share in shares.items() if share is not None]
    return contrast(samples, _within(number) if len(samples) == 1 else number.spread)


def _in_one_family(terms: Sequence[tuple[float, Score]]) -> Sequence[tuple[float, Score]]:
    """The same terms in one family, where one has all of their numbers: a single-frame row's is that of any offset."""
    for _, score in terms:
        rows = score.family.samples
        if all(s.row in rows and rows[s.row].by_seed == s.sample.by_seed for _, s in terms):
            return [(factor, Score(s.row, score.family, s.scale)) for factor, s in terms]
    return terms


def _share(row: Weights, first: Weights) -> float | None:
    """What a row counts of the number that the first one counts of; None where it is another number."""
    shares = {row[family][0] / factor for family, (factor, _) in first.items()} if set(row) == set(first) else set()
    return shares.pop() if len(shares) == 1 else None


def _combined(weights: Weights, wanted: Set[str]) -> Family:
    """The weighted sum of each row's numbers in some families: of the rows wanted, and of all for which it is not 0."""
    terms = list(weights.values())
    if len(terms) == 1:
        return terms[0][1]
    rows = set.intersection(*(set(family.samples) for _, family in terms))
    found = [_sum([(factor, family.samples[row]) for factor, family in terms]) for row in sorted(rows)]
    return Family([sample for sample in found if sample.row in wanted or any(sample.by_seed.values())])


def _sum(terms: Sequence[tuple[float, Sample]]) -> Sample:
    seeds = [seed for seed in terms[0][1].by_seed if all(seed in sample.by_seed for _, sample in terms)]
    by_seed = {seed: sum(factor * sample.by_seed[seed] for factor, sample in terms) for seed in seeds}
    kept = [seed for seed in seeds if all(seed in sample.by_clip for _, sample in terms)]
    by_clip = {seed: np.sum([factor * sample.by_clip[seed] for factor, sample in terms], axis=0) for seed in kept}
    return Sample(terms[0][1].row, by_seed, by_clip)


def _within(family: Family) -> Spread | None:
    """As `Family.spread`, with what all rows of a seed have in common: a number by itself is off by that as well."""
    spread = family.spread
    if spread is None:
        return None
    variances = [np.var(list(family.samples[row].by_seed.values()), ddof=1) for row in spread.rows]
    return Spread(float(np.mean(variances)), spread.df, spread.rows)
