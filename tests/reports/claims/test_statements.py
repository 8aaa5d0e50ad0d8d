"""Statements about numbers: what they say of exact numbers, and of means over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.claims.statements import (
    Adds,
    At,
    Number,
    Ranks,
    Saves,
    Similar,
    Source,
    Takes,
    Verdict,
    Widens,
    together,
)
from tests.support.fake_claims import verdict

A, B, C, D = (At(2, "cityscapes", row, "miou") for row in "ABCD")


COST_A, COST_B, COST_C = (At(2, "cityscapes", row, "gflops") for row in "ABC")


def exact(numbers: Mapping[At, float]) -> Source:
    return {cell: Number(value, f"{value:g}") for cell, value in numbers.items()}.get


def seeds(numbers: Mapping[At, tuple[float, float | None]], n: int = 3) -> Source:
    return {cell: Number(value, f"{value:g}", std, n) for cell, (value, std) in numbers.items()}.get


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
    one = seeds({A: (3.0, None), B: (2.0, None), C: (2.5, None), D: (1.0, None)}, n=1)
    for statement in (Ranks("", A, (B,)), Similar("", A, (B,), 0.5), Widens("", (A, B), (C, D))):
        finding = statement.judge(one)
        assert finding is not None
        assert finding.verdict == "cannot tell"
        assert "n = 1" in finding.text
        assert "one seed has no spread" in finding.text


def test_places_of_exact_numbers() -> None:
    numbers = exact({A: 64.3, B: 64.5, C: 64.2})
    assert verdict(Ranks("", A, (B, C)), numbers) == "does not hold"
    assert verdict(Ranks("", A, (B, C), 2), numbers) == "holds"
    assert verdict(Ranks("", A, (C,)), numbers) == "holds"
    assert verdict(Ranks("", A, (C,)), exact({A: 1.0, C: 1.0})) == "in part"
    assert verdict(Ranks("", COST_A, (COST_B,)), exact({COST_A: 1, COST_B: 2})) == "holds"  # less is better


def test_places_with_spreads() -> None:
    rank = Ranks("", A, (B, C))
    assert verdict(rank, seeds({A: (3.0, 0.2), B: (2.0, 0.2), C: (1.0, 0.2)})) == "holds"
    assert verdict(rank, seeds({A: (2.3, 0.2), B: (2.0, 0.2), C: (1.0, 0.2)})) == "cannot tell"
    assert verdict(rank, seeds({A: (2.0, 0.2), B: (3.0, 0.2), C: (1.0, 0.2)})) == "does not hold"
    # Behind one for certain, so first place is lost whatever the other is.
    assert verdict(rank, seeds({A: (2.0, 0.2), B: (3.0, 0.2), C: (2.0, 0.2)})) == "does not hold"
    assert verdict(rank, seeds({A: (3.0, None), B: (2.0, None), C: (1.0, None)}, n=1)) == "cannot tell"


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 3), st.floats(0, 3), st.sampled_from(["miou", "depth_abs"]))
def test_two_rows_are_told_apart_as_in_the_tables(a: float, b: float, s: float, t: float, metric: str) -> None:
    first, second = (At(2, "cityscapes", row, metric) for row in "AB")
    found = verdict(Ranks("", first, (second,)), seeds({first: (a, s), second: (b, t)}))
    lead = (a - b) * (-1 if metric == "depth_abs" else 1)
    if s + t > 0:
        assert found == ("cannot tell" if abs(lead) <= s + t else "holds" if lead > 0 else "does not hold")
    else:
        assert found == ("in part" if lead == 0 else "holds" if lead > 0 else "does not hold")


def test_similar_has_a_stated_limit() -> None:
    similar = Similar("", A, (B, C), 0.5)
    finding = similar.judge(exact({A: 64.0, B: 64.2, C: 63.4}))
    assert finding is not None
    assert finding.text == "64; C 63.4: −0.6 (read as: within 0.5)"
    assert finding.verdict == "does not hold"
    assert verdict(similar, exact({A: 64.0, B: 64.2, C: 63.6})) == "holds"
    assert verdict(similar, seeds({A: (64.0, 0.2), B: (64.1, 0.2), C: (63.4, 0.2)})) == "cannot tell"
    assert verdict(similar, seeds({A: (64.0, 0.1), B: (64.1, 0.1), C: (64.0, 0.1)})) == "holds"
    assert verdict(Similar("", COST_A, (COST_B,), 0.0), exact({COST_A: 7.0, COST_B: 7.0})) == "holds"


def test_widening() -> None:
    widens = Widens("", (A, B), (C, D))
    assert verdict(widens, exact({A: 73.2, B: 72.1, C: 72.1, D: 69.8})) == "holds"
    assert verdict(widens, exact({A: 73.2, B: 72.1, C: 70.0, D: 69.8})) == "does not hold"
    small = {A: (73.2, 0.1), B: (72.1, 0.1), C: (72.1, 0.1), D: (69.8, 0.1)}
    assert verdict(widens, seeds(small)) == "holds"
    assert verdict(widens, seeds({**small, D: (69.8, 1.0)})) == "cannot tell"
    ratio = Widens("", (COST_A, COST_B), (COST_C, COST_B), ratio=True)
    finding = ratio.judge(exact({COST_A: 2, COST_B: 8, COST_C: 4}))
    assert finding is not None
    assert (finding.text, finding.verdict) == ("4.0 ×, then 2.0 ×", "does not hold")


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
        ([], None),
    ],
)
def test_a_claim_is_the_sum_of_its_parts(parts: list[Verdict], whole: Verdict | None) -> None:
    assert together(parts) == whole
