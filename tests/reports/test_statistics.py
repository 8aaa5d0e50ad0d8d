"""Intervals against scipy.stats; the paper's marks against their definition."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics import interval, published_marks

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


def test_published_marks_share_equal_numbers() -> None:
    assert published_marks({"a": 2.0, "b": 2.0, "c": 1.0, "d": 0.5}, "higher") == {
        "a": "best",
        "b": "best",
        "c": "second",
    }
    assert published_marks({"a": 2.0, "b": 1.0}, "lower") == {"b": "best", "a": "second"}
