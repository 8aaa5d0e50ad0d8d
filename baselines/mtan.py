"""MTAN (Liu et al. 2019) on the DeepLab-ResNet: task-specific attention masks on one shared encoder (note 4.1)."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from mila.backbone import DeepLabResNet
from mila.modules import TaskDecoders
from mila.names import Norm
from mila.tasks import Suite
from mila.video_model import EncodedFrameModel


class MTAN(EncodedFrameModel):
    """One attention network a task along the four stages of a shared DeepLab-ResNet.

    At each stage the task's mask is computed from the features before the stage's last block, from the second stage
    on concatenated with the attended map carried over from the stage before, and multiplies the output of the last
    block. After stages 1 to 3 a bottleneck that all tasks share carries the attended map to the next stage's
    channels; a 2x2 max-pool after the first one brings it from stride 4 to stride 8. The attended map of stage 4 is
    decoded.

    The pool is ceil-mode, as the encoder's is, so that both agree at every size (65x129 to 33x65, note 1.6).
    Cost without decoders: 150.5 GMACs at 256x512 with two tasks, 151.4 at 288x384 with three.

    Args:
        suite: the tasks.
        depth: of the DeepLab-ResNet; 101 in the tables.
        width: factor on every channel count.
        decoder_norm: see `TaskDecoder`.
        weights: ImageNet weights, see `DeepLabResNet`.
        zero_init_residual: see `DeepLabResNet`; of the encoder alone, not of the bottlenecks between the stages.

    Attributes:
        encoder: the shared network; a trained `MultiTask`'s `encoder` loads into it.
        masks: by task, one mask a stage.
        carry: the three bottlenecks.
        decoders: one a task.
    """

    def __init__(
        self,
        suite: Suite,
        depth: int = 101,
        *,
        width: float = 1.0,
        decoder_norm: Norm = "none",
        weights: str | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__(suite)
        self.encoder = DeepLabResNet(depth, width, weights, zero_init_residual)
        channels = self.encoder.stage_channels
        self.masks = nn.ModuleDict(
            {
                t.name: nn.ModuleList(
                    attention_mask(c if stage == 0 else 2 * c, max(1, c // 4), c) for stage, c in enumerate(channels)
                )
                for t in suite.tasks
            }
        )
        self.carry = nn.ModuleList(CarryBottleneck(inputs, following) for inputs, following in pairwise(channels))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.decoders = TaskDecoders(suite, self.encoder.channels, width, decoder_norm)

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

    def encode(self, frame: Tensor) -> tuple[Tensor, ...]:
        """See `EncodedFrameModel.encode`: of each stage, the map before its last block and the one after it."""
        x = self.encoder.stem(frame)
        maps: list[Tensor] = []
        for stage in self.encoder.stages:
            before = stage[:-1](x)
            x = stage[-1](before)  # [B, C, h, w], as `before`
            maps += [before, x]
        return tuple(maps)

    def decode(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> dict[str, Tensor]:
        """See `EncodedFrameModel.decode`."""
        carried: dict[str, Tensor] = {}
        for index, (before, x) in enumerate(zip(maps[::2], maps[1::2], strict=True)):
            attended = {}
            for task in self.suite.tasks:
                source = torch.cat([before, carried[task.name]], 1) if index > 0 else before
                masks = cast(nn.ModuleList, self.masks[task.name])
                attended[task.name] = masks[index](source) * x
            if index < len(self.carry):
                carried = {name: self.carry[index](a) for name, a in attended.items()}  # [B, next C, h, w]
            if index == 0:  # stage 2 halves the resolution, the later ones keep it
                carried = {name: self.pool(c) for name, c in carried.items()}
        return self.decoders.predict(attended, size)


def attention_mask(inputs: int, middle: int, channels: int) -> nn.Sequential:
    """A task's mask at one place of the network: `[B, inputs, h, w]` to `[B, channels, h, w]` in 0..1.

    1x1 to `middle`, batch norm, ReLU, 1x1 to `channels`, batch norm, sigmoid (note 4.1).
    """
    return nn.Sequential(
        nn.Conv2d(inputs, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.Sigmoid(),
    )


class CarryBottleneck(nn.Module):
    """A residual bottleneck with a 1x1 shortcut, `[B, inputs, h, w]` to `[B, channels, h, w]`.

    Not torchvision's, whose output is 4 times its middle: at small widths ours need not be a multiple of 4.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        middle = max(1, channels // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return out
