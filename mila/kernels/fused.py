"""Path `triton`: local attention in one launch forward and two backward, for an NVIDIA GPU.

The kernels are in `triton_kernels`; in `tiled_kernel` the one for half precision where no gradient is wanted.

Where PyTorch comes without Triton, or a tensor is not for the kernels, `refusal` says why. A kernel that fails to
compile or to launch is said in one warning, and from then on the process takes path `band`. Second gradients are those
of `band`, and so is everything inside a transform of `torch.func` (vmap, grad) or of forward-mode differentiation. A
value that is not finite reaches at most the pixels of the tiles whose windows it lies in or beside, never another
image.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from mila.kernels import band
from mila.kernels.reference import wide

MAX_WINDOW = 15
"""Largest window that the kernels are tested with; a larger one wants wider tiles."""

_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_MOST_IMAGES = 65535
"""CUDA's limit on the third dimension of a grid."""

_MANY = 128 * 132
"""Blocks of four pixels from which on a card is full: 128 for each multiprocessor of an H100."""

_TILED, _TILED_EMBEDDING = 5, 64
"""Windows from which on tensor cores are worth what they multiply in excess, and channels of a key up to which."""
_TALL, _WIDE = 4, 16
"""Pixels of a tile that tensor cores work on, where tiles fill a card; else they are flat."""
_ROWS = 2
"""Rows of the giving frame at a time."""
_MANY_TILES = 2 * 132
"""Tiles that do: two for each multiprocessor of an H100."""
_TALL_SHARED = 160 * 1024
"""Bytes of shared memory that a program with such tiles is given; a card with less has flat ones."""

_failures: list[str] = []
_tiled_failures: list[str] = []


class KernelError(RuntimeError):
    """A kernel did not compile or launch."""


def failure() -> str | None:
    """What failed in this process, in one sentence, and made it take path `band`; None if nothing did."""
    return _failures[0] if _failures else None


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return find_spec("triton") is not None


def refusal(query: Tensor, key: Tensor, value: Tensor, window: int) -> str | None:
    """Why the kernels cannot take these tensors, as the end of a sentence; None if they can."""
    if not _has_triton():
        return "Triton is not installed"
    if query.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"it runs on an NVIDIA GPU, and the tensors are on {query.device.type!r}"
    for tensor in (query, key, value):
        if tensor.dtype not in _TYPES:
            return f"it takes float32, bfloat16 and float16, not {str(tensor.dtype).removeprefix('torch.')}"
    if window > MAX_WINDOW:
        return f"its largest window is {MAX_WINDOW}, not {window}"
    if value.shape[0] > _MOST_IMAGES:
        return f"it takes at most {_MOST_IMAGES} images at once, not {value.shape[0]}"
    return None


