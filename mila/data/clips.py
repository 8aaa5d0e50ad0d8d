"""A clip: consecutive frames that end at the annotated frame. The one idea that every data set and model shares.

With keyframe interval K and offset o in 0..K-1 the last keyframe lies o frames before the annotated one; frame i is a
keyframe when (i - key) mod K == 0. *History* is how many frames before that keyframe are fed as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from mila.tasks import Suite

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device


@dataclass(frozen=True)
class Clip:
    """Consecutive frames and the targets of the last one.

    Attributes:
        frames: uint8 RGB `[T, 3, H, W]`; the last frame is the annotated one.
        targets: by task name, as `mila.tasks` lays down: `segmentation` int64 `[H, W]`, `depth` float32 `[1, H, W]`,
            `normals` float32 `[3, H, W]`, `flow` float32 `[2, H, W]`.
    """

    frames: npt.NDArray[np.uint8]
    targets: Mapping[str, npt.NDArray[Any]]


class ClipSource(Protocol):
    """A split of a data set, read or rendered clip by clip.

    Readers of files take a last argument `problems`, a list: with it, what is wrong with single items (a missing file,
    a name that is not the official one) is appended to it, one sentence each, and the item is left out. Without it such
    a thing raises `UserError`, as does a folder that is missing as a whole in either case.

    Attributes:
        height, width: size of frames and targets, pixels.
    """

    height: int
    width: int

    @property
    def suite(self) -> Suite:
        """The tasks it has targets for."""
        ...

    def __len__(self) -> int: ...

    def clip(self, index: int, length: int) -> Clip:
        """`length` consecutive frames that end at annotated frame `index`; the same for every call."""
        ...

    def check(self, length: int, problems: list[str] | None = None) -> None:
        """`UserError` where a clip of `length` frames cannot be made, as far as the files' names tell.

        With `problems`, what single items lack for it is appended there instead.
        """
        ...

    def files(self, index: int) -> Sequence[Path]:
        """Every file that clip `index` may be read from; none where it is rendered."""
        ...

    def manifest(self) -> dict[str, Any]:
        """What identifies the data (JSON): it enters the hash of every stage that reads it, and the report.

        Under `note` what the data are, and under `warnings`, where there is reason for one, what may be wrong with a
        split as a whole.
        """
        ...


def modules_of(source: ClipSource) -> tuple[str, ...]:
    """The Python modules whose code makes the clips, and paths of users' files that do."""
    file = getattr(source, "file", None)
    return (type(source).__module__, *([] if file is None else [str(file)]))


MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's channel statistics, which torchvision's weights expect."""


def normalise(frames: Tensor) -> Tensor:
    """uint8 RGB `[..., 3, H, W]` to what every model takes: float32, ImageNet mean and deviation."""
    import torch  # whatever packs, inspects or plans does without

    scale, shift = _scale_and_shift(frames.device)
    values = frames.float()
    # In place where `float` has made a copy: a batch of video is large.
    return torch.addcmul(shift, values, scale, out=values if values is not frames else None)


@lru_cache(maxsize=16)
def _scale_and_shift(device: Device) -> tuple[Tensor, Tensor]:
    """By which `normalise` multiplies values of 0..255, and what it adds; made once, as to copy them is to wait."""
    import torch

    with torch.inference_mode(False):
        scale = torch.tensor(STD, device=device).mul(255.0).reciprocal()[:, None, None]
        shift = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)], device=device)[:, None, None]
    return scale, shift


def denormalise(frames: Tensor) -> Tensor:
    """What `normalise` made, `[..., 3, H, W]`, back to RGB in 0..1, float32."""
    import torch

    scale, shift = (torch.tensor(values, device=frames.device)[:, None, None] for values in (STD, MEAN))
    return torch.addcmul(shift, frames, scale)


def frames_needed(offset: int, history: int) -> int:
    """Length of the clip with the last keyframe `offset` frames before its end and `history` frames before that."""
    return history + offset + 1
