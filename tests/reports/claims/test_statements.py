"""Statements about numbers: what they say of exact numbers, and of means over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from reports.claims.numbers import At, Number, Source, difference_of
from reports.claims.scores import Score
from reports.claims.statements import (
    Adds,
    Ranks,
    Saves,
    Similar,
    Takes,
    Verdict,
    Widens,
    together,
)
from reports.contrasts import Difference
from reports.differences import Family
from tests.support.fake_claims import scores, verdict
from tests.support.fake_scores import by_clip

A, B, C, D = (At(2, "cityscapes", row, "miou") for row in "ABCD")


COST_A, COST_B, COST_C = (At(2, "cityscapes", row, "gflops") for row in "ABC")


def exact(numbers: Mapping[At, float]) -> Source:
    return {cell: Number(value, f"{value:g}") for cell, value in numbers.items()}.get


def with_printed(source: Source, printed: Mapping[At, float]) -> Source:
    """The same numbers beside the paper's own."""

    def find(cell: At) -> Number | None:
        found = source(cell)
        return None if found is None else replace(found, printed=printed.get(cell))

    return find


def difference_between(source: Source, first: At, second: At) -> Difference:
    ours, theirs = source(first), source(second)
    assert ours is not None
    assert theirs is not None
    found = difference_of(ours, theirs)
    assert found is not None
    return found


def about(mean: float, apart: float = 0.1) -> tuple[float, ...]:
    """Three seeds of a mean, so far apart."""
    return (mean - apart, mean + apart, mean)


def test_a_saving_is_rounded_as_it_is_said() -> None:
    saves = Saves("", COST_A, (COST_B,), 54)
    finding = saves.judge(exact({COST_A: 70, COST_B: 151}))
    assert finding is not None
    assert finding.text == "1 − 70 / 151 = 53.6 % saved, 46.4 % remain"
    assert finding.verdict == "holds"
    assert verdict(saves, exact({COST_A: 40, COST_B: 151})) == "more than said"
    assert verdict(saves, exact({COST_A: 72, COST_B: 151})) == "less than said"
    assert verdict(Saves("", COST_A, (COST_B,), 46, exact=True), exact({COST_A: 70, COST_B: 151})) == "does not hold"


def test_of_several_savings_the_most_counts() -> None:
    finding = Saves("", COST_A, (COST_B, COST_C), 50).judge(exact({COST_A: 10, COST_B: 20, COST_C: 8}))
    assert finding is not None
    assert finding.verdict == "holds"
    assert finding.text.endswith("(B, the most; the least: C, −25.0 %)")


def test_a_share() -> None:
    assert verdict(Takes("", COST_A, COST_B, 4), exact({COST_A: 0.2, COST_B: 5.4})) == "holds"
    assert verdict(Takes("", COST_A, COST_B, 4), exact({COST_A: 5.4, COST_B: 108})) == "does not hold"


def test_what_is_added_has_a_stated_limit() -> None:
    finding = Adds("", COST_A, COST_B, 10).judge(exact({COST_A: 70, COST_B: 48}))
    assert finding is not None
    assert finding.text == "70 / 48: +45.8 % (read as: 10 % at most)"
    assert finding.verdict == "does not hold"
    assert verdict(Adds("", COST_A, COST_B, 10), exact({COST_A: 11, COST_B: 10})) == "holds"
    assert verdict(Adds("", COST_A, COST_B, 10), exact({COST_A: 9, COST_B: 10})) == "holds"


def test_one_seed_cannot_tell_and_says_so() -> None:
    one = scores({A: [3.0], B: [2.0], C: [2.5], D: [1.0]})
    for statement in (Ranks("", A, (B,)), Similar("", A, (B,)), Widens("", (A, B), (C, D))):
        finding = statement.judge(one)
        assert finding is not None
        assert finding.verdict == "cannot tell"
        assert "n = 1" in finding.text
        assert finding.text.endswith("(one seed: it tells two trained networks apart, and says nothing of the methods)")
        assert "these two networks differ" not in finding.text


def test_one_seed_tells_two_networks_apart_by_their_clips() -> None:
    clips = np.random.default_rng(0).normal(size=(2, 1, 100)) + np.array([5.0, 2.0])[:, None, None]
    family = Family([by_clip("A", clips[0]), by_clip("B", clips[1])])
    source = {cell: Number(m, f"{m:g}", None, 1, Score(cell.row, family, 1.0)) for cell, m in ((A, 5.0), (B, 2.0))}
    finding = Ranks("", A, (B,)).judge(source.get)
    assert finding is not None
    assert finding.verdict == "cannot tell"
    assert "not told apart: B (these two networks differ: −" in finding.text


