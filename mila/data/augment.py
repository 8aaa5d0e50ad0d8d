"""Augmentation of clips by named protocol: zoom into a window, horizontal flip, colour jitter.

Every clip of a batch has a transform of its own, and all its frames have the same one: motion within the clip stays
what a camera could have seen.

Zoom by s: a window of H / s x W / s pixels is resized back to H x W. There are two readings of the result.

*The focal length is s times longer.* This is exact: metric depth and normals do not change, nor does disparity in the
units of the original camera. But a network does not know the focal length.

*What looks s times larger is s times nearer.* With one camera, this is the only mapping from appearance to depth that a
network can learn, and it is the field's convention. Protocol `default` takes it:

- Metric depth is divided by s.
- Disparity, baseline x focal length / depth in the units of the original camera, is multiplied by s. The stored value
  is (256 d + 1) / 65535 (notes 2.3 and 3.1); d is what is multiplied. It may exceed 1, the nearest that a PNG can say.
- Optical flow in pixels is multiplied by s, as in the first reading.
- Normals are left as they are, which is exact in the first reading alone. The surface at depth / s is compressed along
  the optical axis, and with a centred window its normals are proportional to (n_x, n_y, s n_z): up to
  atan(sqrt(s)) - atan(1 / sqrt(s)) away, 11.5 degrees at s = 1.5. With random windows in *rooms* the mean angle is
  3.6 degrees at s = 1.2 and 9.0 at s = 1.5. They are left because the slant that shading and texture show does not
  change with zoom, and because the field leaves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mila.data.clips import denormalise, normalise
from mila.names import AugmentationName
from mila.tasks import Suite

DepthKind = Literal["metric", "disparity"]

_INFINITELY_FAR = 1 / 65535
"""Stored value of disparity 0."""


@dataclass(frozen=True)
class Augmentation:
    """Parameters of a protocol.

    Attributes:
        scales: the zoom is drawn from these, each as likely; the position of its window is uniform.
        flip: probability of a horizontal flip.
        jitter: brightness, contrast and saturation factors are uniform in 1 - jitter .. 1 + jitter.
        disparity_under_zoom: what becomes of disparity: `"divided"` by s as if it were depth, or `"multiplied"` by s.
    """

    scales: tuple[float, ...]
    flip: float
    jitter: float
    disparity_under_zoom: Literal["divided", "multiplied"]


PROTOCOLS: Mapping[str, Augmentation | None] = {
    "none": None,
    "mtan": Augmentation((1.0, 1.2, 1.5), 0.5, 0.0, "divided"),
    "default": Augmentation((1.0, 1.2, 1.5), 0.5, 0.2, "multiplied"),
}
"""The protocols.

`none`: what MTAN's authors trained with, by their code's own word.

`mtan`: the optional augmentation of MTAN's public code: scale 1, 1.2 or 1.5, flip with probability 0.5, depth / s. That
code has it for NYUv2 alone; projects that took it over for Cityscapes divide the disparity by s too, and so does this.
Two details differ. Its windows are rounded to whole pixels; these are not, so the zoom is s exactly. It samples labels
and depth half a pixel, on average, away from where it samples the image, and blends normals across edges; here all are
sampled at the same points, and normals stay unit vectors.

`default`: the same geometry with the right disparity, and a mild colour jitter. At the same (seed, step) its zooms and
flips are those of `mtan`, so that a comparison shows the difference and nothing else.
"""


def depth_kind(suite: Suite) -> DepthKind:
    """What the suite's depth targets are, by the unit that its task states.

    Raises:
        KeyError: the suite has no depth.
        ValueError: the unit is neither metres nor disparity.
    """
    unit = suite.task("depth").metrics[0].unit
    if unit.startswith("m "):
        return "metric"
    if unit.startswith("disparity"):
        return "disparity"
    raise ValueError(f"suite {suite.name!r} states its depth in {unit!r}, which is neither metres nor disparity")


def augment(
    frames: Tensor,
    targets: Mapping[str, Tensor],
    suite: Suite,
    protocol: AugmentationName,
    seed: int,
    step: int,
    first: int = 0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A batch as `PackedClips.batch` returns it, transformed clip by clip.

    Frames are sampled bilinearly, targets by nearest neighbour, at the same points; what is not annotated stays so. The
    transform of a clip is a function of (protocol, seed, step) and its place in the batch alone.

    Args:
        frames: normalised float32 `[B, T, 3, H, W]`; not changed.
        targets: of the last frames, by task name, as `mila.tasks` lays down with a batch dimension; not changed.
        suite: of the targets; says whether depth is metres or disparity.
        protocol: a name in `PROTOCOLS`.
        seed: of the run.
        step: of the training.
        first: place in the batch of the first clip given, where these are a part of a batch.

    Returns:
        Frames and targets of the same shapes and types; with `none` those given.

    Raises:
        ValueError: an unknown protocol, or depth of an unknown kind.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown augmentation {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    augmentation = PROTOCOLS[protocol]
    if augmentation is None:
        return frames, dict(targets)
    moved, clips = torch.empty_like(frames), list[dict[str, Tensor]]()
    for place, clip in enumerate(frames):
        draw = _draw(augmentation, np.random.default_rng((seed, 2, step, first + place)))
        rows = _axis(clip.shape[-2], draw.scale, draw.top, False, frames.device)
        columns = _axis(clip.shape[-1], draw.scale, draw.left, draw.flip, frames.device)
        moved[place] = _jitter(_bilinear(_bilinear(clip, rows, -2), columns, -1), draw.factors)
        nearest = {
            name: target[place].index_select(-2, rows.nearest).index_select(-1, columns.nearest)
            for name, target in targets.items()
        }
        clips.append(_values(nearest, suite, augmentation, draw))
    return moved, {name: torch.stack([clip[name] for clip in clips]) for name in targets}


class _Draw(NamedTuple):
    """A clip's transform; the window lies at `top` and `left` (0..1) of the way that it can go inside the image."""

    scale: float
    top: float
    left: float
    flip: bool
    factors: list[float]  # brightness, contrast, saturation; empty: no jitter


