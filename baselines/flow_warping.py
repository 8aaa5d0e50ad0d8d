"""Optical-flow warping: features of the keyframe follow FlowNet-S's flow from frame to frame (Accel; note 4.5).

Jain, Wang and Gonzalez 2019, "Accel: a corrective fusion network for efficient semantic segmentation on video": a deep
reference branch on keyframes, whose features are warped by the flow between consecutive frames, again and again
(chained); a shallower update branch on every other frame; their score maps fused by a 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.flownet import FlowNet, Normalisation
from mila.backbone import DeepLabResNet
from mila.kernels.reference import wide
from mila.modules import TaskDecoders, to_predictions
from mila.names import Norm
from mila.propagation import Compared, Propagation, Relation
from mila.tasks import FLOW, Suite
from mila.video_model import Part, VideoModel

Outside = Literal["zeros", "border"]


def warp(features: Tensor, flow: Tensor, outside: Outside = "zeros") -> Tensor:
    """Features of the older frame at the pixels of the current one: out(p) = features(p + flow(p)), bilinear.

    Args:
        features: `[B, C, h, w]` of the older frame.
        flow: `[B, 2, h, w]`, (dx, dy) in feature pixels, from the current frame to the older one.
        outside: what lies outside the map: `"zeros"`, as in Accel, or the nearest feature of the `"border"`.

    Returns:
        `[B, C, h, w]`.

    Raises:
        ValueError: shapes that do not belong together, or an unknown `outside`.
    """
    if outside not in ("zeros", "border"):
        raise ValueError(f"outside is 'zeros' or 'border', not {outside!r}")
    batch, _, height, width = features.shape
    if flow.shape != (batch, 2, height, width):
        raise ValueError(f"flow {tuple(flow.shape)} does not fit features {tuple(features.shape)}")
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]  # [B, h, w]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    # grid_sample counts from -1 at the map's left edge, half a pixel before its first centre, to 1 at the right edge.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return F.grid_sample(features, grid, mode="bilinear", padding_mode=outside, align_corners=False)


class FlowWarping(Propagation):
    """Chained warping by FlowNet-S. One flow serves all branches.

    Args:
        width, half_resolution, weights, bgr, normalisation: see `FlowNet`.
        freeze: keep FlowNet-S as it is; it is fine-tuned with the tasks otherwise.
        outside: see `warp`.
    """

    compares: ClassVar[Compared] = "frame"
    chained: ClassVar[bool] = True
    pretrained: ClassVar[bool] = True

    def __init__(
        self,
        width: float = 1.0,
        half_resolution: bool = True,
        weights: str | None = None,
        bgr: bool = False,
        normalisation: Normalisation = "mean",
        freeze: bool = False,
        outside: Outside = "zeros",
    ) -> None:
        super().__init__()
        self.flownet = FlowNet(
            FLOW,
            width=width,
            half_resolution=half_resolution,
            weights=weights,
            bgr=bgr,
            normalisation=normalisation,
        )
        self.flownet.requires_grad_(not freeze)
        self.outside: Outside = outside

    def relate(self, current: Tensor, older: Tensor) -> Relation:
        """Flow from the current frame to the older one, on FlowNet-S's own grid; float32 at least.

        In bfloat16 a position would be off by up to a cell: it has no more than three digits.
        """
        return (wide(self.flownet.estimate(current, older)),)

    def move(self, relation: Relation, value: Tensor) -> Tensor:
        """`value` `[B, C, h, w]` of the older frame, warped to the current one."""
        flow = self.flownet.at_features(relation[0], (value.shape[-2], value.shape[-1]))
        return warp(value, flow, self.outside)


class Accel(VideoModel):
    """Accel on the DeepLab pair: reference branch, warping, update branch, score fusion.

    Keyframes are predicted by the reference branch alone. On other frames its features, warped frame by frame since
    the last keyframe, and the update branch's features of the current frame each go through decoders of their own, and
    a 1x1 convolution a task fuses the two score maps. It starts as their average, since both branches are trained
    before. The same warping with fusion on the level of features, for the multi-task comparison, is
    `baselines.slow_fast.SlowFast(propagation="flow")`.

    Args:
        suite: the tasks.
        slow: depth of the reference branch.
        fast: depth of the update branch; 18, 34 and 50 are the paper's.
        width: factor on every channel count of encoders and decoders.
        keyframe_interval: K.
        flow_width, half_resolution, flow_weights, flow_bgr, flow_normalisation, freeze_flow, outside: see
            `FlowWarping`.
        decoder_norm: see `TaskDecoder`.
        slow_weights, fast_weights: ImageNet weights, see `DeepLabResNet`.
        zero_init_residual: see `DeepLabResNet`.
    """

    parts: ClassVar[Mapping[str, Part]] = {
        "slow": "encoder",
        "fast": "encoder",
        "score_fusion": "fusion",
        "decoders": "decoders",
        "decode": "decoders",
    }

    def __init__(
        self,
        suite: Suite,
        slow: int = 101,
        fast: int = 18,
        *,
        width: float = 1.0,
        keyframe_interval: int = 5,
        flow_width: float = 1.0,
        half_resolution: bool = True,
        flow_weights: str | None = None,
        flow_bgr: bool = False,
        flow_normalisation: Normalisation = "mean",
        freeze_flow: bool = False,
        outside: Outside = "zeros",
        decoder_norm: Norm = "none",
        slow_weights: str | None = None,
        fast_weights: str | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__(suite, keyframe_interval)
        self.slow = DeepLabResNet(slow, width, slow_weights, zero_init_residual)
        self.fast = DeepLabResNet(fast, width, fast_weights, zero_init_residual)
        self.warping = FlowWarping(
            flow_width, half_resolution, flow_weights, flow_bgr, flow_normalisation, freeze_flow, outside
        )
        self.decoders = nn.ModuleDict(
            {
                "slow": TaskDecoders(suite, self.slow.channels, width, decoder_norm),
                "fast": TaskDecoders(suite, self.fast.channels, width, decoder_norm),
            }
        )
        self.score_fusion = nn.ModuleDict({t.name: _average(t.channels) for t in suite.tasks})

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

    def pretrained(self) -> list[nn.Module]:
        """See `VideoModel.pretrained`: both networks and FlowNet-S."""
        return [self.slow, self.fast, self.warping]

    def last_layers(self) -> list[str]:
        """See `VideoModel.last_layers`: those of both branches, and the fusion of their scores."""
        return [*super().last_layers(), *(f"score_fusion.{name}" for name in self.score_fusion)]

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        """See `VideoModel.forward`; the flow of all pairs of frames is estimated in one batch."""
        self.check_clip(clip, offset)
        key = clip.shape[1] - 1 - offset
        reference = self.slow(clip[:, key])
        if offset:
            current, older = clip[:, key + 1 :].flatten(0, 1), clip[:, key:-1].flatten(0, 1)
            (flow,) = self.warping.relate(current, older)
            for step in flow.unflatten(0, (clip.shape[0], offset)).unbind(1):
                reference = self.warping.move((step,), reference)
        return self.decode(reference, clip[:, -1], keyframe=offset == 0)

    def decode(self, reference: Tensor, frame: Tensor, keyframe: bool) -> dict[str, Tensor]:
        """Predictions of `frame` `[B, 3, H, W]` from the reference branch's features, warped to it."""
        scores = {t.name: self._score("slow", t.name, reference) for t in self.suite.tasks}
        if not keyframe:
            update = self.fast(frame)
            for name, score in scores.items():
                scores[name] = self.score_fusion[name](torch.cat([score, self._score("fast", name, update)], 1))
        return to_predictions(scores, (frame.shape[-2], frame.shape[-1]))

    def _score(self, branch: Literal["slow", "fast"], task: str, features: Tensor) -> Tensor:
        decoders = self.decoders[branch]
        assert isinstance(decoders, TaskDecoders)
        score: Tensor = decoders[task](features)
        return score

    def stream(self) -> AccelStream:
        """See `VideoModel.stream`."""
        return AccelStream(self)


