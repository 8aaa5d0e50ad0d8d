"""In which type a stream computes, and what of it stays in float32."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mila.kernels.reference import wide
from mila.propagation import Propagation, Relation
from mila.streaming.folding import replace_submodule
from mila.video_model import VideoModel

Precision = Literal["auto", "float32", "bfloat16"]

_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_FIRST_WITH_BFLOAT16 = (8, 0)
"""Compute capability of the first NVIDIA GPUs (Ampere) whose tensor cores take it."""


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that a precision stands for on a device.

    `"auto"` is bfloat16 where the machine has instructions for it: an NVIDIA GPU of compute capability 8 or more, a
    processor with AVX512-BF16 or AMX-BF16 (as Linux lists them). Elsewhere it is float32.

    Raises:
        ValueError: there is no such precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"the precision is one of {', '.join(get_args(Precision))}, not {precision!r}")
    if precision == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    return torch.float32 if precision == "float32" else torch.bfloat16


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _FIRST_WITH_BFLOAT16
    return device.type == "cpu" and bool(_BFLOAT16_FLAGS & processor_flags())


def processor_flags(path: Path = _CPUINFO) -> set[str]:
    """What the processor can do, as Linux lists it; nothing where the system does not say."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


class WideLast(nn.Module):
    """The last layer of a decoder in float32: a bfloat16 has no more than three digits, which a depth would show.

    Args:
        layer: the layer, in float32.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """`layer` on `x` as float32."""
        out: Tensor = self.layer(wide(x))
        return out


class WideMove(Propagation):
    """A propagation whose networks run in bfloat16, and whose scores, softmax, positions and sums in float32.

    Args:
        propagation: the same in bfloat16 throughout.
    """

    def __init__(self, propagation: Propagation) -> None:
        super().__init__()
        self.inner = propagation
        # of the instance, as this class stands for propagations of all kinds
        self.compares, self.chained = propagation.compares, propagation.chained  # type: ignore[misc]
        self.reuse_embeddings = propagation.reuse_embeddings

    def embed(self, compared: Tensor) -> Tensor:
        """See `Propagation.embed`."""
        return self.inner.embed(compared)

    def relate(self, current: Tensor, older: Tensor) -> Relation:
        """See `Propagation.relate`; float32."""
        return tuple(wide(x) for x in self.inner.relate(current, older))

    def move(self, relation: Relation, value: Tensor) -> Tensor:
        """See `Propagation.move`; in the type of `value`."""
        return self.inner.move(relation, wide(value)).to(value.dtype)


def lower_precision(model: VideoModel) -> None:
    """Put a model into bfloat16, in place, but for what `WideMove` says and its `last_layers`."""
    lasts = {name: copy.deepcopy(model.get_submodule(name)) for name in model.last_layers()}
    model.to(torch.bfloat16)
    for name, last in lasts.items():
        replace_submodule(model, name, WideLast(last))
    for name, module in list(model.named_modules()):
        if isinstance(module, Propagation):
            replace_submodule(model, name, WideMove(module))
