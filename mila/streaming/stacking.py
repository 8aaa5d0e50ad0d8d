"""All tasks' branches in one launch: their convolutions stacked into grouped ones, their attention into one batch.

A GPU's time at one video goes into launching small kernels. T branches side by side are, in one map `[B, T * C, h, w]`,
a convolution with T groups; and all pairs of a branch and an earlier frame are one batch of local attention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from mila.attention import InterFrameLocalAttention, local_attention
from mila.branch import Branch, Slot
from mila.kernels.reference import wide
from mila.model import MILA
from mila.modules import TaskDecoder, TaskDecoders, to_predictions
from mila.streaming.precision import WideMove
from mila.tasks import TaskName


class NotStackableError(Exception):
    """Branches that are not alike, or hold layers that nobody has stacked yet."""


class StackedConv(nn.Module):
    """Convolutions of one shape, one a branch, as one.

    Args:
        convolutions: alike but for their numbers.
    """

    def __init__(self, convolutions: Sequence[nn.Module]) -> None:
        super().__init__()
        ours = [c for c in convolutions if isinstance(c, nn.Conv2d) and c.groups == 1]
        shapes = {(c.weight.shape, c.stride, c.padding, c.dilation, c.padding_mode, c.bias is None) for c in ours}
        if len(ours) < len(convolutions) or len(shapes) != 1 or ours[0].padding_mode != "zeros":
            raise NotStackableError("convolutions of different shapes")
        first = ours[0]
        self.branches, self.inputs = len(ours), first.in_channels
        self.stride, self.padding, self.dilation = first.stride, first.padding, first.dilation
        self.weight = nn.Parameter(torch.cat([c.weight for c in ours]), requires_grad=False)
        biases = [c.bias for c in ours if c.bias is not None]
        self.bias = nn.Parameter(torch.cat(biases), requires_grad=False) if biases else None

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, h, w]`, which all branches look at, or `[B, T * C, h, w]`, each its own; to `[B, T * out, h, w]`."""
        groups = 1 if x.shape[1] == self.inputs else self.branches
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, groups)


def stack_layers(branches: Sequence[nn.Sequential]) -> nn.Sequential:
    """Sequences of layers, one a branch, as one.

    Raises:
        NotStackableError: they differ, or hold anything but convolutions, group norms and ReLUs.
    """
    stacked = nn.Sequential()
    if len({len(branch) for branch in branches}) != 1:
        raise NotStackableError("branches of different lengths")
    for layers in zip(*branches, strict=True):
        if all(isinstance(layer, nn.Conv2d) for layer in layers):
            stacked.append(StackedConv(layers))
        elif all(isinstance(layer, nn.GroupNorm) for layer in layers):
            stacked.append(_stack_norms([layer for layer in layers if isinstance(layer, nn.GroupNorm)]))
        elif all(isinstance(layer, nn.ReLU) for layer in layers):
            stacked.append(nn.ReLU())
        elif not all(isinstance(layer, nn.Identity) for layer in layers):
            raise NotStackableError(f"{type(layers[0]).__name__} cannot be stacked")
    return stacked


def _stack_norms(norms: Sequence[nn.GroupNorm]) -> nn.GroupNorm:
    """Group norms of one shape; a group never reaches from one branch into the next."""
    first = norms[0]
    if len({(n.num_groups, n.num_channels, n.eps, n.affine) for n in norms}) != 1 or not first.affine:
        raise NotStackableError("group norms of different shapes")
    branches = len(norms)
    stacked = nn.GroupNorm(branches * first.num_groups, branches * first.num_channels, first.eps)
    stacked.to(first.weight)
    stacked.load_state_dict({name: torch.cat([getattr(n, name) for n in norms]) for name in ("weight", "bias")})
    return stacked


