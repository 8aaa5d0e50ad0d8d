"""Inter-frame local attention (ILA), Eqs. 1 and 2 of the paper, without ever unfolding the value map.

The two sums of the paper are banded matrix products. Flatten a zero-padded map row by row; the neighbour (dy, dx) of
pixel m is then pixel m + dy * row + dx, so for a tile of consecutive pixels and one dy all neighbours lie in one
contiguous run, and

    similarity   s[m, dy, dx] = <query[m], key[m + dy * row + dx]>             (the product inside Eq. 2)
    aggregation  out[m]       = sum_{dy, dx} w[m, dy, dx] value[m + dy * row + dx]                  (Eq. 1)

are, per dy, one batched matrix product of small tiles with overlapping *views* of the padded map. Nothing of size
C x L^2 exists: extra memory is the padded map, the result and the bands. The gradients of either sum are again such
sums, with the weights read from the neighbour's side (`_transpose`), so backward has the same cost and memory, and is
itself differentiable.

What a band holds outside the window is 0, and 0 times NaN or infinity is NaN. A value that is not finite therefore
reaches up to `_TILE` - 1 pixels further than its window, in the order in which the batch is flattened: along the row
and on into the next one, and from the last or first rows of an image also into its neighbour in the batch. (The loop
that the paper writes would stop at the window.) The same holds for gradients. Nothing else changes: the pixels that it
does not reach are what they would be without it, and a query or a key that is not finite stays within its window.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mila.propagation import Propagation, Relation

Window = int | Literal["global"]

_TILE = 8
"""Pixels a tile: small tiles waste less of the band ((tile + L - 1) / L), large ones feed the matrix unit better."""

GLOBAL_SCORES = 1 << 24
"""Attention scores that global attention holds at once (64 MiB in float32); queries are taken in chunks of that."""


class _Band:
    """The flattened, zero-padded layout of a `[B, C, H, W]` map for window L, and the tiles over it.

    Consecutive rows share their horizontal padding and consecutive images their vertical one: L // 2 zeros between
    them are enough for both.
    """

    def __init__(self, shape: torch.Size, window: int) -> None:
        self.window, self.radius = window, window // 2
        self.batch, _, self.height, self.width = shape
        self.row = self.width + self.radius
        self.pixels = self.batch * (self.height + self.radius) * self.row
        self.tiles = -(-self.pixels // _TILE)
        self.span = _TILE + window - 1  # pixels that a tile's neighbours cover in one row

    def _grid(self, flat: Tensor) -> Tensor:
        """View of the flattened map `[pixels, ...]` as `[B, H + radius, W + radius, ...]`."""
        return flat[: self.pixels].view(self.batch, self.height + self.radius, self.row, *flat.shape[1:])

    def inner(self, flat: Tensor) -> Tensor:
        """View of the flattened map as `[B, H, W, ...]`, padding cut away."""
        return self._grid(flat)[:, : self.height, : self.width]

    def pack(self, x: Tensor, padded: bool) -> Tensor:
        """`[B, C, H, W]` as contiguous `[pixels, C]`, with room for the window before and after where `padded`."""
        before = self.radius * (self.row + 1) if padded else 0
        extra = (self.window - 1) * (self.row + 1) if padded else 0
        flat = x.new_empty(self.tiles * _TILE + extra, x.shape[1])
        grid = self._grid(flat[before:])
        grid[:, : self.height, : self.width] = x.permute(0, 2, 3, 1)
        # The padding alone is set to zero: a pass over the whole map is a tenth of the time of all.
        flat[:before].zero_()
        flat[before + self.pixels :].zero_()
        grid[:, self.height :].zero_()
        grid[:, : self.height, self.width :].zero_()
        return flat

    def unpack(self, flat: Tensor) -> Tensor:
        """The inverse of `pack` without padding: a `[B, C, H, W]` view."""
        return self.inner(flat).permute(0, 3, 1, 2)

    def neighbours(self, padded: Tensor, dy: int) -> Tensor:
        """Overlapping view `[tiles, span, C]`: all neighbours in window row `dy` of every tile's pixels."""
        channels = padded.shape[1]
        return padded.as_strided(
            (self.tiles, self.span, channels), (_TILE * channels, channels, 1), dy * self.row * channels
        )

    def diagonals(self, bands: Tensor) -> Tensor:
        """View `[L, tiles, TILE, L]` of one band matrix a window row, `[L, tiles, TILE, span]`: the neighbours."""
        shape = (self.window, self.tiles, _TILE, self.window)
        return bands.as_strided(shape, (self.tiles * _TILE * self.span, _TILE * self.span, self.span + 1, 1))


