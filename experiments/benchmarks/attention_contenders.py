"""Ways to compute local attention (Eqs. 1 and 2), made ready for one size each: ours, and how others write it.

A contender is made for a `Case` and gives a function of query, key and value. What depends on sizes alone (masks,
compiled code) is made beforehand and takes no time later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from experiments.benchmarks.taking_turns import NotHereError
from mila.attention import AttentionPath, Window, local_attention
from mila.kernels import fused, reference

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]

_FLEX_BLOCK = 128
_HEAD = 128
"""Most channels a head that FlexAttention and NATTEN take at once: wider values are split into heads."""
_MOST_MASK = 2 << 30
"""Bytes: a mask of all pixels with all pixels beyond that is not made."""


@dataclass(frozen=True)
class Case:
    """One size.

    Attributes:
        height, width: of the maps, pixels.
        window: L.
        batch: images at once.
        embedding, channels: C' and C.
        dtype, device: of all maps.
        channels_last: whether the maps have their channels last, as models have them, or first.
    """

    height: int
    width: int
    window: Window
    batch: int
    embedding: int
    channels: int
    dtype: torch.dtype
    device: str
    channels_last: bool = False

    def tensors(self) -> list[Tensor]:
        """Query, key and value, random, the same every time; scores are a few units."""
        generator = torch.Generator().manual_seed(0)
        sizes = (self.embedding, self.embedding, self.channels)
        maps = [torch.randn(self.batch, c, self.height, self.width, generator=generator) for c in sizes]
        maps[0] *= self.embedding**-0.5
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return [x.to(self.device, self.dtype, memory_format=layout) for x in maps]


def unfold_attention(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Eqs. 1 and 2 as they are usually written: every neighbourhood copied out, C x L^2 numbers a pixel."""
    batch, _, height, width = value.shape
    radius, count = window // 2, window * window

    def neighbours(x: Tensor) -> Tensor:
        return F.unfold(x, window, padding=radius).view(batch, x.shape[1], count, height * width)

    scores = (query.flatten(2).unsqueeze(2) * neighbours(key)).sum(1)  # [B, L^2, HW]
    inside = neighbours(torch.ones_like(key[:, :1]))[:, 0]
    weights = scores.masked_fill(inside == 0, -torch.inf).softmax(1)
    return (neighbours(value) * weights.unsqueeze(1)).sum(2).view_as(value)


def _own(path: AttentionPath, case: Case) -> Attention:
    window = case.window
    if window != "global" and path == "triton":
        query, key, value = case.tensors()
        refusal = fused.refusal(query, key, value, window)
        if refusal:
            raise NotHereError(refusal)
    if window == "global" and path != "auto":
        raise NotHereError("all paths are one where the window is global")

    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = local_attention(query, key, value, window, path)
        if path == "triton" and fused.failure():
            raise RuntimeError(fused.failure())
        return out

    return run


def _unfold(case: Case) -> Attention:
    window = _local(case)
    return lambda query, key, value: unfold_attention(query, key, value, window)


def _local(case: Case) -> int:
    if case.window == "global":
        raise NotHereError("it has no global window")
    return case.window


def _shifted_sum(case: Case) -> Attention:
    window = _local(case)
    compiled = torch.compile(reference.attention, dynamic=False, fullgraph=True)
    return lambda query, key, value: compiled(query, key, value, window)


