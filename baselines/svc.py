"""Spatially variant convolution (Li et al. 2018, "Low-latency video semantic segmentation"; note 4.6).

Three convolutions look at the fast features of two frames and predict, for every pixel, the weights of a kernel; the
keyframe's features are convolved with it. No author code is public. What is known of the sizes (note 1.8): 3x3
1024->256, 3x3 256->256, 3x3 256->81 make Table 7's 3.14 M parameters.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mila.attention import aggregate
from mila.backbone import scaled_channels
from mila.kernels.reference import wide
from mila.model import MILA
from mila.propagation import Compared, Propagation, Relation
from mila.switches import Architecture
from mila.tasks import Suite


class KernelPrediction(Propagation):
    """Propagation by predicted kernels, one a pixel, the same for all channels.

    It compares the fast network's features of both frames, as its original compares what a cheap network sees on every
    frame: on keyframes the fast network therefore runs as well. The softmax goes over the whole kernel; what lies
    outside the map counts as 0, as in any padded convolution.

    Args:
        channels: C of the fast network's features, 512 in the paper's architecture.
        kernel: odd width of the kernel; 9.
        hidden: features between the three convolutions; 256.
    """

    compares: ClassVar[Compared] = "fast"

    def __init__(self, channels: int, kernel: int = 9, hidden: int = 256) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"the kernel must be a positive odd number, not {kernel}")
        self.kernel = kernel
        self.predictor = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, kernel**2, 3, padding=1),
        )

    def relate(self, current: Tensor, older: Tensor) -> Relation:
        """Kernels `[B, h, w, 9, 9]` that sum to 1 from features `[B, C, h, w]`."""
        scores = self.predictor(torch.cat([current, older], 1))  # [B, 81, h, w]
        return (wide(scores).permute(0, 2, 3, 1).softmax(-1).unflatten(-1, (self.kernel, self.kernel)),)

    def weights(self, relation: Relation) -> Tensor:
        """The kernels."""
        return relation[0]

    def move(self, relation: Relation, value: Tensor) -> Tensor:
        """Each pixel's kernel applied to `value` `[B, C, h, w]`."""
        return aggregate(relation[0], value)


class SVC(MILA):
    """The low-latency system on the SlowFast pair: predicted kernels and the adaptation branch.

    The adaptation branch is three 3x3 convolutions on the current frame's features and the propagated ones. Nothing is
    task-specific, non-keyframes receive from the last keyframe only, and nothing mimics. To compare SVC with other
    propagations in one and the same frame, take `baselines.slow_fast.SlowFast`.

    Args:
        suite, slow, fast: as for `MILA`.
        kernel: width of the kernel.
        hidden: features of the weight predictor at `width` 1.
        width: factor on every channel count.
        switches: further arguments of `MILA`.
    """

    attends: ClassVar[bool] = False

    def __init__(
        self,
        suite: Suite,
        slow: int = 101,
        fast: int = 18,
        *,
        kernel: int = 9,
        hidden: int = 256,
        width: float = 1.0,
        **switches: Any,
    ) -> None:
        own: dict[str, Any] = {
            "multi_frame": False,
            "task_specific": False,
            "mimicry": None,
            "architecture": Architecture(fusion_layers=3),
            "propagation": partial(KernelPrediction, kernel=kernel, hidden=scaled_channels(hidden, width)),
        }
        super().__init__(suite, slow, fast, width=width, **(own | switches))

    def kind_of_step(self) -> Hashable | None:
        """See `VideoModel.kind_of_step`."""
        return super().kind_of_step()