class StackedDecoders(TaskDecoders):
    """`TaskDecoders` whose decoders run as one; each is still there by its task's name.

    The last convolutions have different numbers of outputs: they are one convolution of all features, with zeros where
    a task's outputs do not look at another's.

    Args:
        decoders: what is stacked, as it is in the optimised model.

    Raises:
        NotStackableError: they are not alike.
    """

    def __init__(self, decoders: TaskDecoders) -> None:
        nn.ModuleDict.__init__(self, dict(decoders.items()))
        if type(decoders) is not TaskDecoders or any(type(decoder) is not TaskDecoder for decoder in decoders.values()):
            raise NotStackableError("decoders of a class of their own")
        branches = [d.layers for d in decoders.values() if isinstance(d, TaskDecoder)]
        self._names = [cast("TaskName", name) for name in decoders]
        stacked = stack_layers([branch[:-1] for branch in branches]).to(memory_format=torch.channels_last)
        self._stacked = (stacked,)  # in a tuple, lest it be taken for a task
        lasts = [last for branch in branches if isinstance(last := _unwrapped(branch[-1]), nn.Conv2d)]
        if len(lasts) < len(decoders) or any(last.bias is None or last.kernel_size != (1, 1) for last in lasts):
            raise NotStackableError("decoders with other last layers than 1x1 convolutions")
        self._sizes = [last.out_channels for last in lasts]
        blocks = torch.block_diag(*(last.weight.flatten(1) for last in lasts))
        self._weight = nn.Parameter(blocks[..., None, None], requires_grad=False)
        bias = torch.cat([last.bias for last in lasts if last.bias is not None])
        self._bias = nn.Parameter(bias, requires_grad=False)

    def predict(self, features: Mapping[TaskName, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """See `TaskDecoders.predict`."""
        maps = [features[name] for name in self._names]
        shared = all(x is maps[0] for x in maps)
        return self.predict_stacked(maps[0] if shared else torch.cat(maps, 1), size)

    def predict_stacked(self, features: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """The same from `[B, C, h, w]` for all tasks, or `[B, T * C, h, w]`."""
        x = self._stacked[0](features).to(self._weight.dtype)
        scores = F.conv2d(x, self._weight, self._bias).split(self._sizes, 1)
        return to_predictions(dict(zip(self._names, scores, strict=True)), size)


def _unwrapped(layer: nn.Module) -> nn.Module:
    """The convolution in a `WideLast`."""
    return layer if isinstance(layer, nn.Conv2d) else next(layer.children(), layer)


_REPLACED = ("stream", "carry", "compared_fast", "emit", "receive", "remember", "decode", "branch", "propagation_of")
"""What a stacked model does otherwise than MILA: where a class derived from it has its own, it cannot be stacked."""


class StackedMILA(nn.Module):
    """MILA with inter-frame local attention, from a frame's encoded features on, all branches at once.

    Args:
        model: in eval mode, its batch norms folded, its decoders stacked.

    Raises:
        NotStackableError: it propagates otherwise (by cosines, say), or its branches differ.
    """

    def __init__(self, model: MILA) -> None:
        super().__init__()
        propagations = [p.inner if isinstance(p, WideMove) else p for p in model.propagations]
        # of this very class: one derived from it compares otherwise
        attentions = [p for p in propagations if type(p) is InterFrameLocalAttention and p.reuse_embeddings]
        branches = [model.branch(i) for i in range(len(model.branches))]
        if any(getattr(type(model), name) is not getattr(MILA, name) for name in _REPLACED):
            raise NotStackableError("a model with steps of its own")
        if any(type(branch) is not Branch for branch in branches):
            raise NotStackableError("branches of a class of their own")
        if len(attentions) != len(branches) or not isinstance(model.decoders, StackedDecoders):
            raise NotStackableError("a model without an attention of its own in each branch")
        self.model, self.count = model, len(branches)
        self.window, self.scale = attentions[0].window, attentions[0].scale
        self.h = StackedConv([attention.h for attention in attentions])
        blocks = [b.se for b in branches if isinstance(b.se, SqueezeExcitation)]
        if blocks:
            self.squeeze = StackedConv([block.fc1 for block in blocks])
            self.excite = StackedConv([block.fc2 for block in blocks])
        self.has_se = bool(blocks)
        self.fuse = nn.ModuleDict()
        for name, keyframe in (("key", True), ("non_key", False)):
            fusions = [b.fuse_key if keyframe else b.fuse_non_key for b in branches]
            found = [fusion.layers for fusion in fusions if fusion is not None]
            if found:
                self.fuse[name] = stack_layers(found)

    def features(self, encoded: Tensor) -> Tensor:
        """`[B, C, h, w]` after each branch's squeeze-excitation: `[B, T * C, h, w]`."""
        if not self.has_se:
            return encoded
        pooled = F.adaptive_avg_pool2d(encoded, 1)
        scale = torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))  # [B, T * C, 1, 1]
        scaled = encoded.unsqueeze(1) * scale.unflatten(1, (self.count, -1))
        return _dense(scaled.flatten(1, 2))

    def emit(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """A frame's memory: all branches' features and embeddings, `[T * B, C, h, w]` and `[T * B, C', h, w]`."""
        return self._batch(features), wide(self._batch(self.h(features)))

    def _batch(self, x: Tensor) -> Tensor:
        """`[B, T * C, h, w]` as `[T * B, C, h, w]`."""
        if self.count == 1:
            return x
        return _dense(x.unflatten(1, (self.count, -1)).transpose(0, 1).flatten(0, 1))

    def receive(
        self, features: Tensor, embedded: Tensor, older: Sequence[tuple[Tensor, Tensor]], keyframe: bool
    ) -> Tensor:
        """The current frame's `[B, T * C, h, w]` fused with what its sources gave when they were emitted."""
        name = "key" if keyframe else "non_key"
        if name not in self.fuse:
            return features
        values, keys = (torch.cat(maps) if len(maps) > 1 else maps[0] for maps in zip(*older, strict=True))
        query = embedded * self.scale if self.scale != 1.0 else embedded
        queries = torch.cat([query] * len(older)) if len(older) > 1 else query
        if not values.is_cuda:  # matrix products of small bands are not what a processor has bfloat16 for
            received = local_attention(queries, keys, wide(values), self.window)
        else:
            received = local_attention(queries, keys, values, self.window)
        batch, _, height, width = features.shape
        channels = features.shape[1] // self.count
        shape = (batch, self.count * (1 + len(older)) * channels, height, width)
        joined = torch.empty(shape, dtype=features.dtype, device=features.device, memory_format=torch.channels_last)
        parts = joined.unflatten(1, (self.count, 1 + len(older), channels))  # [B, T, 1 + S, C, h, w]
        parts[:, :, 0] = features.unflatten(1, (self.count, channels))
        parts[:, :, 1:] = received.unflatten(0, (len(older), self.count, batch)).permute(2, 1, 0, 3, 4, 5)
        fused: Tensor = self.fuse[name](joined)
        return fused


def _dense(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class StackedMILAStream:
    """`MILAStream` with all branches at once; the same memory, stacked."""

    def __init__(self, stacked: StackedMILA) -> None:
        self._stacked, self._frames = stacked, 0
        self._memory: dict[Slot, tuple[Tensor, Tensor]] = {}

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        """See `Stream.step`."""
        stacked, model = self._stacked, self._stacked.model
        keyframe = self._frames % model.keyframe_interval == 0
        features = stacked.features(model.encode(frame, keyframe))
        current = stacked.emit(features)
        sources = model.sources(keyframe)
        fused = stacked.receive(features, current[1], [self._memory.get(s, current) for s in sources], keyframe)
        slot: Slot = "key" if keyframe else "non_key"
        if slot in chain(model.sources(True), model.sources(False)):
            self._memory[slot] = stacked.emit(fused) if model.propagate == "fused" else current
        self._frames += 1
        assert isinstance(model.decoders, StackedDecoders)
        return model.decoders.predict_stacked(fused, (frame.shape[-2], frame.shape[-1]))

    def carried(self) -> dict[str, Tensor]:
        """See `ResumableStream.carried`."""
        pairs = self._memory.items()
        return {f"{slot}.{i}": tensor for slot, tensors in pairs for i, tensor in enumerate(tensors)}

    def resume(self, carried: Mapping[str, Tensor], frames: int) -> None:
        """See `ResumableStream.resume`."""
        slots: tuple[Slot, ...] = ("key", "non_key")
        self._frames = frames
        self._memory = {s: (carried[f"{s}.0"], carried[f"{s}.1"]) for s in slots if f"{s}.0" in carried}