def test_places_of_exact_numbers() -> None:
    numbers = exact({A: 64.3, B: 64.5, C: 64.2})
    assert verdict(Ranks("", A, (B, C)), numbers) == "does not hold"
    assert verdict(Ranks("", A, (B, C), 2), numbers) == "holds"
    assert verdict(Ranks("", A, (C,)), numbers) == "holds"
    assert verdict(Ranks("", A, (C,)), exact({A: 1.0, C: 1.0})) == "does not hold"
    assert verdict(Ranks("", A, (B, C)), exact({A: 1.0, B: 0.5, C: 1.0})) == "in part"
    assert verdict(Ranks("", COST_A, (COST_B,)), exact({COST_A: 1, COST_B: 2})) == "holds"  # less is better


def test_places_with_spreads() -> None:
    rank = Ranks("", A, (B, C))
    assert verdict(rank, scores({A: about(3), B: (1.9, 2.0, 2.1), C: about(1)})) == "holds"
    unclear = rank.judge(scores({A: about(2.05, 0.2), B: (2.0, 1.9, 2.1), C: about(0)}))
    assert unclear is not None
    assert unclear.verdict == "cannot tell"
    # A minus B is -0.15, 0.35, -0.05, which vary more than all rows do; 4 degrees of freedom; the last pair of three.
    needed = 2.776 * np.std([-0.15, 0.35, -0.05], ddof=1) / math.sqrt(3)
    assert f"not told apart: B (from a difference of {needed:.2g} on)" in unclear.text
    assert verdict(rank, scores({A: about(2), B: (2.9, 3.0, 3.1), C: about(1)})) == "does not hold"
    # Behind one for certain, so first place is lost whatever the other is.
    assert verdict(rank, scores({A: about(2), B: (2.9, 3.0, 3.1), C: (2.1, 2.0, 1.9)})) == "does not hold"
    assert verdict(rank, scores({A: [3.0], B: [2.0], C: [1.0]})) == "cannot tell"


@pytest.mark.parametrize("metric", ["miou", "depth_abs"])
def test_a_place_and_the_order_of_rows_are_one_test(metric: str) -> None:
    cells = [At(2, "cityscapes", row, metric) for row in "ABCDE"]
    generator = np.random.default_rng(5)
    found: set[Verdict | None] = set()
    for _ in range(30):
        numbers = {cell: (generator.normal(scale=2) + generator.normal(size=3)).tolist() for cell in cells}
        source = scores(numbers)
        first, second = (source(cell) for cell in cells[:2])
        assert first is not None
        assert first.score is not None
        assert second is not None
        difference = first.score.family.difference("A", "B")
        assert difference is not None
        lead = difference.mean * (-1 if metric == "depth_abs" else 1)
        wanted = "cannot tell" if not difference.differ else "holds" if lead > 0 else "does not hold"
        found.add(verdict(Ranks("", cells[0], (cells[1],)), source))
        assert verdict(Ranks("", cells[0], (cells[1],)), source) == wanted
    assert found == {"holds", "does not hold", "cannot tell"}


def test_similar_has_a_stated_limit() -> None:
    similar = Similar("", A, (B, C))
    finding = similar.judge(exact({A: 64.0, B: 64.2, C: 63.4}))
    assert finding is not None
    assert finding.text == "64; C 63.4: −0.6 (read as: within 0.5)"
    assert finding.verdict == "does not hold"
    assert verdict(similar, exact({A: 64.0, B: 64.2, C: 63.6})) == "holds"
    assert verdict(similar, scores({A: about(64.0), B: (64.2, 64.1, 64.0), C: about(63.4)})) == "cannot tell"
    assert verdict(similar, scores({A: about(64.0), B: (64.2, 64.1, 64.0), C: about(62.0)})) == "does not hold"
    assert verdict(similar, scores({A: about(64.0), B: (64.1, 64.2, 64.1), C: about(64.0)})) == "holds"
    assert verdict(Similar("", COST_A, (COST_B,)), exact({COST_A: 7.0, COST_B: 7.0})) == "holds"


