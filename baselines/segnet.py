"""MTAN and Cross-Stitch on SegNet (Badrinarayanan et al. 2017), as in the paper's SegNet rows (notes 4.2 and 4.3).

SegNet is VGG16's thirteen convolutions, five max-pools that remember where each maximum was, and the mirror image with
max-unpools that put values back there. A decoder block changes the number of channels in its first convolution, and
each task's head is a 3x3 convolution with 64 channels and a 1x1 one, at the size of the image. Counted so by thop,
heads included, this gives what the public code measures (note 1.7): MTAN 193.9 GMACs at 256x512 with two tasks and
217.3 at 288x384 with three, Cross-Stitch 181.7 at 288x384. Decoder blocks that change channels in their last
convolution give 212.1, 232.6 and 227.6. The paper prints 168, 178 and 213, which neither gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.cross_stitch import CrossStitchUnit, Units
from baselines.mtan import attention_mask
from mila.tasks import Suite
from mila.video_model import FrameModel, Part

_FILTERS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = (2, 2, 3, 3, 3)


class SegNet(nn.Module):
    """The two halves of a SegNet, in blocks; level 0 is the image's resolution, level 4 a sixteenth of it.

    Args:
        width: factor on every channel count; 1 is VGG16's.

    Attributes:
        filters: channels of the encoder's block at each level; the decoder's block takes as many.
        decoded: channels that the decoder's block at each level gives: those of the level above it.
        encoder: by level, a block of 3x3 convolutions with batch norm and ReLU.
        decoder: by level (so it is used from the last to the first), the mirror image.

    Raises:
        ValueError: non-positive width.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f"width must be positive, not {width}")
        self.filters = [max(1, round(f * width)) for f in _FILTERS]
        self.decoded = [self.filters[0], *self.filters[:-1]]
        self.encoder = nn.ModuleList(
            _block(i, o, n) for i, o, n in zip([3, *self.filters[:-1]], self.filters, _CONVOLUTIONS, strict=True)
        )
        self.decoder = nn.ModuleList(
            _block(i, o, n) for i, o, n in zip(self.filters, self.decoded, _CONVOLUTIONS, strict=True)
        )


def _convolution(inputs: int, channels: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU: `[B, inputs, h, w]` to `[B, channels, h, w]`."""
    return nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())


def _block(inputs: int, channels: int, convolutions: int) -> nn.Sequential:
    """Convolutions in a row; the first one changes the number of channels."""
    rest = [_convolution(channels, channels) for _ in range(convolutions - 1)]
    return nn.Sequential(_convolution(inputs, channels), *rest)


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 maxima of `[B, C, h, w]`, and where in h x w each was; ceil-mode, so that every size works."""
    return F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)


def unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Values of `x` put back to where `pool` found its maxima in a map of `size`, and 0 elsewhere.

    `F.max_unpool2d` does the same, but PyTorch refuses it where deterministic kernels are asked for.
    """
    height, width = size
    empty = x.new_zeros(x.shape[0], x.shape[1], height * width)
    filled: Tensor = empty.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))
    return filled


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


class _Heads(nn.ModuleDict):
    """A 3x3 and a 1x1 convolution a task, from the last features to predictions, both at the size of the image."""

    def __init__(self, suite: Suite, channels: int) -> None:
        super().__init__(
            {
                t.name: nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, t.channels, 1))
                for t in suite.tasks
            }
        )

    def predict(self, name: str, features: Tensor) -> Tensor:
        """`[B, C, H, W]` to the task's `[B, out, H, W]`; normals get unit length."""
        prediction: Tensor = self[name](features)
        return F.normalize(prediction, dim=1) if name == "normals" else prediction


class _Attention(nn.Module):
    """The masks of one task, by level of the encoder and of the decoder; their middle has the block's channels."""

    def __init__(self, network: SegNet) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            attention_mask(c if level == 0 else 2 * c, c, c) for level, c in enumerate(network.filters)
        )
        self.decoder = nn.ModuleList(
            attention_mask(unpooled + c, c, c) for unpooled, c in zip(network.filters, network.decoded, strict=True)
        )


