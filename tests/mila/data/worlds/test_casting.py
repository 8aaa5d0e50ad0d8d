"""Casting many primitives at once: windows, runs and the order of equally close primitives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mila.data.worlds.ray_casting import cast
from mila.data.worlds.rendering import scene_of, view_at
from mila.data.worlds.runs import runs_of
from mila.data.worlds.scene import Scene
from mila.data.worlds.windows import areas, spans_of, windows
from tests.support.worlds import WORLDS

FIELDS = ("shape", "label", "rotation", "centre", "half", "contact", "material")


def reordered(scene: Scene, order: list[int]) -> Scene:
    """The primitives of a scene in another order, without motions."""
    arrays: dict[str, Any] = {name: getattr(scene, name)[order] for name in FIELDS}
    return replace(scene, **arrays, motions={})


def cast_at(world: Any, scene: Scene, height: int, width: int) -> Any:
    return cast(view_at(world, scene, 0, height, width), height, width)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("size", [(20, 30), (64, 128), (150, 300)])
def test_of_equally_close_primitives_the_first_is_seen(world: Any, size: tuple[int, int]) -> None:
    scene = scene_of(world, "train", 2, 0)
    every = list(range(len(scene.shape)))
    surface, depth = cast_at(world, reordered(scene, every), *size)
    assert len(np.unique(surface)) > 10
    for order in (every + every, [k for k in every for _ in range(2)]):
        twice, same_depth = cast_at(world, reordered(scene, order), *size)
        first = np.array([order.index(k) for k in every])
        assert np.array_equal(same_depth, depth)
        assert np.array_equal(twice, np.where(surface < 0, -1, first[surface]))


@pytest.mark.parametrize("world", WORLDS)
def test_depth_does_not_depend_on_the_order_of_the_primitives(world: Any) -> None:
    scene = scene_of(world, "val", 2, 1)
    order = np.random.default_rng(0).permutation(len(scene.shape)).tolist()
    surface, depth = cast_at(world, reordered(scene, list(range(len(order)))), 90, 160)
    other, same_depth = cast_at(world, reordered(scene, order), 90, 160)
    assert np.array_equal(same_depth, depth)
    assert (np.where(other < 0, -1, np.array(order)[other]) == surface).mean() > 0.99  # but where faces coincide


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 8), st.integers(0, 10**6))
def test_spans_hold_every_pixel_of_every_window(height: int, width: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-4, 14, (count, 4))
    corners[rng.random(count) < 0.2, 0] = np.inf
    found = windows(corners, height, width)
    inside = [
        (k, i, j)
        for k, (x0, y0, x1, y1) in enumerate(corners)
        for i in range(height)
        for j in range(width)
        if x0 - 1e-3 <= j <= x1 + 1e-3 and y0 - 1e-3 <= i <= y1 + 1e-3
    ]
    spans = spans_of(found, width)
    which = found[spans.window, 0][spans.span]
    assert list(zip(which.tolist(), spans.row[spans.span].tolist(), spans.column.tolist(), strict=True)) == inside
    assert np.array_equal(spans.pixel, spans.row[spans.span] * width + spans.column)
    assert areas(found).sum() == len(inside)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40), st.lists(st.booleans(), min_size=4, max_size=4))
def test_runs_spread_what_is_known_of_the_primitives(surface: list[int], mask: list[bool]) -> None:
    seen, chosen = np.array(surface, np.int32), np.array(mask)
    runs, table = runs_of(seen), np.arange(12.0).reshape(3, 4)
    index = np.maximum(seen, 0)
    assert np.array_equal(runs.spread(table), table[:, index])
    those = runs.those(chosen, most=1)
    if those is None:
        assert not chosen[index].any()
    else:
        picked, theirs = those
        assert np.array_equal(np.arange(len(seen))[picked], np.flatnonzero(chosen[index]))
        assert np.array_equal(theirs.spread(table), table[:, index[picked]])