def test_widening() -> None:
    widens = Widens("", (A, B), (C, D))
    assert verdict(widens, exact({A: 73.2, B: 72.1, C: 72.1, D: 69.8})) == "holds"
    assert verdict(widens, exact({A: 73.2, B: 72.1, C: 70.0, D: 69.8})) == "does not hold"
    small = {A: about(73.2), B: about(72.1), C: (72.1, 72.2, 72.0), D: about(69.8)}
    assert verdict(widens, scores(small)) == "holds"
    assert verdict(widens, scores({**small, D: about(69.8, 1.5)})) == "cannot tell"
    ratio = Widens("", (COST_A, COST_B), (COST_C, COST_B), ratio=True)
    finding = ratio.judge(exact({COST_A: 2, COST_B: 8, COST_C: 4}))
    assert finding is not None
    assert (finding.text, finding.verdict) == ("4.0 ×, then 2.0 ×", "does not hold")


def test_a_printed_lead_may_be_told_to_be_missing() -> None:
    seeds = {A: about(64.0), B: (64.0, 64.1, 63.9), C: about(60.0)}
    printed = {A: 66.0, B: 64.0, C: 63.0}
    source, rank = with_printed(scores(seeds), printed), Ranks("", A, (B,))
    assert verdict(rank, scores(seeds)) == "cannot tell"  # no lead is printed
    finding = rank.judge(source)
    assert finding is not None
    difference = difference_between(source, A, B)
    low, high = difference.interval or (math.nan, math.nan)
    assert low < 0 < high < 0.5
    assert finding.verdict == "does not hold"
    assert finding.text.endswith(f"; no lead of 0.5 over B (95 %: −{-low:.3g} to +{high:.3g})")
    # As small a lead as the paper's may be there, and one that the paper does not have cannot be missing.
    assert verdict(rank, with_printed(scores(seeds), {**printed, A: 64.1})) == "cannot tell"
    assert verdict(rank, with_printed(scores(seeds), {**printed, A: 63.0})) == "cannot tell"
    # Ahead of one, and no lead over the other.
    assert verdict(Ranks("", A, (B, C)), source) == "in part"
    # Second of three, and ahead of none: one is ahead, and of the lead over the other nothing is there.
    place = with_printed(scores({**seeds, C: about(68.0)}), {**printed, C: 68.0})
    assert verdict(Ranks("", A, (B, C), 2), place) == "does not hold"
    # One seed tells of networks alone, and a wide interval has room for the lead.
    assert verdict(rank, with_printed(scores({A: [64.0], B: [64.0]}), printed)) == "cannot tell"
    assert verdict(rank, with_printed(scores({**seeds, B: about(64.0, 0.8)}), printed)) == "cannot tell"


def test_where_less_is_better_a_missing_lead_is_a_smaller_error() -> None:
    ours, theirs = (At(2, "cityscapes", row, "depth_abs") for row in "AB")
    source = with_printed(scores({ours: about(1.3, 0.002), theirs: (1.299, 1.297, 1.302)}), {ours: 1.02, theirs: 1.06})
    finding = Ranks("", ours, (theirs,)).judge(source)
    assert finding is not None
    assert finding.verdict == "does not hold"
    assert "; no lead of 0.02 over B (95 %: −0.0" in finding.text
    assert verdict(Ranks("", theirs, (ours,)), source) == "cannot tell"  # the paper has it the other way round


def test_a_lead_may_be_told_not_to_widen() -> None:
    widens = Widens("", (A, B), (C, D))
    seeds = {A: about(70.2), B: about(70.0), C: (65.2, 65.3, 65.1), D: about(65.0)}
    assert verdict(widens, scores(seeds)) == "cannot tell"
    finding = widens.judge(with_printed(scores(seeds), {A: 73.2, B: 72.1, C: 72.1, D: 69.8}))
    assert finding is not None
    assert finding.verdict == "does not hold"
    assert finding.text.startswith("+0.2, then +0.2 (n = 3); no lead of 0.5 (95 %: −")
    assert verdict(widens, with_printed(scores(seeds), {A: 73.2, B: 72.1, C: 70.0, D: 69.8})) == "cannot tell"


def test_a_missing_number_gives_no_finding() -> None:
    assert Ranks("", A, (B,)).judge(exact({A: 1.0})) is None


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "more than said"], "holds"),
        (["holds", "does not hold"], "in part"),
        (["does not hold", "does not hold"], "does not hold"),
        (["holds", "no run yet"], "no run yet"),
        (["holds", "cannot tell"], "cannot tell"),
        (["less than said", "no run yet"], "in part"),
        (["does not hold", "no run yet"], "does not hold"),
        (["does not hold", "cannot tell", "no run yet"], "does not hold"),
        (["does not hold", "holds", "no run yet"], "in part"),
        ([], None),
    ],
)
def test_a_claim_is_the_sum_of_its_parts(parts: list[Verdict], whole: Verdict | None) -> None:
    assert together(parts) == whole
