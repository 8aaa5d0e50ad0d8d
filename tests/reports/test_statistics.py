"""Intervals and paired tests against scipy.stats; marks against their definition."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.results import Value
from reports.statistics import interval, measured_marks, paired, published_marks

NUMBERS = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=6)


@given(NUMBERS)
def test_intervals_are_scipys(numbers: list[float]) -> None:
    mean, std = statistics.fmean(numbers), statistics.stdev(numbers)
    low, high = interval(mean, std, len(numbers))
    if std > 0:
        wanted = stats.t.interval(0.95, len(numbers) - 1, loc=mean, scale=std / math.sqrt(len(numbers)))
        assert (low, high) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    else:
        assert low == high == mean


@given(NUMBERS, st.data())
def test_paired_differences_are_scipys(first: list[float], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.floats(-100, 100), min_size=len(first), max_size=len(first)))
    found = paired(dict(enumerate(first)), {**dict(enumerate(second)), 99: 1.0})
    assert found is not None
    assert found.n == len(first)
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    assert found.mean == pytest.approx(statistics.fmean(gaps), abs=1e-9)
    if statistics.stdev(gaps) > 1e-6:
        test = stats.ttest_rel(first, second)
        assert found.p == pytest.approx(test.pvalue, rel=1e-4, abs=1e-12)
        wanted = test.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-4, abs=1e-6)


def test_pairs_without_common_seeds_and_with_one() -> None:
    assert paired({0: 1.0}, {1: 1.0}) is None
    assert paired({0: 1.0, 1: math.nan}, {0: 1.0, 1: 1.0}) is None
    one = paired({0: 3.0, 2: 9.0}, {0: 1.0})
    assert one is not None
    assert (one.mean, one.low, one.high, one.p, one.n) == (2.0, None, None, None, 1)
    same = paired({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.5})
    assert same is not None
    assert (same.low, same.high, same.p) == (0.5, 0.5, 0.0)


def value(mean: float, std: float | None) -> Value:
    return Value(mean, std, 1 if std is None else 2, (mean,), None)


def marks(better: str, **rows: tuple[float, float | None]) -> dict[str, str]:
    found = measured_marks([(name, value(*row)) for name, row in rows.items()], better)  # type: ignore[arg-type]
    return dict(found)


def test_marks_need_more_than_both_spreads() -> None:
    assert marks("higher", a=(3, 0.4), b=(2, 0.4), c=(1, 0.4)) == {"a": "best", "b": "second"}
    assert marks("lower", a=(3, 0.4), b=(2, 0.4), c=(1, 0.4)) == {"c": "best", "b": "second"}
    assert marks("higher", a=(3, 0.5), b=(2, 0.5), c=(1, 0.1)) == {}  # ahead by both spreads, not by more
    assert marks("higher", a=(3, 0.1), b=(2, 0.5), c=(1, 0.5)) == {"a": "best"}  # who is second, they do not tell
    assert marks("higher", a=(3, 0.1), b=(2, None)) == {}
    assert marks("higher", a=(3, 0.1)) == {}
    assert marks("higher", a=(3, 0.1), b=(2, 0.1)) == {"a": "best"}  # of two, the last is not called second
    assert marks("higher", a=(3, 0.1), b=(math.nan, 0.1), c=(1, 0.1)) == {"a": "best"}


def test_published_marks_share_equal_numbers() -> None:
    assert published_marks({"a": 2.0, "b": 2.0, "c": 1.0, "d": 0.5}, "higher") == {
        "a": "best",
        "b": "best",
        "c": "second",
    }
    assert published_marks({"a": 2.0, "b": 1.0}, "lower") == {"b": "best", "a": "second"}