class SegNetMTAN(FrameModel):
    """MTAN on one shared SegNet: a mask a task at each of the five encoder and five decoder blocks (note 4.2).

    Encoder: the mask is computed from the block's first convolution, from the second block on concatenated with the
    attended map carried over, and multiplies the block's output; a 3x3 convolution shared by the tasks and a 2x2
    max-pool carry it to the next block. Decoder: the attended map of the block before is enlarged bilinearly, brought
    to the block's channels by a 3x3 convolution shared by the tasks, concatenated with the unpooled map that the block
    takes, and the mask computed from both multiplies the block's output.

    Doubling is done without aligned corners, each value standing for the 2x2 pixels that the pool took it from; at odd
    sizes the last row or column is cut off, as the ceil-mode pool had added it. (Frames of any size work.)

    Args:
        suite: the tasks.
        width: factor on every channel count.

    Attributes:
        network: the shared SegNet.
        masks: by task.
        carry_encoder, carry_decoder: by level, the shared convolutions between the attended maps.
        decoders: one head a task.
    """

    # SegNet's mirror image is what the heads read, so the whole network counts as the encoder.
    parts: ClassVar[Mapping[str, Part]] = {**FrameModel.parts, "network": "encoder"}

    def __init__(self, suite: Suite, *, width: float = 1.0) -> None:
        super().__init__(suite)
        self.network = SegNet(width)
        filters, decoded = self.network.filters, self.network.decoded
        self.masks = nn.ModuleDict({t.name: _Attention(self.network) for t in suite.tasks})
        self.carry_encoder = nn.ModuleList(
            _convolution(i, o) for i, o in zip(filters, [*filters[1:], filters[-1]], strict=True)
        )
        self.carry_decoder = nn.ModuleList(_convolution(i, o) for i, o in zip(filters, decoded, strict=True))
        self.decoders = _Heads(suite, decoded[0])

    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        """See `FrameModel.predict`."""
        firsts, encoded, places = [], [], []
        x = frame
        for block in self.network.encoder:
            convolutions = cast(nn.Sequential, block)
            firsts.append(convolutions[0](x))
            encoded.append(convolutions[1:](firsts[-1]))
            x, indices = pool(encoded[-1])
            places.append(indices)
        unpooled, decoded = [x] * 5, [x] * 5
        for level in reversed(range(5)):
            unpooled[level] = unpool(x, places[level], _size(encoded[level]))
            x = decoded[level] = self.network.decoder[level](unpooled[level])
        predictions: dict[str, Tensor] = {}
        for task in self.suite.tasks:
            attended = self._attend(cast(_Attention, self.masks[task.name]), firsts, encoded, unpooled, decoded)
            predictions[task.name] = self.decoders.predict(task.name, attended)
        return predictions

    def _attend(
        self,
        masks: _Attention,
        firsts: list[Tensor],
        encoded: list[Tensor],
        unpooled: list[Tensor],
        decoded: list[Tensor],
    ) -> Tensor:
        """A task's attended map at the end of the decoder, `[B, C, H, W]`; all lists are by level."""
        x = firsts[0]
        for level in range(5):
            source = torch.cat([firsts[level], x], 1) if level > 0 else x
            attended = masks.encoder[level](source) * encoded[level]
            x = F.max_pool2d(self.carry_encoder[level](attended), 2, ceil_mode=True)  # [B, next C, h / 2, w / 2]
        for level in reversed(range(5)):
            height, width = _size(decoded[level])
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)[..., :height, :width]
            source = torch.cat([unpooled[level], self.carry_decoder[level](x)], 1)
            x = masks.decoder[level](source) * decoded[level]
        return x


class SegNetCrossStitch(FrameModel):
    """Cross-Stitch on SegNet: a whole encoder-decoder a task, stitched at each pool and each unpool (note 4.3).

    The maps that come out of the five pools are stitched, and so are those that come out of the five unpools; each task
    unpools with the indices of its own pools. (Frames of any size work.)

    Args:
        suite: the tasks.
        width: factor on every channel count.
        units, diagonal, off_diagonal: see `CrossStitchUnit`; with three tasks the alphas of a task first sum to 1.1.

    Attributes:
        networks: a SegNet by task.
        stitch_pooled, stitch_unpooled: the units, by level.
        decoders: one head a task.
    """

    parts: ClassVar[Mapping[str, Part]] = {**FrameModel.parts, "networks": "encoder"}

    def __init__(
        self,
        suite: Suite,
        *,
        width: float = 1.0,
        units: Units = "channel",
        diagonal: float = 0.9,
        off_diagonal: float = 0.1,
    ) -> None:
        super().__init__(suite)
        self.networks = nn.ModuleDict({t.name: SegNet(width) for t in suite.tasks})
        first = self._networks()[0]

        def by_level() -> nn.ModuleList:
            return nn.ModuleList(
                CrossStitchUnit(len(suite.tasks), c, units, diagonal, off_diagonal) for c in first.filters
            )

        self.stitch_pooled, self.stitch_unpooled = by_level(), by_level()
        self.decoders = _Heads(suite, first.decoded[0])

    def _networks(self) -> list[SegNet]:
        """The tasks' networks, in the order of the suite."""
        return [cast(SegNet, self.networks[t.name]) for t in self.suite.tasks]

    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        """See `FrameModel.predict`."""
        networks = self._networks()
        maps = [frame] * len(networks)
        places, sizes = [], []
        for level in range(5):
            encoded = [network.encoder[level](x) for network, x in zip(networks, maps, strict=True)]
            pooled, indices = zip(*map(pool, encoded), strict=True)
            maps = self.stitch_pooled[level](pooled)
            places.append(indices)
            sizes.append(_size(encoded[0]))
        for level in reversed(range(5)):
            unpooled = [unpool(x, own, sizes[level]) for x, own in zip(maps, places[level], strict=True)]
            stitched = self.stitch_unpooled[level](unpooled)
            maps = [network.decoder[level](x) for network, x in zip(networks, stitched, strict=True)]
        return {t.name: self.decoders.predict(t.name, x) for t, x in zip(self.suite.tasks, maps, strict=True)}
