"""Runs of neighbouring pixels that show the same primitive: what is known of a primitive is looked up once a run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mila.common.types import Array

_MOST = 0.8
"""From this part of the pixels on, picking some out takes longer than computing all."""


class Runs(NamedTuple):
    """`R` runs of `N` pixels in all.

    Attributes:
        primitive: which one, int `[R]`.
        length: how many pixels, int `[R]`.
    """

    primitive: Array
    length: Array

    def spread(self, table: Array) -> Array:
        """Values of the primitives `[..., P]` as values of the pixels `[..., N]`."""
        values: Array = np.repeat(table.take(self.primitive, -1), self.length, -1)
        return values

    def those(self, chosen: Array, most: float = _MOST) -> tuple[Any, Runs] | None:
        """What picks the pixels of the primitives of a mask, bool `[P]`, and their runs; None if there are none.

        Where they are at least the part `most` of the pixels, all of them are picked.
        """
        flags = chosen.take(self.primitive)
        count = self.length[flags].sum()
        if count == 0:
            return None
        if count >= most * self.length.sum():
            return slice(None), self
        return np.flatnonzero(np.repeat(flags, self.length)), Runs(self.primitive[flags], self.length[flags])


def runs_of(surface: Array) -> Runs:
    """The runs of pixels `[N]` by the index of what they show; pixels of the sky, -1, count as the first primitive."""
    last = np.append(np.flatnonzero(surface[1:] != surface[:-1]), surface.size - 1)
    return Runs(np.maximum(surface[last], 0).astype(np.intp), np.diff(last, prepend=-1))


def picked(mask: Array) -> Any:
    """What picks the pixels of a mask `[N]`: all, if they are most; their indices; or None if there are none."""
    count = np.count_nonzero(mask)
    if count == 0:
        return None
    return slice(None) if count >= _MOST * mask.size else np.flatnonzero(mask)
