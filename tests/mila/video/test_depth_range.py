"""The range of the colours of depth holds still, and moves outwards where it must."""

from __future__ import annotations

import numpy as np

from mila.common.types import Array
from mila.data.depth_scale import DepthScale
from mila.tasks import CITYSCAPES, CITYSCAPES_METRES, NYUV2
from mila.video.depth_range import PATIENCE, DepthRange

DEPTH = NYUV2.task("depth")


def _depth(low: float, high: float) -> Array:
    return np.linspace(low, high, 10_000, dtype=np.float32).reshape(1, 100, 100)


def test_it_covers_the_first_frame_with_a_margin_in_round_numbers() -> None:
    scale = DepthRange(DEPTH).scale(_depth(1, 5))
    assert scale == DepthScale(0.94, 5.5, logarithmic=False)  # 1.04 / 1.1 and 4.96 * 1.1, to two digits
    assert DepthRange(CITYSCAPES_METRES.task("depth")).scale(_depth(2, 90)).logarithmic
    assert not DepthRange(CITYSCAPES.task("depth")).scale(_depth(0.001, 0.2)).logarithmic


def test_it_holds_still_where_depth_moves_a_little_or_for_a_moment() -> None:
    kept = DepthRange(DEPTH)
    first = kept.scale(_depth(1, 5))
    for number in range(50):
        assert kept.scale(_depth(1 + 0.1 * np.sin(number), 5 + 0.3 * np.sin(number))) == first
        if number % 10 < PATIENCE - 1:
            assert kept.scale(_depth(1, 20)) == first
    assert kept.moves == 0


def test_an_end_moves_outwards_after_some_frames_and_never_back() -> None:
    kept = DepthRange(DEPTH)
    first = kept.scale(_depth(1, 5))
    for _ in range(PATIENCE - 1):
        assert kept.scale(_depth(1, 10)) == first
    wider = kept.scale(_depth(1, 10))
    assert (wider.low, wider.high) == (first.low, 11.0)
    for _ in range(3 * PATIENCE):
        assert kept.scale(_depth(2, 3)) == wider
    for _ in range(PATIENCE):
        last = kept.scale(_depth(0.2, 3))
    assert (last.low, last.high) == (0.2, 11.0)
    assert kept.moves == 2


def test_a_fixed_range_never_moves() -> None:
    kept = DepthRange(DEPTH, (0.5, 8))
    for _ in range(2 * PATIENCE):
        assert kept.scale(_depth(10, 90)) == DepthScale(0.5, 8, logarithmic=False)
    assert kept.moves == 0


def test_frames_without_any_depth_do_not_count() -> None:
    kept = DepthRange(DEPTH)
    assert kept.scale(np.zeros((1, 4, 4), np.float32)) == DepthScale(0.0, 1.0, logarithmic=False)
    assert kept.scale(np.full((1, 4, 4), np.nan, np.float32)) == DepthScale(0.0, 1.0, logarithmic=False)
    first = kept.scale(_depth(1, 5))
    assert first == DepthScale(0.94, 5.5, logarithmic=False)
    assert kept.scale(np.zeros((1, 4, 4), np.float32)) == first