def _average(channels: int) -> nn.Conv2d:
    """A 1x1 convolution that starts as the average of two score maps."""
    fusion = nn.Conv2d(2 * channels, channels, 1)
    with torch.no_grad():
        fusion.weight.copy_(torch.eye(channels).repeat(1, 2)[..., None, None] / 2)
        assert fusion.bias is not None
        fusion.bias.zero_()
    return fusion


class AccelStream:
    """Accel over a video: the reference features, warped to the last frame, and that frame."""

    def __init__(self, model: Accel) -> None:
        self.model = model
        self.frames = 0
        self.reference = self.last = torch.empty(0)

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        """Predictions `[B, C, H, W]` by task for the next frame `[B, 3, H, W]`; every K-th is a keyframe."""
        model = self.model
        keyframe = self.frames % model.keyframe_interval == 0
        if keyframe:
            self.reference = model.slow(frame)
        else:
            self.reference = model.warping(frame, self.last, self.reference)
        self.last = frame
        self.frames += 1
        return model.decode(self.reference, frame, keyframe)

    def carried(self) -> dict[str, Tensor]:
        """See `ResumableStream.carried`."""
        return {"reference": self.reference, "last": self.last} if self.frames else {}

    def resume(self, carried: Mapping[str, Tensor], frames: int) -> None:
        """See `ResumableStream.resume`."""
        self.frames = frames
        self.reference, self.last = (carried.get(name, torch.empty(0)) for name in ("reference", "last"))
