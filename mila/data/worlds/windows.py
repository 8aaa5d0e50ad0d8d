"""Windows of an image: which pixels the boxes around the primitives hold.

Hundreds of primitives are a few pixels large. Their pixels are listed one after the other, so that a step is taken for
all of them at once; a large window is a part of the image of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mila.common.types import Array


def windows(box: Array, height: int, width: int) -> Array:
    """Index and pixel window i0, i1, j0, j1, int `[K, 5]`, of every image box `[P, 4]` that holds a pixel centre."""
    limit = np.array((width, height, width, height))
    finite = np.minimum(np.maximum(box, -1), limit)
    first = np.maximum(np.ceil(finite[:, :2] - 1e-3), 0).astype(int)
    last = np.minimum(np.floor(finite[:, 2:] + 1e-3) + 1, limit[:2]).astype(int)
    kept = np.flatnonzero((last > first).all(1))
    first, last = first[kept], last[kept]
    return np.stack([kept, first[:, 1], last[:, 1], first[:, 0], last[:, 0]], 1)


def areas(found: Array) -> Array:
    """Pixels in every one of the windows `[K, 5]`."""
    size: Array = (found[:, 2] - found[:, 1]) * (found[:, 4] - found[:, 3])
    return size


class Spans(NamedTuple):
    """The pixels of some windows, one after the other: `S` spans, each a row of a window, with `N` pixels in all.

    Attributes:
        window: which window a span belongs to, int `[S]`.
        row: its row in the image, int `[S]`.
        span: which span a pixel belongs to, int `[N]`.
        column: the pixel's column in the image, int `[N]`.
        pixel: the pixel's place in the flat image, int `[N]`.
    """

    window: Array
    row: Array
    span: Array
    column: Array
    pixel: Array


def spans_of(found: Array, width: int) -> Spans:
    """The pixels of windows `[K, 5]` in an image of this width."""
    heights, widths = found[:, 2] - found[:, 1], found[:, 4] - found[:, 3]
    window = np.repeat(np.arange(len(found)), heights)
    row = np.arange(len(window)) + (found[:, 1] - (np.cumsum(heights) - heights)).take(window)
    length = widths.take(window)
    start = found[:, 3].take(window) - (np.cumsum(length) - length)
    span = np.repeat(np.arange(len(window)), length)
    column = np.arange(len(span)) + start.take(span)
    return Spans(window, row, span, column, column + (row * width).take(span))