def _as_sequence(x: Tensor) -> Tensor:
    """`[B, C, H, W]` as `[B, 1, HW, C]`."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1)


def _scaled_dot_product(case: Case) -> Attention:
    """PyTorch's own attention over all pixels, with a mask of the windows."""
    mask = None
    if case.window != "global":
        pixels = case.height * case.width
        if pixels**2 > _MOST_MASK:
            raise NotHereError(f"its mask of {pixels} times {pixels} pixels takes more than 2 GiB")
        rows, columns = (torch.arange(size, device=case.device) for size in (case.height, case.width))
        near = [(x[:, None] - x).abs() <= case.window // 2 for x in (rows, columns)]
        mask = (near[0][:, None, :, None] & near[1][None, :, None, :]).view(pixels, pixels)

    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (_as_sequence(x) for x in (query, key, value))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        return out.squeeze(1).transpose(1, 2).reshape(value.shape)

    return run


def _window_mask(case: Case, window: int) -> BlockMask:
    """FlexAttention's mask of the windows. A block of pixels sees one run of blocks, so no dense mask is needed."""
    width, radius, pixels = case.width, window // 2, case.height * case.width

    def near(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        down, right = (query // width - key // width).abs(), (query % width - key % width).abs()
        return (down <= radius) & (right <= radius)

    blocks = -(-pixels // _FLEX_BLOCK)
    starts = torch.arange(blocks, device=case.device) * _FLEX_BLOCK
    reach = radius * (width + 1)
    first = (starts - reach).clamp(min=0) // _FLEX_BLOCK
    last = (starts + _FLEX_BLOCK - 1 + reach).clamp(max=pixels - 1) // _FLEX_BLOCK
    indices = (first[:, None] + torch.arange(blocks, device=case.device)).clamp(max=blocks - 1)
    counts = (last - first + 1).to(torch.int32)
    return BlockMask.from_kv_blocks(
        counts.view(1, 1, blocks),
        indices.to(torch.int32).view(1, 1, blocks, blocks),
        BLOCK_SIZE=_FLEX_BLOCK,
        mask_mod=near,
        seq_lengths=(pixels, pixels),
    )


def _heads(channels: int) -> tuple[int, int]:
    """In how many heads of how many channels a value is split: a power of two each, at least 16."""
    width = min(_HEAD, max(16, 1 << (channels - 1).bit_length()))
    return -(-channels // width), width


def _split(x: Tensor, heads: int, width: int) -> Tensor:
    """`[B, C, H, W]`, filled up with zeros, as `[B, heads, HW, width]`."""
    filled = F.pad(x.flatten(2), (0, 0, 0, heads * width - x.shape[1]))
    split: Tensor = filled.unflatten(1, (heads, width)).transpose(2, 3)
    return split


def _flex(case: Case) -> Attention:
    """FlexAttention takes powers of two: query and key are filled up with zeros, the value is split into heads."""
    mask = None if case.window == "global" else _window_mask(case, case.window)
    compiled = torch.compile(flex_attention, dynamic=False, fullgraph=True)
    heads, width = _heads(case.channels)
    embedding = max(16, 1 << (case.embedding - 1).bit_length())

    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if case.device == "cpu" and value.requires_grad:
            raise NotHereError("it has no gradients on a CPU")
        q, k = (_split(x, 1, embedding).expand(-1, heads, -1, -1) for x in (query, key))
        out: Tensor = compiled(q, k, _split(value, heads, width), block_mask=mask, scale=1.0)
        return out.transpose(2, 3).flatten(1, 2)[:, : value.shape[1]].reshape(value.shape)

    return run


def _natten(case: Case) -> Attention:
    """NATTEN, whose windows at the border are moved inside instead of cut: another result there."""
    window = _local(case)
    if find_spec("natten") is None:
        raise NotHereError("NATTEN is not installed")
    if window > min(case.height, case.width):
        raise NotHereError("its window must fit into the map")
    natten: Any = import_module("natten")
    width = max(16, 1 << (case.embedding - 1).bit_length())
    heads = -(-case.channels // width)

    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        size = (case.height, case.width)
        q, k = (_split(x, 1, width).expand(-1, heads, -1, -1) for x in (query, key))
        q, k, v = (x.transpose(1, 2).unflatten(1, size).contiguous() for x in (q, k, _split(value, heads, width)))
        out: Tensor = natten.na2d(q, k, v, kernel_size=window, scale=1.0)  # [B, H, W, heads, width]
        return out.flatten(3).permute(0, 3, 1, 2)[:, : value.shape[1]]

    return run


CONTENDERS: dict[str, Callable[[Case], Attention]] = {
    **{f"ours-{path}": partial(_own, path) for path in get_args(AttentionPath)},
    "unfold": _unfold,
    "masked-sdpa": _scaled_dot_product,
    "compiled-flex": _flex,
    "compiled-shifted-sum": _shifted_sum,
    "natten": _natten,
}
"""By name. `ours-auto` is one of our other paths, or the global one."""


def same_region(name: str, out: Tensor, window: Window) -> Tensor:
    """What of a contender's result must equal ours: all, or where the window does not meet the border."""
    radius = window // 2 if name == "natten" and window != "global" else 0
    return out[..., radius : out.shape[-2] - radius, radius : out.shape[-1] - radius]
