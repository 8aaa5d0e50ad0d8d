"""Helpers of the tests of augmentation: a transform is read off pictures of the coordinates sent through it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from mila.common.types import Array
from mila.data.augment import augment
from mila.data.clips import normalise
from mila.data.worlds.clips import WorldClips
from mila.names import AugmentationName
from mila.tasks import CITYSCAPES, NYUV2

SEED = 7
SUITES = {"street": CITYSCAPES, "rooms": NYUV2}
PROTOCOLS_THAT_CHANGE: tuple[AugmentationName, ...] = ("mtan", "default")


class Transform(NamedTuple):
    """A window's zoom, its edges in source pixels, and whether it is mirrored."""

    scale: float
    top: float
    left: float
    flip: bool


def transforms(step: int, batch: int, height: int, width: int, seed: int = SEED) -> list[Transform]:
    """The transforms of a step, read off frames that show their own x and y."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    seen, _ = augment(torch.stack([x, y, x]).expand(batch, 1, 3, height, width), {}, NYUV2, "mtan", seed, step)
    found = []
    for picture in seen[:, 0].double():
        columns, rows = picture[0, height // 2], picture[1, :, width // 2]
        flip = bool(columns[-2] < columns[1])
        columns = columns.flip(0) if flip else columns
        # Away from the border, where sampling ends at the outermost pixel centres.
        pitch = ((columns[-2] - columns[1]) / (width - 3)).item()
        assert ((rows[-2] - rows[1]) / (height - 3)).item() == pytest.approx(pitch, abs=1e-5)
        found.append(
            Transform(1 / pitch, (rows[1] + 0.5 - 1.5 * pitch).item(), (columns[1] + 0.5 - 1.5 * pitch).item(), flip)
        )
    return found


def source_pixels(protocol: AugmentationName, step: int, batch: int, height: int, width: int) -> Tensor:
    """Which pixel of the image every pixel's target comes from, `[B, H, W]`."""
    index = torch.arange(height * width).view(1, height, width).expand(batch, -1, -1)
    frames = torch.zeros(batch, 1, 3, height, width)
    return augment(frames, {"segmentation": index}, NYUV2, protocol, SEED, step)[1]["segmentation"]


def world_batch(world: Any, length: int, height: int, width: int, clips: int = 2) -> tuple[Tensor, dict[str, Tensor]]:
    """A batch as `PackedClips.batch` makes it."""
    source = WorldClips(world, "train", clips=clips, height=height, width=width)
    shown = [source.clip(index, length) for index in range(clips)]
    frames = normalise(torch.from_numpy(np.stack([clip.frames for clip in shown])))
    return frames, {
        name: torch.from_numpy(np.stack([clip.targets[name] for clip in shown])) for name in shown[0].targets
    }


def mirrored(array: Array, flip: bool) -> Array:
    return array[..., ::-1] if flip else array
