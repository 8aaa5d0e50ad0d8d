"""MTAN and Cross-Stitch on SegNet (Badrinarayanan et al. 2017), as in the paper's SegNet rows (notes 4.2 and 4.3).

SegNet is VGG16's thirteen convolutions, five max-pools that remember where each maximum was, and the mirror image with
max-unpools that put values back there. A decoder block changes the number of channels in its first convolution, and
each task's head is a 3x3 convolution with 64 channels and a 1x1 one, at the size of the image. Counted so by thop,
heads included, this gives what the public code measures (note 1.7): MTAN 193.9 GMACs at 256x512 with two tasks and
217.3 at 288x384 with three, Cross-Stitch 181.7 at 288x384. Decoder blocks that change channels in their last
convolution give 212.1, 232.6 and 227.6. The paper prints 168, 178 and 213, which neither gives.

Where the public code of MTAN's authors, who published both, decides otherwise than this file, there is a switch for
it, and the table uses the default. One thing has no switch: convolutions before a batch norm have no bias here, which
the norm would take away again.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.cross_stitch import CrossStitchUnit, Units
from baselines.mtan import attention_mask
from mila.tasks import Suite
from mila.video_model import FrameModel, Part

Initialisation = Literal["pytorch", "xavier_normal", "xavier_uniform"]
"""How convolutions start: PyTorch's way, or after Glorot and Bengio (2010) with biases of 0.

The public code has normal ones for MTAN and uniform ones for Cross-Stitch.
"""

StitchForm = Literal["original", "public"]
"""See `SegNetCrossStitch`."""

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


def _initialise(network: nn.Module, how: Initialisation) -> None:
    """Start all convolutions of `network` as `how` says.

    Raises:
        ValueError: there is no such way.
    """
    draw = {"pytorch": None, "xavier_normal": nn.init.xavier_normal_, "xavier_uniform": nn.init.xavier_uniform_}
    if how not in draw:
        raise ValueError(f"the initialisation is one of {', '.join(map(repr, draw))}, not {how!r}")
    start = draw[how]
    for module in network.modules():
        if start is not None and isinstance(module, nn.Conv2d):
            start(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


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

    def last_layers(self) -> list[str]:
        """See `VideoModel.last_layers`, of a model whose `decoders` these are."""
        return [f"decoders.{name}.1" for name in self]

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

    At odd sizes the last row or column of a doubled map is cut off, as the ceil-mode pool had added it. (Frames of any
    size work.)

    Args:
        suite: the tasks.
        width: factor on every channel count.
        align_corners: of the bilinear doubling. False, as in the table: each value stands for the 2x2 pixels that the
            pool took it from. The public code has True, which shifts values by up to half a pixel against the masks.
        initialisation: of all convolutions; the table's is `"pytorch"`, the public code's `"xavier_normal"`.

    Attributes:
        network: the shared SegNet.
        masks: by task.
        carry_encoder, carry_decoder: by level, the shared convolutions between the attended maps.
        decoders: one head a task.
    """

    # SegNet's mirror image is what the heads read, so the whole network counts as the encoder.
    parts: ClassVar[Mapping[str, Part]] = {**FrameModel.parts, "network": "encoder"}

    def __init__(
        self,
        suite: Suite,
        *,
        width: float = 1.0,
        align_corners: bool = False,
        initialisation: Initialisation = "pytorch",
    ) -> None:
        super().__init__(suite)
        self.align_corners = align_corners
        self.network = SegNet(width)
        filters, decoded = self.network.filters, self.network.decoded
        self.masks = nn.ModuleDict({t.name: _Attention(self.network) for t in suite.tasks})
        self.carry_encoder = nn.ModuleList(
            _convolution(i, o) for i, o in zip(filters, [*filters[1:], filters[-1]], strict=True)
        )
        self.carry_decoder = nn.ModuleList(_convolution(i, o) for i, o in zip(filters, decoded, strict=True))
        self.decoders = _Heads(suite, decoded[0])
        _initialise(self, initialisation)

    def last_layers(self) -> list[str]:
        """See `VideoModel.last_layers`."""
        return self.decoders.last_layers()

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

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
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=self.align_corners)
            x = x[..., :height, :width]
            source = torch.cat([unpooled[level], self.carry_decoder[level](x)], 1)
            x = masks.decoder[level](source) * decoded[level]
        return x


class SharedStitch(nn.Module):
    """The public code's unit: one learned sum of all tasks' maps for all tasks, out = sum over j of share[j] x_j.

    Args:
        tasks: M, the number of maps; as many scalars, each first 1.
    """

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.ones(tasks))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """M maps `[B, C, h, w]`, in the order of the tasks, to M times their sum."""
        total = self.share[0] * maps[0]
        for share, other in zip(self.share[1:], maps[1:], strict=True):
            total = total + share * other
        return [total] * len(maps)


