"""The scale that the colours of depth follow: linear, or logarithmic where far is many times near."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mila.common.types import Array
from mila.data.colours import Limits, Pixels, depth_unit, paint_depth
from mila.tasks import Task

LOGARITHMIC_FROM = 20.0
"""Farthest by nearest metre from which the scale is logarithmic: that of streets is, that of rooms is not."""


@dataclass(frozen=True)
class DepthScale:
    """The scale of depth, from `low` to `high` of its unit."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, task: Task, low: float, high: float) -> DepthScale:
        """The scale of a depth task from `low` to `high`: logarithmic where metres span `LOGARITHMIC_FROM` times."""
        return cls(low, high, depth_unit(task) == "m" and high > LOGARITHMIC_FROM * low > 0)

    @property
    def limits(self) -> Limits:
        """Both ends as `place` gives them."""
        return float(self.place(np.float64(self.low))), float(self.place(np.float64(self.high)))

    @property
    def digits(self) -> int:
        """Behind the point, of what is written beside the scale."""
        return 1 if self.high >= 1 else 3

    def place(self, depth: Any) -> npt.NDArray[Any]:
        """Where depth lies on the scale, in a measure that the colours are even in."""
        return np.asarray(np.log(np.maximum(depth, 1e-12)) if self.logarithmic else depth)

    def value(self, share: float) -> float:
        """Depth at a share 0..1 of the scale."""
        low, high = self.limits
        place = low + share * (high - low)
        return math.exp(place) if self.logarithmic else place

    def paint(self, depth: Array) -> Pixels:
        """Depth `[H, W]` as RGB `[H, W, 3]`."""
        return paint_depth(self.place(depth), self.limits)

    def bar(self, height: int, width: int) -> Pixels:
        """The colours from one end to the other, `[height, width, 3]`."""
        return paint_depth(np.tile(np.linspace(*self.limits, width), (height, 1)), self.limits)
