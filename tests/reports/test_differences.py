"""What tells rows apart: against scipy and slow references, and its rate of errors on simulated rows."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mila.clip_sums import ClipSums
from mila.metrics import SuiteSums
from mila.tasks import NYUV2
from reports.claims.numbers import needed_text
from reports.contrasts import SIGNIFICANT, Difference, Sample, contrast
from reports.differences import (
    Family,
    _squares,
    holm,
    measured_marks,
    missing_lead,
    of_networks_alone,
    outlying_share,
)
from reports.statistics import Better
from tests.support.fake_scores import by_clip, by_seed, crossed

NUMBERS = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=6)


@given(NUMBERS, st.data())
def test_two_rows_without_clips_are_compared_by_scipys_paired_test(first: list[float], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.floats(-100, 100), min_size=len(first), max_size=len(first)))
    other = Sample("b", {**dict(enumerate(second)), 99: 1.0}, {})
    found = contrast([(1, by_seed("a", *first)), (-1, other)], None)
    assert found is not None
    assert (found.n, found.clips) == (len(first), 0)
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    assert found.mean == pytest.approx(statistics.fmean(gaps), abs=1e-9)
    if statistics.stdev(gaps) > 1e-6:
        test = stats.ttest_rel(first, second)
        assert found.p == pytest.approx(test.pvalue, rel=1e-4, abs=1e-12)
        wanted = test.confidence_interval(0.95)
        assert found.interval == pytest.approx((wanted.low, wanted.high), rel=1e-4, abs=1e-6)


def test_numbers_whose_squares_are_too_small_for_a_float_are_compared() -> None:
    """The square of the variance of such a gap is no float above 0 any more."""
    found = contrast([(1, by_seed("a", 0.0, 0.0)), (-1, by_seed("b", 0.0, 6.264208407647653e-93))], None)
    assert found is not None
    assert found.p == pytest.approx(0.5)
    assert found.df == pytest.approx(1)


def test_two_networks_are_compared_by_scipys_paired_test_over_clips() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 1, 40))
    found = contrast([(1, by_clip("a", first + 0.3)), (-1, by_clip("b", second))], None)
    assert found is not None
    assert (found.n, found.clips) == (1, 40)
    assert found.p == pytest.approx(stats.ttest_rel(first[0] + 0.3, second[0]).pvalue)


def test_pairs_of_which_nothing_is_known() -> None:
    assert contrast([(1, by_seed("a", 1.0)), (-1, Sample("b", {1: 1.0}, {}))], None) is None
    one = contrast([(1, by_seed("a", 3.0)), (-1, by_seed("b", 1.0))], None)
    assert one is not None
    assert (one.mean, one.interval, one.p, one.n, one.differ) == (2.0, None, None, 1, False)
    same = contrast([(1, by_seed("a", 1.0, 2.0)), (-1, by_seed("b", 0.5, 1.5))], None)
    assert same is not None
    assert (same.interval, same.p) == ((0.5, 0.5), 0.0)
    for clips, others in ((40, 50), (19, 19)):  # scored on other clips, or on too few
        other = contrast([(1, by_clip("a", np.zeros((1, clips)))), (-1, by_clip("b", np.ones((1, others))))], None)
        assert other is not None
        assert (other.clips, other.p) == (0, None)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_procedure(ps: list[float]) -> None:
    for level in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        while len(rejected) < len(ps):
            rest = [i for i in range(len(ps)) if i not in rejected]
            least = min(rest, key=lambda i: ps[i])
            if ps[least] * len(rest) >= level:
                break
            rejected.add(least)
        assert {i for i, p in enumerate(holm(ps)) if p < level} == rejected


def test_the_seeds_of_all_rows_count_together_and_a_restless_pair_more() -> None:
    numbers = np.random.default_rng(1).normal(size=(5, 3))
    family = Family([by_seed(str(row), *seeds) for row, seeds in enumerate(numbers)])
    assert family.spread is not None
    assert family.spread.df == 8
    gaps = [numbers[i] - numbers[j] for i in range(5) for j in range(i)]
    assert family.spread.variance == pytest.approx(np.mean([gap.var(ddof=1) for gap in gaps]) / 2)
    restless = Family([*family.samples.values(), by_seed("x", 0.0, 30.0, -30.0), by_seed("y", 9.0, -20.0, 40.0)])
    found = restless.difference("x", "y")
    assert found is not None
    assert found.error == pytest.approx(np.std([-9.0, 50.0, -70.0], ddof=1) / math.sqrt(3))


@pytest.mark.parametrize(("rows", "seeds"), [(3, 3), (4, 2), (4, 3), (4, 5), (5, 3), (6, 2), (10, 3)])
def test_of_rows_that_scatter_alike_one_is_outlying_as_seldom_as_said(rows: int, seeds: int) -> None:
    numbers = np.random.default_rng(0).normal(size=(40_000, rows, seeds))
    residual = numbers - numbers.mean(1, keepdims=True) - numbers.mean(2, keepdims=True)
    squares = ((residual + numbers.mean((1, 2), keepdims=True)) ** 2).sum(2)
    assert squares[0] == pytest.approx(list(_squares(by_row(numbers[0]), range(seeds)).values()))
    found = (squares.max(1) / squares.sum(1) > outlying_share(rows, seeds)).mean()
    assert 0.0075 < found < 0.0115  # at 1 %, bounded from above row by row


def by_row(numbers: npt.NDArray[np.float64]) -> dict[str, dict[int, float]]:
    return {str(row): dict(enumerate(seeds.tolist())) for row, seeds in enumerate(numbers)}


def test_one_restless_row_of_four_is_found() -> None:
    numbers = np.random.default_rng(0).normal(size=(4, 3)) * [[1.0], [0.01], [0.01], [0.01]]
    spread = Family([by_seed(str(row), *seeds) for row, seeds in enumerate(numbers)]).spread
    assert spread is not None
    assert spread.rows == set("123")


def test_rows_whose_seeds_scatter_say_nothing_of_the_others() -> None:
    numbers = np.random.default_rng(1).normal(size=(7, 3))
    family = Family([by_seed(str(row), *seeds) for row, seeds in enumerate(numbers)])
    scattered = [by_seed("x", 0.0, 300.0, -300.0), by_seed("y", 40.0, -50.0, 10.0)]  # y is found once x is left out
    more = Family([*family.samples.values(), *scattered])
    assert family.spread is not None
    assert more.spread == family.spread
    assert more.spread.rows == set("0123456")
    for pair, difference in family.pairs.items():
        same = more.pairs[pair]
        assert (same.error, same.df, same.p) == (difference.error, difference.df, difference.p)
    own = more.difference("0", "y")
    assert own is not None
    assert own.df == 2
    assert own.error == pytest.approx(np.std(numbers[0] - [40.0, -50.0, 10.0], ddof=1) / math.sqrt(3))


def test_two_rows_whose_seeds_scatter_alike_do_not_hide_each_other() -> None:
    numbers = np.random.default_rng(1).normal(size=(7, 3))
    samples = [by_seed(str(row), *seeds) for row, seeds in enumerate(numbers)]
    scattered = [by_seed("x", 0.0, 30.0, -30.0), by_seed("y", 30.0, -28.0, 0.0)]
    squares = [3 * np.var(row) for row in (*numbers, [0.0, 30.0, -30.0], [30.0, -28.0, 0.0])]
    assert max(squares) / sum(squares) < outlying_share(9, 3)  # neither is outlying while the other is there
    spread = Family([*samples, *scattered]).spread
    assert spread is not None
    assert spread.rows == set("0123456")


def test_beside_rows_with_several_seeds_one_with_a_single_seed_is_ahead_of_none() -> None:
    """As where a run of three seeds is looked at half-way: what one seed tells is said of networks alone."""
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 3, 60))
    family = Family([by_clip("a", 3 + noise[0, :1]), by_clip("b", 2 + noise[1]), by_clip("c", 1 + noise[2])])
    assert family.told_behind("b", ["c"], "higher", networks=False) == 1
    assert family.told_behind("a", ["b", "c"], "higher", networks=False) == 0
    assert all(d.differ for d in family.pairs.values())
    assert not of_networks_alone([family])
    assert measured_marks(family, "higher", networks=False) == {}
    alone = [by_clip("a", 3 + noise[0, :1]), by_clip("b", 2 + noise[1, :1]), by_clip("c", 1 + noise[2, :1])]
    assert of_networks_alone([Family(alone)])
    assert not of_networks_alone([Family(alone), family])  # another metric of the same table
    assert measured_marks(Family(alone), "higher", networks=True) == {"a": "best", "b": "second"}
    assert measured_marks(Family(alone), "higher", networks=False) == {}


def test_rows_with_the_same_numbers_say_no_difference_that_would_have_been_told() -> None:
    values = np.random.default_rng(0).normal(size=(1, 40))
    same = Family([by_clip("a", values), by_clip("b", values)]).difference("a", "b")
    assert same is not None
    assert (same.p, same.detectable, needed_text(same)) == (1.0, None, "")
    numbers = [0.1 + 0.2, 1.1], [0.3, 1.1]  # the same but for rounding
    rounded = contrast([(1, by_seed("a", *numbers[0])), (-1, by_seed("b", *numbers[1]))], None)
    assert rounded is not None
    assert rounded.p == 1.0


def test_what_is_not_told_says_what_would_have_been() -> None:
    family = crossed(np.random.default_rng(0), [0.1] * 4, 3, 200, {0: 2.0})
    unclear = {pair: d for pair, d in family.pairs.items() if not d.differ}
    assert set(unclear) == {("1", "2"), ("1", "3"), ("2", "3")}
    assert all(d.detectable is None for pair, d in family.pairs.items() if pair not in unclear)
    for (first, second), difference in unclear.items():
        assert difference.detectable is not None
        assert abs(difference.mean) < difference.detectable
        # Moved to just below and just above it, the pair is not told and told, at the level of the first of three.
        for size, differs in ((0.98, False), (1.02, True)):
            moved = difference.detectable * size - difference.mean
            ours, other = (family.samples[row] for row in (first, second))
            ours = Sample(first, {seed: number + moved for seed, number in ours.by_seed.items()}, ours.by_clip)
            alone = contrast([(1, ours), (-1, other)], family.spread)
            assert alone is not None
            assert alone.p is not None
            assert (alone.p < SIGNIFICANT / 3) == differs


@pytest.mark.parametrize(
    ("spreads", "seeds"),
    [([0.0] * 6, 1), ([0.15] * 6, 3), ([0.15] * 5 + [0.45], 3), ([0.15] * 5 + [9.0], 3), ([0.0] * 6, 3)],
)
def test_rows_that_do_not_differ_are_told_apart_as_seldom_as_said(spreads: list[float], seeds: int) -> None:
    generator = np.random.default_rng(3)
    families = [crossed(generator, spreads, seeds, 100, {}) for _ in range(200)]
    ps = [d.p for family in families for d in family.pairs.values() if d.p is not None]
    assert len(ps) == 200 * 15
    assert 0.01 < sum(p < SIGNIFICANT for p in ps) / len(ps) < 0.08
    wrong = sum(any(d.differ for d in family.pairs.values()) for family in families)
    assert wrong / 200 < 0.1


def test_a_lead_that_is_there_is_said_to_be_missing_as_seldom_as_said() -> None:
    generator = np.random.default_rng(5)
    found = {
        lead: [
            missing_lead(crossed(generator, [spread] * 6, 3, 400, {0: lead}).difference("0", row), 2.0, 0.5) is not None
            for _ in range(100)
            for row in "12345"
        ]
        for lead, spread in ((0.0, 0.1), (0.5, 0.2))
    }
    # At the margin of half a point the interval leaves it out once in forty times on this side, and then it mostly
    # includes none; without a lead, often.
    assert 0.002 < np.mean(found[0.5]) < 0.05
    assert np.mean(found[0.0]) > 0.8


def test_which_leads_can_be_missing() -> None:
    lead = Difference(0.1, 3, 300, 0.1, 50.0, 0.3, 0.6)  # -0.1 to 0.3
    assert missing_lead(lead, 2.0, 0.5) == 0.5
    assert missing_lead(lead, 0.4, 0.5) == 0.4
    assert missing_lead(lead, 0.2, 0.5) is None  # as small a lead as the paper's may be there
    assert missing_lead(lead, 0.0, 0.5) is None
    behind = replace(lead, mean=-1.0)  # -1.2 to -0.8
    assert missing_lead(behind, 0.1, 0.5) == 0.1
    assert missing_lead(behind, 0.0, 0.5) is None
    assert missing_lead(behind, 64.3 - 64.2 - 0.1, 0.5) is None  # the paper has them level
    assert missing_lead(behind, -0.5, 0.5) is None  # and here behind
    assert missing_lead(lead, None, 0.5) is None
    assert missing_lead(lead, 2.0, None) is None  # nothing is read as similar
    small = replace(lead, mean=0.25, adjusted=0.07)  # 0.05 to 0.45: below half a point, but perhaps a lead
    assert missing_lead(small, 2.0, 0.5) is None
    assert missing_lead(lead.times(-1), 2.0, 0.5) == 0.5
    assert missing_lead(replace(lead, n=1), 2.0, 0.5) is None
    assert missing_lead(replace(lead, error=None), 2.0, 0.5) is None
    assert missing_lead(None, 2.0, 0.5) is None


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_large_difference_is_told(seeds: int) -> None:
    generator = np.random.default_rng(4)
    families = [crossed(generator, [0.1] * 6, seeds, 300, {0: 1.5, 1: 3.0}) for _ in range(20)]
    marks = [measured_marks(family, "higher", networks=seeds == 1) for family in families]
    assert marks.count({"1": "best", "0": "second"}) >= 19  # in one of fifty a row's seeds are taken for outlying
    for family in families:
        found = family.difference("0", "5")
        assert found is not None
        assert found.differ
        assert found.interval is not None
        assert found.interval[0] > 0.5


def marks(better: Better, **rows: tuple[float, ...]) -> dict[str, str]:
    family = Family([by_seed(row, *numbers) for row, numbers in rows.items()])
    return dict(measured_marks(family, better, networks=True))


def test_marks_need_rows_that_are_told_apart() -> None:
    a, b, c = (9.0, 9.1, 9.2), (5.0, 5.2, 5.1), (1.2, 1.0, 1.1)
    assert marks("higher", a=a, b=b, c=c) == {"a": "best", "b": "second"}
    assert marks("lower", a=a, b=b, c=c) == {"c": "best", "b": "second"}
    assert marks("higher", a=a, b=(8.0, 9.9, 9.1), c=c) == {}
    assert marks("higher", a=a, b=(1.0, 1.3, 1.1), c=c) == {"a": "best"}  # who is second, they do not tell
    assert marks("higher", a=a, b=b) == {"a": "best"}  # of two, the last is not called second
    assert marks("higher", a=(9.0,), b=(5.0,)) == {}
    assert marks("higher", a=a) == {}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_error_over_clips_is_that_of_a_paired_bootstrap(seed: int) -> None:
    first, second = (rooms(seed, noise) for noise in (1.0, 1.3))
    clips = len(first)
    weights = np.random.default_rng(seed).multinomial(clips, [1 / clips] * clips, 2000)
    drawn = [sums.weighted(weights) for sums in (first, second)]
    values = [sums.jackknife() for sums in (first, second)]
    for metric in ("miou", "pixel_acc", "depth_abs", "depth_rel", "normal_mean", "normal_median"):
        difference = values[0][metric] - values[1][metric]
        error = difference.std() / math.sqrt(clips)
        assert error == pytest.approx((drawn[0][metric] - drawn[1][metric]).std(), rel=0.12), metric


def rooms(seed: int, noise: float) -> ClipSums:
    """Sums of 120 clips, some much harder than others, the same ones for every amount of noise."""
    generator = torch.Generator().manual_seed(seed)
    size, clips = (6, 8), 120
    hard = torch.rand(clips, 1, 1, 1, generator=generator) + 0.3
    labels = (13 * torch.rand(clips, *size, generator=generator) ** 3).long()  # the last classes are rare
    depth = torch.rand(clips, 1, *size, generator=generator) + 1
    normals = torch.nn.functional.normalize(torch.randn(clips, 3, *size, generator=generator), dim=1)
    chance = torch.Generator().manual_seed(seed + int(100 * noise))

    def noisy(truth: torch.Tensor) -> torch.Tensor:
        return truth + noise * hard * torch.randn(truth.shape, generator=chance)

    sums = SuiteSums(NYUV2)
    guess = noisy(2 * torch.nn.functional.one_hot(labels, 13).movedim(-1, 1).float())
    sums.update(
        {"segmentation": guess, "depth": noisy(depth), "normals": noisy(normals)},
        {"segmentation": labels, "depth": depth, "normals": normals},
    )
    return sums.clips()
