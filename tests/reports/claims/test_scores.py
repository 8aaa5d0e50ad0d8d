"""Contrasts of rows at several offsets: the same whichever term comes first, and of a network's own losses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.claims.numbers import At
from reports.claims.scores import Score, contrast_of
from reports.contrasts import Sample, contrast
from reports.differences import Family
from tests.support.fake_scores import by_clip

ROWS = "abcdef"


@pytest.fixture(scope="module")
def offsets() -> tuple[Family, Family]:
    """Six networks at a keyframe and four frames later, the last of them the same at both; what they lose varies."""
    generator = np.random.default_rng(1)
    seeds, clips = generator.normal(0, 1, (6, 3, 1)), generator.normal(0, 2, (6, 1, 80))
    first = 50 + seeds + clips + generator.normal(0, 1, (6, 3, 80))
    lost = np.arange(6)[:, None, None] + generator.normal(0, 0.3, (6, 3, 1)) + generator.normal(0, 1, (6, 3, 80))
    lost[5] = 0
    families = [
        Family([by_clip(row, values) for row, values in zip(ROWS, x, strict=True)]) for x in (first, first - lost)
    ]
    return families[0], families[1]


def test_what_a_network_loses_is_the_same_either_way(offsets: tuple[Family, Family]) -> None:
    first, last = (Score("b", family, 1.0) for family in offsets)
    found, back = contrast_of([(1, first), (-1, last)]), contrast_of([(-1, last), (1, first)])
    assert found == back
    assert found is not None
    assert found.mean == pytest.approx(1, abs=0.6)
    turned = contrast_of([(1, last), (-1, first)])
    assert turned is not None
    assert turned == found.times(-1)
    numbers = np.array([[list(family.samples[row].by_seed.values()) for row in ROWS[:5]] for family in offsets])
    lost = numbers[0] - numbers[1]
    assert found.error is not None
    pooled = np.mean([np.var(row, ddof=1) for row in lost])
    assert found.error**2 >= max(pooled, np.var(lost[1], ddof=1)) / 3 - 1e-12
    assert found.error**2 < 1.5 * max(pooled, np.var(lost[1], ddof=1)) / 3 + 1 / 80


def test_two_losses_are_compared_as_numbers_of_their_own(offsets: tuple[Family, Family]) -> None:
    first, last = offsets
    terms = [(1, Score("d", first, 1.0)), (-1, Score("d", last, 1.0)), (-1, Score("b", first, 1.0))]
    found = contrast_of([*terms, (1, Score("b", last, 1.0))])
    losses = Family(
        [
            Sample(
                row,
                {seed: first.samples[row].by_seed[seed] - last.samples[row].by_seed[seed] for seed in range(3)},
                {seed: first.samples[row].by_clip[seed] - last.samples[row].by_clip[seed] for seed in range(3)},
            )
            for row in ROWS[:5]  # the last row loses nothing by what it is, and says nothing of the others' chance
        ]
    )
    wanted = contrast([(1, losses.samples["d"]), (-1, losses.samples["b"])], losses.spread)
    assert found is not None
    assert wanted is not None
    assert (found.mean, found.error, found.p) == pytest.approx((wanted.mean, wanted.error, wanted.p))


def test_rows_of_one_column_are_compared_as_the_table_does(offsets: tuple[Family, Family]) -> None:
    first, last = offsets
    found = contrast_of([(1, Score("c", last, 1.0)), (-1, Score("a", last, 1.0))])
    assert found == last.difference("c", "a")
    assert found is not None
    assert found.adjusted != found.p
    # A single-frame row has the same numbers at any offset.
    assert contrast_of([(1, Score("c", last, 1.0)), (-1, Score("f", first, 1.0))]) == last.difference("c", "f")
    assert contrast_of([(1, Score("f", first, 1.0)), (-1, Score("c", last, 1.0))]) == last.difference("f", "c")


@pytest.mark.parametrize(
    ("dataset", "metric", "limit"),
    [
        ("cityscapes", "miou@last", 0.5),
        ("cityscapes", "depth_abs", 0.02),
        ("nyuv2", "miou", 0.5),
        ("nyuv2", "depth_abs", None),  # printed in centimetres
        ("nyuv2", "normal_mean", None),
        ("", "gflops", None),
    ],
)
def test_what_is_read_as_similar_goes_by_the_printed_unit(dataset: str, metric: str, limit: float | None) -> None:
    assert At(1, dataset, "MILA", metric).similar == limit


def test_other_contrasts_take_the_larger_spread(offsets: tuple[Family, Family]) -> None:
    first, last = offsets
    found = contrast_of([(1, Score("c", last, 1.0)), (-1, Score("a", first, 1.0))])
    back = contrast_of([(1, Score("a", first, 1.0)), (-1, Score("c", last, 1.0))])
    assert found is not None
    assert back == found.times(-1)


def test_losses_that_are_none_are_told_as_seldom_as_said() -> None:
    generator, ps = np.random.default_rng(2), list[float]()
    for _ in range(300):
        lost = generator.normal(0, 0.3, (5, 3)) + generator.normal(0, 0.2, 3)
        families = [
            Family([Sample(row, dict(enumerate(50 + x)), {}) for row, x in zip("abcde", lost * share, strict=True)])
            for share in (0, 1)
        ]
        found = contrast_of([(1, Score("a", families[1], 1.0)), (-1, Score("a", families[0], 1.0))])
        assert found is not None
        assert found.p is not None
        ps.append(found.p)
    assert stats.binomtest(sum(p < 0.05 for p in ps), len(ps), 0.05, "greater").pvalue > 0.01
    assert np.mean([p < 0.5 for p in ps]) > 0.25