def _similarity(query: Tensor, key: Tensor, window: int) -> Tensor:
    """Inner products `[B, H, W, L, L]` of every query pixel with the key pixels of its window (0 outside)."""
    band = _Band(query.shape, window)
    tiles = band.pack(query, padded=False).view(band.tiles, _TILE, query.shape[1])
    padded = band.pack(key, padded=True)
    bands = query.new_empty(window, band.tiles, _TILE, band.span)
    for dy in range(window):
        torch.bmm(tiles, band.neighbours(padded, dy).transpose(1, 2), out=bands[dy])
    scores = band.diagonals(bands).permute(1, 2, 0, 3).reshape(-1, window, window)
    return band.inner(scores)


def _aggregate(weights: Tensor, value: Tensor) -> Tensor:
    """Sum `[B, C, H, W]` over each pixel's window of weight `[B, H, W, L, L]` times value (Eq. 1)."""
    window = weights.shape[-1]
    band = _Band(value.shape, window)
    padded = band.pack(value, padded=True)
    flat = weights.new_zeros(band.tiles * _TILE, window, window)
    band.inner(flat).copy_(weights)
    bands = value.new_zeros(window, band.tiles, _TILE, band.span)
    band.diagonals(bands).copy_(flat.view(band.tiles, _TILE, window, window).permute(2, 0, 1, 3))
    out = value.new_empty(band.tiles, _TILE, value.shape[1])
    for dy in range(window):
        torch.baddbmm(out, bands[dy], band.neighbours(padded, dy), beta=float(dy > 0), out=out)
    return band.unpack(out.view(-1, value.shape[1]))


def _transpose(weights: Tensor) -> Tensor:
    """Weights seen from the neighbour: t[m, d] = weights[m + d, -d], and 0 where m + d lies outside the map."""
    window = weights.shape[-1]
    radius = window // 2
    height, width = weights.shape[1:3]
    out = torch.zeros_like(weights)
    for dy in range(-radius, radius + 1):
        y0, y1 = max(0, -dy), min(height, height - dy)
        for dx in range(-radius, radius + 1):
            x0, x1 = max(0, -dx), min(width, width - dx)
            if y0 < y1 and x0 < x1:
                out[:, y0:y1, x0:x1, radius + dy, radius + dx] = weights[
                    :, y0 + dy : y1 + dy, x0 + dx : x1 + dx, radius - dy, radius - dx
                ]
    return out


