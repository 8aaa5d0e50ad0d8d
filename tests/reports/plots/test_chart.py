"""Axes of plots."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.plots.chart import spread


@given(st.lists(st.floats(-3, 3), max_size=12), st.floats(0.01, 0.5))
def test_labels_are_pushed_apart_in_order(values: list[float], gap: float) -> None:
    places = spread(values, gap)
    order = sorted(range(len(values)), key=lambda i: values[i])
    for lower, upper in pairwise(order):
        assert places[upper] - places[lower] >= gap - 1e-9
    assert sum(places) == pytest.approx(sum(values), abs=1e-6)