def _draw(augmentation: Augmentation, rng: np.random.Generator) -> _Draw:
    scale = augmentation.scales[rng.integers(len(augmentation.scales))]
    top, left, flip = rng.random(3).tolist()
    jitter = augmentation.jitter
    # Last, so that a protocol with the same geometry and no jitter draws the same geometry.
    factors = rng.uniform(1 - jitter, 1 + jitter, 3).tolist() if jitter else []
    return _Draw(scale, top, left, flip < augmentation.flip, factors)


class _Axis(NamedTuple):
    """Where each output row or column comes from: the nearest pixel; two neighbours and the second one's weight."""

    nearest: Tensor
    low: Tensor
    high: Tensor
    weight: Tensor


def _axis(size: int, scale: float, start: float, flip: bool, device: torch.device) -> _Axis:
    # From the image's edge, in pixels: the centre of pixel i lies at i + 1/2.
    position = start * (size - size / scale) + (np.arange(size) + 0.5) / scale
    if flip:
        position = position[::-1]
    low = np.floor(position - 0.5)
    weight = (position - 0.5 - low).astype(np.float32)
    pixels = (np.floor(position), low.clip(0), (low + 1).clip(max=size - 1))
    nearest, low_pixel, high_pixel = (torch.from_numpy(p.astype(np.int64)).to(device) for p in pixels)
    return _Axis(nearest, low_pixel, high_pixel, torch.from_numpy(weight).to(device))


def _bilinear(frames: Tensor, axis: _Axis, dim: Literal[-2, -1]) -> Tensor:
    weight = axis.weight[:, None] if dim == -2 else axis.weight
    return frames.index_select(dim, axis.low).lerp_(frames.index_select(dim, axis.high), weight)


def _jitter(frames: Tensor, factors: list[float]) -> Tensor:
    """Normalised frames `[T, 3, H, W]`, jittered as RGB in 0..1."""
    if not factors:
        return frames
    # Takes seconds to import, and no other protocol needs it.
    from torchvision.transforms.v2.functional import adjust_brightness, adjust_contrast, adjust_saturation

    length, _, height, width = frames.shape
    # The clip as one tall image: contrast is about the mean grey, which must not differ from frame to frame.
    rgb = denormalise(frames).transpose(0, 1).flatten(1, 2)  # [3, T * H, W]
    for adjust, factor in zip((adjust_brightness, adjust_contrast, adjust_saturation), factors, strict=True):
        rgb = adjust(rgb, factor)
    jittered = rgb.reshape(3, length, height, width).transpose(0, 1)  # [T, 3, H, W]
    return normalise(jittered * 255)


def _values(targets: dict[str, Tensor], suite: Suite, augmentation: Augmentation, draw: _Draw) -> dict[str, Tensor]:
    """The targets of a clip, already sampled, with the values that they have after the transform."""
    scale, sign = draw.scale, -1.0 if draw.flip else 1.0
    changed = dict(targets)
    if "depth" in targets:
        depth = targets["depth"]
        if depth_kind(suite) == "metric" or augmentation.disparity_under_zoom == "divided":
            changed["depth"] = depth / scale
        else:
            changed["depth"] = torch.where(depth > 0, (depth - _INFINITELY_FAR) * scale + _INFINITELY_FAR, depth)
    if "normals" in targets:
        changed["normals"] = targets["normals"] * targets["normals"].new_tensor([sign, 1.0, 1.0])[:, None, None]
    if "flow" in targets:
        changed["flow"] = targets["flow"] * targets["flow"].new_tensor([sign * scale, scale])[:, None, None]
    return changed
