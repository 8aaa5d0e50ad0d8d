"""Path `reference`: the two sums of local attention as shifted sums, in plain operations that any exporter knows.

One shift of the padded map a neighbour: L x L products of whole maps for each sum. Slow on the CPU, but nothing here is
custom: no `torch.autograd.Function`, no `out=`, no `as_strided`. So it can be exported, traced and compiled, mapped and
differentiated in any mode. Sums run in float32 at least, autocast or not. A value that is not finite stays within its
window.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """A tensor of a half precision in float32, any other as it is."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _shifts(x: Tensor, window: int) -> list[Tensor]:
    """The map `[B, C, H, W]` as each of the L x L neighbours sees it, in the order of the window; 0 outside."""
    height, width = x.shape[-2:]
    padded = F.pad(x, [window // 2] * 4)
    return [padded[..., dy : dy + height, dx : dx + width] for dy in range(window) for dx in range(window)]


def _square(windows: Tensor) -> Tensor:
    """`[..., L * L]` as `[..., L, L]`."""
    window = math.isqrt(windows.shape[-1])
    squared: Tensor = windows.unflatten(-1, (window, window))
    return squared


def similarity(query: Tensor, key: Tensor, window: int) -> Tensor:
    """Inner products of every query pixel with the keys of its window, 0 outside the map.

    Args:
        query: `[B, C', H, W]`.
        key: same shape.
        window: odd L.

    Returns:
        `[B, H, W, L, L]`, float32 at least.
    """
    query = wide(query)
    scores: Tensor = torch.stack([(query * shifted).sum(1) for shifted in _shifts(wide(key), window)], -1)
    return _square(scores)


def aggregate(weights: Tensor, value: Tensor) -> Tensor:
    """Sum over each pixel's window of weight times value (Eq. 1); what lies outside the map counts as 0.

    Args:
        weights: `[B, H, W, L, L]`.
        value: `[B, C, H, W]`.

    Returns:
        `[B, C, H, W]` in the type of `value`.
    """
    by_shift = wide(weights).flatten(-2).unbind(-1)
    first, *others = zip(by_shift, _shifts(wide(value), weights.shape[-1]), strict=True)
    total = first[0].unsqueeze(1) * first[1]
    for weight, shifted in others:
        total = total + weight.unsqueeze(1) * shifted
    return total.to(value.dtype)


def softmax_over_window(scores: Tensor) -> Tensor:
    """Softmax of scores `[B, H, W, L, L]` over each window; neighbours outside the map get no weight (Eq. 2).

    Returns:
        The same shape, float32 at least.
    """
    height, width, window = scores.shape[1:4]
    outside = _outside(height, width, window, scores.device)
    return _square(wide(scores).masked_fill(outside, -torch.inf).flatten(-2).softmax(-1))


def _outside(height: int, width: int, window: int, device: torch.device) -> Tensor:
    """Boolean `[H, W, L, L]`: the neighbour lies outside the image."""
    shift = torch.arange(window, device=device) - window // 2
    y = torch.arange(height, device=device)[:, None] + shift  # [H, L]
    x = torch.arange(width, device=device)[:, None] + shift  # [W, L]
    return ((y < 0) | (y >= height))[:, None, :, None] | ((x < 0) | (x >= width))[None, :, None, :]


def attention_weights(query: Tensor, key: Tensor, window: int) -> Tensor:
    """The weights of Eq. 2, `[B, H, W, L, L]`, float32 at least, from maps `[B, C', H, W]`."""
    return softmax_over_window(similarity(query, key, window))


def attention(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Eqs. 1 and 2: `[B, C, H, W]` in the type of `value`, from query and key `[B, C', H, W]` and `value`."""
    return aggregate(attention_weights(query, key, window), value)
