"""What a model costs: multiply-accumulates and parameters under a named convention, counted by thop.

The counter runs a copy of the model without numbers in it (meta tensors), so the paper's own input sizes take seconds
and the model is left as it was. One keyframe and one non-keyframe are counted in the middle of a stream and averaged
over the keyframe interval, as the paper does (facts, 1.4).
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mila.video_model import Stream, VideoModel


@dataclass(frozen=True)
class Convention:
    """What is charged.

    Attributes:
        name: how reports call it.
        decoders: whether the task decoders, a model's attribute `decoders`, are charged.
        reuse_embeddings: whether ILA's `h` is charged once a frame, or on both maps of each propagation.
    """

    name: str
    decoders: bool
    reuse_embeddings: bool


PUBLISHED = Convention("published", decoders=False, reuse_embeddings=False)
"""How the paper's GFLOPs columns count (facts, 1): thop's multiply-accumulates, decoders left out, `h` on both maps."""

EXECUTED = Convention("executed", decoders=True, reuse_embeddings=True)
"""What thop sees of the run itself: decoders included, `h` once a frame."""


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of a keyframe, of a non-keyframe, and of the average frame; parameters charged."""

    keyframe: float
    non_keyframe: float
    average: float
    parameters: int

    @property
    def gflops(self) -> float:
        """The average in the paper's unit: 10^9 multiply-accumulates (it calls them GFLOPs)."""
        return self.average / 1e9


class _Step(nn.Module):
    """One step of a running stream, as the module with an input that thop wants."""

    def __init__(self, model: VideoModel, stream: Stream) -> None:
        super().__init__()
        self.model = model
        self._stream = (stream,)

    def forward(self, frame: Tensor) -> dict[str, Tensor]:
        return self._stream[0].step(frame)


def count(model: VideoModel, height: int, width: int, convention: Convention = PUBLISHED) -> Cost:
    """Count a model's cost a frame at `height` x `width` pixels. The model itself is not touched."""
    model = copy.deepcopy(model)
    model.for_inference()
    model.charge_embeddings(once_a_frame=convention.reuse_embeddings)
    model = model.eval().to("meta")
    interval = model.keyframe_interval
    parameters = sum(
        p.numel() for name, p in model.named_parameters() if convention.decoders or not name.startswith("decoders.")
    )
    keyframe = _count_step(model, interval, height, width, convention)
    non_keyframe = _count_step(model, interval + 1, height, width, convention) if interval > 1 else keyframe
    average = (keyframe + (interval - 1) * non_keyframe) / interval
    return Cost(keyframe, non_keyframe, average, parameters)


def _count_step(model: VideoModel, before: int, height: int, width: int, convention: Convention) -> float:
    """MACs of the step after `before` others."""
    model = copy.deepcopy(model)  # thop leaves hooks and buffers behind
    frame = torch.empty(1, 3, height, width, device="meta")
    stream = model.stream()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # thop's own
        from thop import profile

        for _ in range(before):
            stream.step(frame)
        macs, _, layers = profile(_Step(model, stream), (frame,), verbose=False, ret_layer_info=True)
    if not convention.decoders and hasattr(model, "decoders"):
        macs -= layers["model"][2]["decoders"][0]
    return float(macs)