class SegNetCrossStitch(FrameModel):
    """Cross-Stitch on SegNet: a whole encoder-decoder a task, whose maps are stitched (note 4.3).

    Each task unpools with the indices of its own pools. (Frames of any size work.) Which maps are stitched, and how:

    - `"original"`, the table's: the maps that come out of the five pools and those that come out of the five unpools,
      each by a `CrossStitchUnit`, so that every task has shares of its own, one a channel.
    - `"public"`, as in the code of MTAN's authors: the maps that come out of the first four pools and those that go
      into the five unpools, each by a `SharedStitch`. With three tasks that is 27 numbers, and from the second block on
      all tasks' blocks take the same map.

    Args:
        suite: the tasks.
        width: factor on every channel count.
        form: see above.
        units, diagonal, off_diagonal: of the original form, see `CrossStitchUnit`; with three tasks the alphas of a
            task first sum to 1.1.
        initialisation: of all convolutions; the table's is `"pytorch"`, the public code's `"xavier_uniform"`.

    Attributes:
        networks: a SegNet by task.
        stitch_pooled: the units after the pools, by level.
        stitch_unpooled: those after the unpools, by level; none in the public form.
        stitch_decoded: those before the unpools, by level; none in the original form.
        decoders: one head a task.

    Raises:
        ValueError: any other form or initialisation, or arguments of the original form with the public one.
    """

    parts: ClassVar[Mapping[str, Part]] = {**FrameModel.parts, "networks": "encoder"}

    def __init__(
        self,
        suite: Suite,
        *,
        width: float = 1.0,
        form: StitchForm = "original",
        units: Units = "channel",
        diagonal: float = 0.9,
        off_diagonal: float = 0.1,
        initialisation: Initialisation = "pytorch",
    ) -> None:
        super().__init__(suite)
        if form not in ("original", "public"):
            raise ValueError(f"the form of the stitches is 'original' or 'public', not {form!r}")
        if form == "public" and (units, diagonal, off_diagonal) != ("channel", 0.9, 0.1):
            raise ValueError("units, diagonal and off_diagonal belong to the form 'original'; leave them out")
        self.networks = nn.ModuleDict({t.name: SegNet(width) for t in suite.tasks})
        first = self._networks()[0]

        def by_level(levels: int) -> nn.ModuleList:
            return nn.ModuleList(
                SharedStitch(len(suite.tasks))
                if form == "public"
                else CrossStitchUnit(len(suite.tasks), channels, units, diagonal, off_diagonal)
                for channels in first.filters[:levels]
            )

        pooled, unpooled, decoded = (5, 5, 0) if form == "original" else (4, 0, 5)
        self.stitch_pooled, self.stitch_unpooled = by_level(pooled), by_level(unpooled)
        self.stitch_decoded = by_level(decoded)
        self.decoders = _Heads(suite, first.decoded[0])
        _initialise(self, initialisation)

    def _networks(self) -> list[SegNet]:
        """The tasks' networks, in the order of the suite."""
        return [cast(SegNet, self.networks[t.name]) for t in self.suite.tasks]

    def last_layers(self) -> list[str]:
        """See `VideoModel.last_layers`."""
        return self.decoders.last_layers()

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        """See `FrameModel.predict`."""
        networks = self._networks()
        maps = [frame] * len(networks)
        places, sizes = [], []
        for level in range(5):
            encoded = [network.encoder[level](x) for network, x in zip(networks, maps, strict=True)]
            pooled, indices = zip(*map(pool, encoded), strict=True)
            maps = _stitched(self.stitch_pooled, level, list(pooled))
            places.append(indices)
            sizes.append(_size(encoded[0]))
        for level in reversed(range(5)):
            maps = _stitched(self.stitch_decoded, level, maps)
            unpooled = [unpool(x, own, sizes[level]) for x, own in zip(maps, places[level], strict=True)]
            unpooled = _stitched(self.stitch_unpooled, level, unpooled)
            maps = [network.decoder[level](x) for network, x in zip(networks, unpooled, strict=True)]
        return {t.name: self.decoders.predict(t.name, x) for t, x in zip(self.suite.tasks, maps, strict=True)}


def _stitched(units: nn.ModuleList, level: int, maps: list[Tensor]) -> list[Tensor]:
    """The tasks' maps after the unit of a level, or as they are where it has none."""
    return cast(list[Tensor], units[level](maps)) if level < len(units) else maps