class Similarity(torch.autograd.Function):
    """`_similarity` with its gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, window: int) -> Tensor:
        ctx.save_for_backward(query, key)
        return _similarity(query, key, window)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, key = ctx.saved_tensors
        (grad,) = grads
        grad_query = Aggregate.apply(grad, key) if ctx.needs_input_grad[0] else None
        grad_key = Aggregate.apply(_Transpose.apply(grad), query) if ctx.needs_input_grad[1] else None
        return grad_query, grad_key, None


class Aggregate(torch.autograd.Function):
    """`_aggregate` with its gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(weights, value)
        return _aggregate(weights, value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weights, value = ctx.saved_tensors
        (grad,) = grads
        grad_weights = Similarity.apply(grad, value, weights.shape[-1]) if ctx.needs_input_grad[0] else None
        grad_value = Aggregate.apply(_Transpose.apply(weights), grad) if ctx.needs_input_grad[1] else None
        return grad_weights, grad_value


class _Transpose(torch.autograd.Function):
    """`_transpose`, an involution on weights that are 0 outside the map, and so its own gradient."""

    @staticmethod
    def forward(_ctx: Any, weights: Tensor) -> Tensor:
        return _transpose(weights)

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:
        transposed: Tensor = _Transpose.apply(grads[0])
        return transposed


def _outside(height: int, width: int, window: int, device: torch.device) -> Tensor:
    """Boolean `[H, W, L, L]`: the neighbour lies outside the image."""
    shift = torch.arange(window, device=device) - window // 2
    y = torch.arange(height, device=device)[:, None] + shift  # [H, L]
    x = torch.arange(width, device=device)[:, None] + shift  # [W, L]
    return ((y < 0) | (y >= height))[:, None, :, None] | ((x < 0) | (x >= width))[None, :, None, :]


def attention_weights(query: Tensor, key: Tensor, window: int) -> Tensor:
    """The weights W of Eq. 2: softmax over the window of the inner products; 0 outside the image.

    Args:
        query: `h(f_k)`, `[B, C', H, W]`, of the frame that receives.
        key: `h(f_t)`, same shape, of the frame that gives.
        window: odd L.

    Returns:
        `[B, H, W, L, L]`; entry (dy, dx) belongs to the neighbour at (y + dy - L // 2, x + dx - L // 2).
    """
    scores: Tensor = Similarity.apply(query, key, window)
    outside = _outside(query.shape[-2], query.shape[-1], window, query.device)
    weights: Tensor = scores.masked_fill(outside, -torch.inf).flatten(-2).softmax(-1).unflatten(-1, (window, window))
    return weights


def aggregate(weights: Tensor, value: Tensor) -> Tensor:
    """Sum over each pixel's window of weight times value, whatever the weights are (Eq. 1).

    Args:
        weights: `[B, H, W, L, L]`, laid out as `attention_weights` returns them; neighbours outside the map count as 0.
        value: `[B, C, H, W]`.

    Returns:
        `[B, C, H, W]` (not necessarily contiguous). A value that is not finite reaches beyond its window, see above.
    """
    total: Tensor = Aggregate.apply(weights, value)
    return total


def _global_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Every pixel of the giving frame is a neighbour; queries in chunks, so that memory stays bounded."""
    height, width = query.shape[-2:]
    q, k, v = (x.flatten(2).transpose(1, 2) for x in (query, key, value))  # [B, HW, C]

    def attend(chunk: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(chunk, k, v, scale=1.0)

    size = max(1, GLOBAL_SCORES // (q.shape[0] * k.shape[1]))
    if size >= q.shape[1]:
        out = attend(q, k, v)
    else:
        out = torch.cat([checkpoint(attend, chunk, k, v, use_reentrant=False) for chunk in q.split(size, 1)], 1)
    received: Tensor = out.transpose(1, 2).unflatten(2, (height, width))
    return received


def check_window(window: Window) -> None:
    """Raise `ValueError` unless `window` is a positive odd number or `"global"`."""
    if window != "global" and (not isinstance(window, int) or window < 1 or window % 2 == 0):
        raise ValueError(f"the attention window must be a positive odd number or 'global', not {window!r}")


def local_attention(query: Tensor, key: Tensor, value: Tensor, window: Window) -> Tensor:
    """Propagate `value` from the giving frame to the receiving one (Eqs. 1 and 2).

    out(i, j) = sum over the L x L window around (i, j) of softmax(<query(i, j), key(.)>) value(.). Eq. 1 sums from
    -L/2 to L/2; with odd L that is radius L // 2. Neighbours outside the image get no weight.

    Args:
        query: `h(f_k)` of the receiving frame, `[B, C', H, W]`.
        key: `h(f_t)` of the giving frame, `[B, C', H, W]`.
        value: `f_t`, `[B, C, H, W]`.
        window: odd L, or `"global"` for all pixels of the giving frame.

    Returns:
        `f_{t->k}`, `[B, C, H, W]` (not necessarily contiguous).

    Raises:
        ValueError: a window that is neither odd nor `"global"`, or shapes that do not belong together.
    """
    check_window(window)
    if query.dim() != 4 or query.shape != key.shape:
        raise ValueError(f"query and key must be [B, C', H, W] of one shape, not {query.shape} and {key.shape}")
    if value.dim() != 4 or value.shape[0] != key.shape[0] or value.shape[2:] != key.shape[2:]:
        raise ValueError(f"value {tuple(value.shape)} must share batch, height and width with key {tuple(key.shape)}")
    if window == "global":
        return _global_attention(query, key, value)
    return aggregate(attention_weights(query, key, window), value)


class InterFrameLocalAttention(Propagation):
    """ILA (Section 3.2): the 3x3 convolution `h`, shared by both frames, and the local attention.

    Args:
        channels: C of the feature maps (512 in the paper's architecture).
        embedding: C', the width of `h`; 36 without bias gives Table 7's 0.2 M parameters (note 1.5).
        window: L, odd, or `"global"` (Table 4); the paper's L is 5 (Section 4.1).
        scaled: divide the inner products by sqrt(C'), which Eq. 2 does not.
    """

    def __init__(self, channels: int, embedding: int = 36, window: Window = 5, scaled: bool = False) -> None:
        super().__init__()
        check_window(window)
        self.window = window
        self.scale = embedding**-0.5 if scaled else 1.0
        self.h = nn.Conv2d(channels, embedding, 3, padding=1, bias=False)

    def embed(self, compared: Tensor) -> Tensor:
        """`h(f)`: `[B, C, H, W]` to `[B, C', H, W]`. Once a frame is enough, however often it gives or receives."""
        if not self.reuse_embeddings:
            return compared
        embedded: Tensor = self.h(compared)
        return embedded

    def relate(self, current: Tensor, older: Tensor) -> Relation:
        """Query `h(f_k)` and key `h(f_t)` of Eq. 2."""
        if not self.reuse_embeddings:
            current, older = self.h(current), self.h(older)
        return current * self.scale if self.scale != 1.0 else current, older

    def weights(self, relation: Relation) -> Tensor:
        """The weights of Eq. 2, `[B, H, W, L, L]`; of global attention `[B, H, W, H, W]`."""
        query, key = relation
        if self.window != "global":
            return attention_weights(query, key, self.window)
        scores = torch.einsum("bcyx,bcij->byxij", query, key)
        return scores.flatten(3).softmax(-1).view_as(scores)

    def move(self, relation: Relation, value: Tensor) -> Tensor:
        """Eqs. 1 and 2: `f_{t->k}`, `[B, C, H, W]`."""
        query, key = relation
        return local_attention(query, key, value, self.window)
