"""Path `dense`: local attention as attention over the whole map with all but the window masked out.

Two matrix products an image. On a small map, or with a window that covers much of it, that is faster than anything that
skips what lies outside the window: 4 times at 8x16 with L = 5, 20 times with L = 15, training on a CPU (`pays`).

Plain operations, so it can be mapped and differentiated in any mode. The products run in the type of their inputs,
autocast or not, the softmax in float32 at least. What is masked out counts with weight 0, and 0 times NaN or infinity
is NaN: a value that is not finite reaches every pixel of its image, a query or a key that is not finite those whose
window holds it.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mila.kernels.reference import wide

_SMALL = 256
"""Pixels of a map up to which this path is the faster one whatever the window."""
_LARGE = 2048
"""Pixels above which the scores of all pairs take too much memory (16 MiB an image at this size)."""
_BY_WINDOW = 8
"""Between the two: up to so many pixels of the map for each of the window."""


def pays(height: int, width: int, window: int) -> bool:
    """Whether this path is faster than `band` on a CPU for maps of this size."""
    return height * width <= min(_LARGE, max(_SMALL, _BY_WINDOW * window**2))


@lru_cache(maxsize=16)
def _outside(height: int, width: int, window: int) -> npt.NDArray[np.bool_]:
    """`[HW, HW]`: the second pixel lies outside the window of the first.

    Kept as an array: a tensor would stay what the mode made it that it was first asked for in, such as inference mode.
    """
    far_y, far_x = (abs(np.subtract.outer(at, at)) > window // 2 for at in (np.arange(height), np.arange(width)))
    return (far_y[:, None, :, None] | far_x[None, :, None, :]).reshape(height * width, height * width)


def attention(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Eqs. 1 and 2: `[B, C, H, W]` in the type of `value`, from query and key `[B, C', H, W]` and `value`."""
    if query.dtype != key.dtype:
        query, key = wide(query), wide(key)
    outside = torch.from_numpy(_outside(*value.shape[-2:], window)).to(value.device)
    device = value.device.type
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
        queries, keys, values = (x.flatten(2).transpose(1, 2) for x in (query, key, value))  # [B, HW, C]
        scores = wide(queries @ keys.transpose(1, 2)).masked_fill_(outside, -torch.inf)  # [B, HW, HW]
        return (scores.softmax(-1).to(value.dtype) @ values).transpose(1, 2).view_as(value)
