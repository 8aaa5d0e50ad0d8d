"""Which depth the colours of a video cover: a range that holds still."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mila.common.types import Array
from mila.data.depth_scale import DepthScale
from mila.tasks import Task

INSIDE = 0.98
"""Of a frame's pixels, what a range that is made from it covers: all but the nearest and the farthest percent."""

MARGIN = 1.1
"""Times farther, and times nearer, than that reaches a new range, so that small motion does not leave it."""

BEYOND = 0.05
"""Share of the pixels beyond one end that is too many."""

PATIENCE = 5
"""So many frames in a row with too many pixels beyond an end move that end."""

_PIXELS = 10_000  # of a frame that are looked at, about


class DepthRange:
    """The range of depth that colours cover, along a video.

    It is made from the first frame: it covers `INSIDE` of its pixels and `MARGIN` more, rounded to two digits. Then it
    holds still. An end moves only outwards, and only where more than `BEYOND` of the pixels lie beyond it in `PATIENCE`
    frames in a row. So colours do not flicker, and nothing has to be known of the frames to come.

    Args:
        task: depth.
        fixed: low and high, where they are not to be found; they never move.

    Attributes:
        moves: how often an end has moved.
    """

    def __init__(self, task: Task, fixed: tuple[float, float] | None = None) -> None:
        self._task, self._is_fixed = task, fixed is not None
        self.moves = 0
        self._scale = None if fixed is None else DepthScale.of(task, *fixed)
        self._waits = {"low": 0, "high": 0}

    def scale(self, depth: Array) -> DepthScale:
        """The scale for the next frame's depth `[1, H, W]`."""
        if self._is_fixed and self._scale is not None:
            return self._scale
        step = max(math.isqrt(depth[0].size // _PIXELS), 1)
        values = depth[0, ::step, ::step]
        values = values[np.isfinite(values) & (values > 0)]
        if not values.size:
            return self._scale or DepthScale.of(self._task, 0.0, 1.0)
        low, high = (float(value) for value in np.quantile(values, [(1 - INSIDE) / 2, (1 + INSIDE) / 2]))
        if self._scale is None:
            self._scale = self._rounded(low, high)
            return self._scale
        now = self._scale
        moved = {
            "low": self._has_waited("low", float((values < now.low).mean())),
            "high": self._has_waited("high", float((values > now.high).mean())),
        }
        if any(moved.values()):
            new = self._rounded(low, high)
            ends = (new.low if moved["low"] else now.low, new.high if moved["high"] else now.high)
            self._scale = DepthScale.of(self._task, *ends)
            self.moves += 1
        return self._scale

    def _has_waited(self, end: str, beyond: float) -> bool:
        self._waits[end] = self._waits[end] + 1 if beyond > BEYOND else 0
        if self._waits[end] < PATIENCE:
            return False
        self._waits[end] = 0
        return True

    def _rounded(self, low: float, high: float) -> DepthScale:
        """Both ends moved outwards by the margin, and to two digits."""
        return DepthScale.of(self._task, _two_digits(low / MARGIN, math.floor), _two_digits(high * MARGIN, math.ceil))


def _two_digits(value: float, rounding: Callable[[float], int]) -> float:
    """A value above 0, rounded to two digits: 0.0473 up is 0.048."""
    digits = 1 - math.floor(math.log10(value))
    return float(round(rounding(round(value * 10.0**digits, 6)) / 10.0**digits, max(digits, 0)))
