"""Path `band`: the two sums of local attention as banded matrix products, without ever unfolding the value map.

Flatten a zero-padded map row by row; the neighbour (dy, dx) of pixel m is then pixel m + dy * row + dx, so for a tile
of consecutive pixels and one dy all neighbours lie in one contiguous run, and

    similarity   s[m, dy, dx] = <query[m], key[m + dy * row + dx]>             (the product inside Eq. 2)
    aggregation  out[m]       = sum_{dy, dx} w[m, dy, dx] value[m + dy * row + dx]                  (Eq. 1)

are, per dy, one batched matrix product of small tiles with overlapping *views* of the padded map. Nothing of size
C x L^2 exists: extra memory is the padded map, the result and the bands. The gradients of either sum are again such
sums, with the weights read from the neighbour's side (`_transpose`), so backward has the same cost and memory, and is
itself differentiable.

The products run in the type of their inputs, autocast or not (PyTorch casts nothing that is written `out=`), the
softmax in float32 at least. `torch.func.vmap` works: the mapped dimension joins the batch, whose images do not see each
other.

What a band holds outside the window is 0, and 0 times NaN or infinity is NaN. A value that is not finite therefore
reaches up to `_TILE` - 1 pixels further than its window, in the order in which the batch is flattened: along the row
and on into the next one, and from the last or first rows of an image also into its neighbour in the batch. (The loop
that the paper writes would stop at the window.) The same holds for gradients. Nothing else changes: the pixels that it
does not reach are what they would be without it, and a query or a key that is not finite stays within its window.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mila.kernels.reference import softmax_over_window, wide

_TILE = 8
"""Pixels a tile: small tiles waste less of the band ((tile + L - 1) / L), large ones feed the matrix unit better."""


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


def _join(x: Tensor, dim: int | None, size: int) -> Tensor:
    """A batch `[N, ...]`, with a mapped dimension of `torch.func.vmap` or without, as one batch `[size * N, ...]`."""
    x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.flatten(0, 1)


class Similarity(torch.autograd.Function):
    """Inner products `[B, H, W, L, L]` of every query pixel with the keys of its window, 0 outside the map.

    `Similarity.apply(query, key, window)` takes two maps `[B, C', H, W]` of one type and an odd window L.
    """

    @staticmethod
    def forward(query: Tensor, key: Tensor, window: int) -> Tensor:
        return _similarity(query, key, window)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, key = ctx.saved_tensors
        (grad,) = grads
        grad_query = Aggregate.apply(grad, key) if ctx.needs_input_grad[0] else None
        grad_key = Aggregate.apply(_Transpose.apply(grad), query) if ctx.needs_input_grad[1] else None
        return grad_query, grad_key, None

    @staticmethod
    def vmap(info: Any, dims: Any, query: Tensor, key: Tensor, window: int) -> tuple[Tensor, int]:
        size = info.batch_size
        scores: Tensor = Similarity.apply(_join(query, dims[0], size), _join(key, dims[1], size), window)
        return scores.unflatten(0, (size, -1)), 0


class Aggregate(torch.autograd.Function):
    """Sum `[B, C, H, W]` over each pixel's window of weight times value (Eq. 1); what lies outside the map counts as 0.

    `Aggregate.apply(weights, value)` takes weights `[B, H, W, L, L]` and a map `[B, C, H, W]` of one type.
    """

    @staticmethod
    def forward(weights: Tensor, value: Tensor) -> Tensor:
        return _aggregate(weights, value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weights, value = ctx.saved_tensors
        (grad,) = grads
        grad_weights = Similarity.apply(grad, value, weights.shape[-1]) if ctx.needs_input_grad[0] else None
        grad_value = Aggregate.apply(_Transpose.apply(weights), grad) if ctx.needs_input_grad[1] else None
        return grad_weights, grad_value

    @staticmethod
    def vmap(info: Any, dims: Any, weights: Tensor, value: Tensor) -> tuple[Tensor, int]:
        size = info.batch_size
        total: Tensor = Aggregate.apply(_join(weights, dims[0], size), _join(value, dims[1], size))
        return total.unflatten(0, (size, -1)), 0


class _Transpose(torch.autograd.Function):
    """`_transpose`, an involution on weights that are 0 outside the map, and so its own gradient."""

    @staticmethod
    def forward(weights: Tensor) -> Tensor:
        return _transpose(weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:
        transposed: Tensor = _Transpose.apply(grads[0])
        return transposed

    @staticmethod
    def vmap(info: Any, dims: Any, weights: Tensor) -> tuple[Tensor, int]:
        transposed: Tensor = _Transpose.apply(_join(weights, dims[0], info.batch_size))
        return transposed.unflatten(0, (info.batch_size, -1)), 0


def attention_weights(query: Tensor, key: Tensor, window: int) -> Tensor:
    """The weights of Eq. 2, `[B, H, W, L, L]`, float32 at least, from maps `[B, C', H, W]`."""
    if query.dtype != key.dtype:
        query, key = wide(query), wide(key)
    scores: Tensor = Similarity.apply(query, key, window)
    return softmax_over_window(scores)


def aggregate(weights: Tensor, value: Tensor) -> Tensor:
    """Eq. 1: `[B, C, H, W]` in the type of `value`, from weights `[B, H, W, L, L]` of any type."""
    total: Tensor = Aggregate.apply(weights.to(value.dtype), value)
    return total


def attention(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Eqs. 1 and 2: `[B, C, H, W]` in the type of `value`, from query and key `[B, C', H, W]` and `value`."""
    return aggregate(attention_weights(query, key, window), value)


def attention_gradients(
    query: Tensor, key: Tensor, value: Tensor, grad: Tensor, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, themselves differentiable, from that of `attention`'s result."""
    weights = attention_weights(query, key, window)
    kept: Tensor = weights.to(value.dtype)
    grad_weights = Similarity.apply(grad, value, window).to(weights.dtype)
    products = weights * grad_weights
    grad_scores = (products - weights * products.sum((-1, -2), keepdim=True)).to(query.dtype)
    grad_query: Tensor = Aggregate.apply(grad_scores, key)
    grad_key: Tensor = Aggregate.apply(_Transpose.apply(grad_scores), query)
    grad_value: Tensor = Aggregate.apply(_Transpose.apply(kept), grad)
    return grad_query, grad_key, grad_value
