"""Exact motion to every frame before the annotated one: that of the flow to the frame before, and of longer strides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mila.data.worlds.clips import WorldClips, WorldFlow
from mila.errors import UserError

SIZE: dict[str, Any] = {"clips": 2, "height": 24, "width": 40}


@pytest.mark.parametrize("world", ["street", "rooms"])
def test_motion_is_the_flow_to_each_frame_before(world: Any) -> None:
    flow, visible = WorldClips(world, "test", stride=2, **SIZE).motion(1, 3)
    assert flow.shape == (3, 2, 24, 40)
    assert visible.shape == (3, 24, 40)
    for back in (1, 2, 3):
        target = WorldFlow(world, "test", stride=2 * back, **SIZE).clip(1, 1).targets["flow"]
        np.testing.assert_array_equal(flow[back - 1], target)
    y, x = np.mgrid[:24, :40]
    for step, seen in zip(flow, visible, strict=True):
        ends = x + step[0], y + step[1]
        inside = (ends[0] >= 0) & (ends[0] <= 39) & (ends[1] >= 0) & (ends[1] <= 23)
        assert not (seen & ~inside).any()
        assert seen.mean() > 0.3
    assert np.all(np.diff(np.abs(flow).mean((1, 2, 3))) > 0)


def test_clips_and_lengths_that_are_not_there_are_refused() -> None:
    street = WorldClips("street", "test", stride=8, **SIZE)
    with pytest.raises(IndexError):
        street.motion(2, 1)
    with pytest.raises(UserError, match="too long for a street"):
        street.motion(0, 7)
