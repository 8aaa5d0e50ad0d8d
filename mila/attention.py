"""Inter-frame local attention (ILA), Eqs. 1 and 2 of the paper: one function, computed on one of several paths.

- `"reference"` (`mila.kernels.reference`): plain tensor operations, which any exporter and compiler knows.
- `"band"` (`mila.kernels.band`): banded matrix products, which never unfold the value map; the fast one on a CPU.
- `"dense"` (`mila.kernels.dense`): all pairs of pixels, masked; the fast one on a CPU where maps are small.
- `"triton"` (`mila.kernels.fused`): one launch forward, two backward, on an NVIDIA GPU.

`"auto"` takes `"reference"` while something traces (torch.export, ONNX export, torch.compile), otherwise `"triton"` for
tensors on a GPU that the kernels can take, `"dense"` for small ones on a CPU, and `"band"` for all others (on the meta
device and in `torch.jit.trace`, too: costs are counted by `band`). The paths differ by rounding alone, and in how far a
value reaches that is not finite: see there.
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mila.kernels import band, dense, fused, reference
from mila.kernels.reference import wide
from mila.propagation import Propagation, Relation

Window = int | Literal["global"]
AttentionPath = Literal["auto", "reference", "band", "dense", "triton"]

GLOBAL_SCORES = 1 << 24
"""Attention scores that global attention holds at once (64 MiB in float32); queries are taken in chunks of that."""


def check_path(path: AttentionPath) -> None:
    """Raise `ValueError` unless there is a path of this name."""
    if path not in get_args(AttentionPath):
        raise ValueError(f"the path of attention is one of {', '.join(get_args(AttentionPath))}, not {path!r}")


def choose_path(path: AttentionPath, query: Tensor, key: Tensor, value: Tensor, window: int) -> AttentionPath:
    """The path that `"auto"` stands for here and now; any other as it is.

    Raises:
        ValueError: there is no path of that name, or it cannot take these tensors.
    """
    check_path(path)
    if path == "auto":
        if _is_traced():
            return "reference"
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return "band"
        if query.is_cuda and fused.refusal(query, key, value, window) is None:
            return "triton"
        small = value.device.type == "cpu" and dense.pays(value.shape[-2], value.shape[-1], window)
        return "dense" if small else "band"
    refusal = fused.refusal(query, key, value, window) if path == "triton" else None
    if refusal:
        raise ValueError(f"attention's path 'triton' cannot be taken here: {refusal}; take 'auto'")
    return path


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()


def _in_halves(path: AttentionPath) -> ModuleType:
    """Where the two sums are by themselves; path `triton` and path `dense` compute them at once, or those of `band`."""
    check_path(path)
    return reference if path == "reference" or (path == "auto" and _is_traced()) else band


def attention_weights(query: Tensor, key: Tensor, window: int, path: AttentionPath = "auto") -> Tensor:
    """The weights W of Eq. 2: softmax over the window of the inner products; 0 outside the image.

    Args:
        query: `h(f_k)`, `[B, C', H, W]`, of the frame that receives.
        key: `h(f_t)`, same shape, of the frame that gives.
        window: odd L.
        path: see above.

    Returns:
        `[B, H, W, L, L]`, float32 at least; entry (dy, dx) belongs to the neighbour at (y + dy - L // 2,
        x + dx - L // 2).
    """
    weights: Tensor = _in_halves(path).attention_weights(query, key, window)
    return weights


def aggregate(weights: Tensor, value: Tensor, path: AttentionPath = "auto") -> Tensor:
    """Sum over each pixel's window of weight times value, whatever the weights are (Eq. 1).

    Args:
        weights: `[B, H, W, L, L]`, laid out as `attention_weights` returns them; neighbours outside the map count as 0.
        value: `[B, C, H, W]`.
        path: see above.

    Returns:
        `[B, C, H, W]` in the type of `value` (not necessarily contiguous).
    """
    total: Tensor = _in_halves(path).aggregate(weights, value)
    return total


def _global_attention(query: Tensor, key: Tensor, value: Tensor, traced: bool) -> Tensor:
    """Every pixel of the giving frame is a neighbour; queries in chunks to bound the memory, unless traced."""
    height, width = query.shape[-2:]
    given = value.dtype
    if not query.dtype == key.dtype == given:
        query, key, value = wide(query), wide(key), wide(value)
    q, k, v = (x.flatten(2).transpose(1, 2) for x in (query, key, value))  # [B, HW, C]

    def attend(chunk: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(chunk, k, v, scale=1.0)

    size = max(1, GLOBAL_SCORES // (q.shape[0] * k.shape[1]))
    if traced:  # the ONNX exporter wants a dimension of heads
        out = attend(*(x.unsqueeze(1) for x in (q, k, v))).squeeze(1)
    elif size >= q.shape[1]:
        out = attend(q, k, v)
    else:
        learns = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
        # Nothing in it is random; to keep the state of a generator is what no CUDA graph can hold.
        parts = (
            checkpoint(attend, chunk, k, v, use_reentrant=False, preserve_rng_state=False)
            if learns
            else attend(chunk, k, v)
            for chunk in q.split(size, 1)
        )
        out = torch.cat(list(parts), 1)
    received: Tensor = out.transpose(1, 2).unflatten(2, (height, width)).to(given)
    return received


def check_window(window: Window) -> None:
    """Raise `ValueError` unless `window` is a positive odd number or `"global"`."""
    if window != "global" and (not isinstance(window, int) or window < 1 or window % 2 == 0):
        raise ValueError(f"the attention window must be a positive odd number or 'global', not {window!r}")


def local_attention(query: Tensor, key: Tensor, value: Tensor, window: Window, path: AttentionPath = "auto") -> Tensor:
    """Propagate `value` from the giving frame to the receiving one (Eqs. 1 and 2).

    out(i, j) = sum over the L x L window around (i, j) of softmax(<query(i, j), key(.)>) value(.). Eq. 1 sums from
    -L/2 to L/2; with odd L that is radius L // 2. Neighbours outside the image get no weight.

    Args:
        query: `h(f_k)` of the receiving frame, `[B, C', H, W]`; or `[B, T, C', H, W]` for T branches at once.
        key: `h(f_t)` of the giving frame, same shape.
        value: `f_t`, `[B, C, H, W]` or `[B, T, C, H, W]`.
        window: odd L, or `"global"` for all pixels of the giving frame, which PyTorch's own
            `scaled_dot_product_attention` computes whatever the path.
        path: see above.

    Returns:
        `f_{t->k}`, shape and type of `value` (not necessarily contiguous).

    Raises:
        ValueError: a window that is neither odd nor `"global"`, shapes that do not belong together, or a path that is
            unknown or cannot take these tensors.
    """
    check_window(window)
    check_path(path)
    if query.dim() not in (4, 5) or query.shape != key.shape:
        raise ValueError(
            f"query and key must be [B, C', H, W] or [B, T, C', H, W] of one shape, not {tuple(query.shape)} and "
            f"{tuple(key.shape)}"
        )
    if value.dim() != key.dim() or value.shape[:-3] != key.shape[:-3] or value.shape[-2:] != key.shape[-2:]:
        raise ValueError(f"value {tuple(value.shape)} must share batch, height and width with key {tuple(key.shape)}")
    if query.dim() == 5:
        merged = local_attention(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1), window, path)
        out: Tensor = merged.unflatten(0, query.shape[:2])
        return out
    if window == "global":
        return _global_attention(query, key, value, traced=path == "reference" or (path == "auto" and _is_traced()))
    chosen = choose_path(path, query, key, value, window)
    if chosen == "triton":
        return fused.attention(query, key, value, window)
    by_path = {"reference": reference.attention, "dense": dense.attention, "band": band.attention}
    return by_path[chosen](query, key, value, window)


class InterFrameLocalAttention(Propagation):
    """ILA (Section 3.2): the 3x3 convolution `h`, shared by both frames, and the local attention.

    Args:
        channels: C of the feature maps (512 in the paper's architecture).
        embedding: C', the width of `h`; 36 without bias gives Table 7's 0.2 M parameters (note 1.5).
        window: L, odd, or `"global"` (Table 4); the paper's L is 5 (Section 4.1).
        scaled: divide the inner products by sqrt(C'), which Eq. 2 does not.
        path: see `local_attention`.
    """

    def __init__(
        self,
        channels: int,
        embedding: int = 36,
        window: Window = 5,
        scaled: bool = False,
        path: AttentionPath = "auto",
    ) -> None:
        super().__init__()
        check_window(window)
        check_path(path)
        self.window, self.path = window, path
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
        return local_attention(query, key, value, self.window, self.path)