def attention(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Eqs. 1 and 2 by the kernels, or by path `band` where one failed; see `mila.attention.local_attention`.

    Args:
        query: `[B, C', H, W]`.
        key: same shape.
        value: `[B, C, H, W]`.
        window: odd L.

    Returns:
        `[B, C, H, W]` in the type of `value`, its channels last.
    """
    # a transform, or forward-mode differentiation, which the kernels know nothing of
    transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    if not (_failures or transformed or 0 in (query.numel(), value.numel())):
        if query.dtype != key.dtype:
            query, key = wide(query), wide(key)
        try:
            if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
                out: Tensor = Fused.apply(query, key, value, window)
                return out
            maps = _channels_last(query), _channels_last(key), _channels_last(value)
            tiled = _forward_tiled(*maps, window) if _takes_tiles(query, value, window) else None
            return _forward(*maps, window)[0] if tiled is None else tiled
        except KernelError as error:
            _give_up(error)
    return band.attention(query, key, value, window)


class Fused(torch.autograd.Function):
    """The kernels with their gradients: `Fused.apply(query, key, value, window)`."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
        out, weights = _forward(_channels_last(query), _channels_last(key), _channels_last(value), window)
        ctx.save_for_backward(query, key, value, weights)
        ctx.window = window
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, weights = ctx.saved_tensors
        (grad,) = grads
        needed = tuple(ctx.needs_input_grad[:3])
        if not (torch.is_grad_enabled() or _failures):  # gradients that are differentiated again are those of `band`
            try:
                maps = (_channels_last(query), _channels_last(key), _channels_last(value))
                return *_backward(maps, weights, _channels_last(grad), ctx.window, needed), None
            except KernelError as error:
                _give_up(error)
        found = band.attention_gradients(query, key, value, grad, ctx.window)
        return *(one if wanted else None for one, wanted in zip(found, needed, strict=True)), None


def _give_up(error: KernelError) -> None:
    if not _failures:
        _failures.append(str(error))
        warnings.warn(
            f"local attention's path 'triton' is given up for 'band', which is slower: {error}", RuntimeWarning, 3
        )


def _channels_last(x: Tensor) -> Tensor:
    """The map with its channels last and nothing between its numbers, as models have it; else a copy."""
    return x.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class _Tiling:
    """How maps are cut into blocks of pixels in a row and of channels, and what the programs have; measured on an H100.

    Attributes:
        pixels, block: of a program, pixels and channels.
        columns: blocks of pixels a row.
        launch: of programs that sum over windows.
        launch_scores: of those that differentiate scores.
    """

    pixels: int
    block: int
    columns: int
    launch: dict[str, int]
    launch_scores: dict[str, int]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(shape: torch.Size, dtype: torch.dtype) -> _Tiling:
        """For value maps of this shape and type."""
        images, channels, height, width = shape
        block = min(512, max(16, _power_of_two(channels)))
        is_full = images * height * -(-width // 4) >= _MANY
        if is_full and dtype == torch.float32:
            launch, scores = {"num_warps": 4, "maxnreg": 80}, {"num_warps": 2, "maxnreg": 128}
            return _Tiling(8, block, -(-width // 8), launch, scores)
        if is_full:
            one_warp = {"num_warps": 1, "maxnreg": 128}
            return _Tiling(4, block, -(-width // 4), one_warp, one_warp)
        return _Tiling(4, block, -(-width // 4), {"num_warps": 2}, {"num_warps": 1})


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _launch(kernel: str, grid: tuple[int, int, int], tensors: tuple[Tensor, ...], *args: int, **options: int) -> None:
    """Compile a kernel if need be, and launch it.

    Raises:
        KernelError: it did not work, for whatever reason.
    """
    try:
        from mila.kernels import tiled_kernel, triton_kernels

        run: Callable[..., object] = getattr(tiled_kernel if kernel == "attend_tiles" else triton_kernels, kernel)[grid]
        with torch.cuda.device_of(tensors[0]):
            run(*tensors, *args, **options)
    except Exception as error:  # compilers, drivers and linkers each have their own
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise KernelError(f"kernel {kernel!r} failed with {type(error).__name__}: {first}") from error


def _forward(query: Tensor, key: Tensor, value: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Result, and the weights as `triton_kernels` lays them out, from dense maps."""
    tiling = _Tiling.of(value.shape, value.dtype)
    (images, embedding), (channels, height, width) = query.shape[:2], value.shape[1:]
    blocks = -(-channels // tiling.block)
    out = torch.empty_like(value)
    shape = (blocks, images, height, tiling.columns, window * window, tiling.pixels)
    weights = query.new_empty(shape, dtype=torch.float32)
    _launch(
        "attend",
        (height * tiling.columns, blocks, images),
        (query, key, value, out, weights),
        weights[0, 0].numel(),
        height,
        width,
        embedding=embedding,
        channels=channels,
        WINDOW=window,
        PIXELS=tiling.pixels,
        COUNT=_power_of_two(window * window),
        EMBED=_power_of_two(embedding),
        BLOCK=tiling.block,
        **tiling.launch,
    )
    return out, weights[0]


def _takes_tiles(query: Tensor, value: Tensor, window: int) -> bool:
    is_half = query.dtype == value.dtype != torch.float32
    return is_half and window >= _TILED and query.shape[1] <= _TILED_EMBEDDING and not _tiled_failures


def _shared_memory(device: torch.device) -> int:
    """Bytes that a program may have on a card; none where PyTorch does not say."""
    if device.type != "cuda":
        return _TALL_SHARED  # the interpreter
    return int(getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 0))


def _forward_tiled(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor | None:
    """Result, from dense maps of one type of half precision, by tensor cores; None where that failed."""
    (images, embedding), (channels, height, width) = query.shape[:2], value.shape[1:]
    columns = -(-width // _WIDE)
    is_full = images * columns * -(-height // _TALL) >= _MANY_TILES and _shared_memory(value.device) >= _TALL_SHARED
    tall, block, warps = (_TALL, 512, 8) if is_full else (1, 256, 4)
    block = min(block, max(16, _power_of_two(channels)))
    out = torch.empty_like(value)
    try:
        _launch(
            "attend_tiles",
            (columns * -(-height // tall), -(-channels // block), images),
            (query, key, value, out),
            height,
            width,
            embedding=embedding,
            channels=channels,
            WINDOW=window,
            TALL=tall,
            WIDE=_WIDE,
            SPAN=_power_of_two(_WIDE + window - 1),
            ROWS=_ROWS,
            EMBED=max(16, _power_of_two(embedding)),
            BLOCK=block,
            num_warps=warps,
            num_stages=2,
        )
    except KernelError as error:
        _tiled_failures.append(str(error))
        warnings.warn(f"local attention takes no tensor cores from now on, which is slower: {error}", RuntimeWarning, 3)
        return None
    return out


def _backward(
    maps: tuple[Tensor, Tensor, Tensor], weights: Tensor, grad: Tensor, window: int, needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Gradients of query, key and value, None where not needed, from dense maps."""
    query, key, value = maps
    tiling = _Tiling.of(value.shape, value.dtype)
    (images, embedding), (channels, height, width) = query.shape[:2], value.shape[1:]
    grad_scores = torch.empty_like(weights)
    size, tiles = weights[0].numel(), height * tiling.columns
    _launch(
        "differentiate_scores",
        (tiles, 1, images),
        (value, grad, weights, grad_scores),
        size,
        height,
        width,
        channels=channels,
        WINDOW=window,
        PIXELS=tiling.pixels,
        COUNT=_power_of_two(window * window),
        BLOCK=tiling.block,
        **tiling.launch_scores,
    )
    found = [torch.empty_like(x) if wanted else None for x, wanted in zip(maps, needed, strict=True)]
    unused = weights  # stands where a kernel writes nothing
    value_blocks = -(-channels // tiling.block) * needed[2]
    _launch(
        "sum_gradients",
        (tiles, needed[0] + needed[1] + value_blocks, images),
        (query, key, grad, weights, grad_scores, *(unused if x is None else x for x in found)),
        size,
        value_blocks,
        int(needed[1]),
        height,
        width,
        embedding=embedding,
        channels=channels,
        WINDOW=window,
        PIXELS=tiling.pixels,
        EMBED=_power_of_two(embedding),
        BLOCK=tiling.block,
        **tiling.launch,
    )
    return tuple(found)
