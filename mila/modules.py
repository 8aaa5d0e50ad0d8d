"""The light parts that every model shares: squeeze-excitation, fusion, task decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from mila.backbone import OUTPUT_STRIDE
from mila.kernels.reference import wide
from mila.names import Norm
from mila.tasks import Suite, TaskName


def squeeze_excitation(channels: int, reduction: int = 16) -> nn.Module:
    """The SE block of a task (Section 3.1): channel attention from the global average; `[B, C, h, w]` to the same.

    The paper does not name the reduction; 16 is the field's default (note 4.9).
    """
    block: nn.Module = SqueezeExcitation(channels, max(1, channels // reduction))
    return block


class Fusion(nn.Module):
    """One map from several: concatenation, 3x3 convolution, batch norm, ReLU (architecture A, note 1.5).

    Args:
        channels: C of every map that comes in, and of the one that goes out.
        maps: how many maps are fused.
        layers: how many such convolutions follow each other.
    """

    def __init__(self, channels: int, maps: int, layers: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for given in (maps, *[1] * (layers - 1)):
            self.layers.append(nn.Conv2d(given * channels, channels, 3, padding=1, bias=False))
            self.layers.append(nn.BatchNorm2d(channels))
            self.layers.append(nn.ReLU())

    def forward(self, *maps: Tensor) -> Tensor:
        """`maps` tensors `[B, C, h, w]` to one `[B, C, h, w]`."""
        fused: Tensor = self.layers(torch.cat(maps, 1))
        return fused


class TaskDecoder(nn.Module):
    """Three convolutions, 3x3, 1x1, 1x1, with 512 and 256 features in between (Section 4.1).

    Args:
        channels: features that come in.
        out: channels of the prediction.
        width: factor on 512 and 256; 1 is the paper's.
        norm: after the first two convolutions. `"none"`: the paper names three convolutions and nothing else.
            `"batch"`: running statistics that keyframes and non-keyframes share fit neither at test time. `"group"`
            (16 channels a group): of use in short trainings.
    """

    def __init__(self, channels: int, out: int, width: float = 1.0, norm: Norm = "none") -> None:
        super().__init__()
        wide, narrow = max(1, round(512 * width)), max(1, round(256 * width))

        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 3, padding=1, bias=norm == "none"),
            *_norm(norm, wide),
            nn.ReLU(),
            nn.Conv2d(wide, narrow, 1, bias=norm == "none"),
            *_norm(norm, narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, out, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, h, w]` to `[B, out, h, w]`, at the features' resolution."""
        scores: Tensor = self.layers(features)
        return scores


def _norm(norm: Norm, features: int) -> list[nn.Module]:
    if norm == "none":
        return []
    if norm == "batch":
        return [nn.BatchNorm2d(features)]
    if norm == "group":
        return [nn.GroupNorm(math.gcd(max(1, features // 16), features), features)]
    raise ValueError(f"a decoder's norm is 'none', 'batch' or 'group', not {norm!r}")


class TaskDecoders(nn.ModuleDict):
    """One `TaskDecoder` a task, and the way from their outputs to predictions at the size of the image.

    Predictions: `segmentation` are logits `[B, classes, H, W]`, `depth` is `[B, 1, H, W]` in the unit of the suite,
    `normals` are unit vectors `[B, 3, H, W]`.
    """

    def __init__(self, suite: Suite, channels: int, width: float = 1.0, norm: Norm = "none") -> None:
        super().__init__({task.name: TaskDecoder(channels, task.channels, width, norm) for task in suite.tasks})

    def predict(self, features: Mapping[TaskName, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """Decode each task's features `[B, C, h, w]` and bring the result to `size` = (height, width)."""
        return to_predictions({name: self[name](maps) for name, maps in features.items()}, size)


def to_predictions(scores: Mapping[TaskName, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Outputs of decoders, `[B, C, h, w]` by task, to predictions at `size` = (height, width), float32 at least."""
    predictions: dict[str, Tensor] = {}
    for name, score in scores.items():
        prediction = upsample(wide(score), size)
        predictions[name] = _unit(prediction) if name == "normals" else prediction
    return predictions


def _unit(x: Tensor) -> Tensor:
    """`F.normalize` over dimension 1, without its slow norm over a strided dimension."""
    return x * x.square().sum(1, keepdim=True).clamp(min=1e-24).rsqrt()


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, from the features' grid to the image's, `[B, C, h, w]` to `[B, C, height, width]`.

    The ceil-mode backbone puts feature i on pixel 8 i exactly, so the map is stretched to 8 (h - 1) + 1 pixels with
    aligned corners and cut to size; the last feature is repeated where the image reaches past it.

    Where a gradient is wanted, rows and columns are stretched by two products of matrices, the same to rounding: their
    gradient is two more, where PyTorch's own is scattered pixel by pixel (slowly on a CPU, in any order on a GPU).
    """
    height, width = size
    lacking = [max(0, -(-(n - 1) // OUTPUT_STRIDE) + 1 - have) for n, have in zip(size, x.shape[-2:], strict=True)]
    if any(lacking):
        x = F.pad(x, (0, lacking[1], 0, lacking[0]), mode="replicate")
    if x.requires_grad:
        rows, columns = (_stretched(n, wanted, x) for n, wanted in zip(x.shape[-2:], size, strict=True))
        with torch.autocast(x.device.type, enabled=False):
            return rows.T @ (x.contiguous() @ columns)
    full = [_full(n) for n in x.shape[-2:]]
    return F.interpolate(x, size=full, mode="bilinear", align_corners=True)[..., :height, :width]


def _full(features: int) -> int:
    """Pixels from the first of so many features in a row to the last."""
    return OUTPUT_STRIDE * (features - 1) + 1


def _stretched(features: int, pixels: int, like: Tensor) -> Tensor:
    """With which weight each of `features` in a row counts for each of `pixels` in it: `[features, pixels]`."""
    one_each = torch.eye(features, dtype=like.dtype, device=like.device)[None]
    return F.interpolate(one_each, size=_full(features), mode="linear", align_corners=True)[0, :, :pixels]
