"""What every layout of NYUd v2 shares: the colour camera, its distortion, and the targets of an annotated image."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mila.data.images import nearest
from mila.data.normals import normals_from_depth
from mila.errors import UserError
from mila.tasks import VOID

CAMERA = (518.86, 519.47, 325.58, 253.74)
"""fx, fy, cx, cy of the colour camera in pixels at 640 x 480 (the data set's toolbox); scaled to other sizes."""

CAMERA_SIZE = (480, 640)

DISTORTION = (0.20796615, -0.58613826, 0.00072231364, 0.0010479627, 0.49856987)
"""k1, k2, p1, p2, k3 of the colour camera's lens (the data set's toolbox), in the model of Brown and Conrady."""

WHITE_BORDER = 8
"""Pixels on each side where the official images hold no picture: projecting the depth camera onto the colour camera
and undistorting leave a white frame 5 to 7 pixels wide, and depth there is only in-painted. No target counts there."""

_NORMALS_HEIGHT = 240  # depth is subsampled to about this many rows: the sensor resolves no more


def camera_at(height: int, width: int) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels of the whole camera image at `height` x `width`; the first pixel's centre is 0."""
    fx, fy, cx, cy = CAMERA
    down, across = height / CAMERA_SIZE[0], width / CAMERA_SIZE[1]
    return fx * across, fy * down, (cx + 0.5) * across - 0.5, (cy + 0.5) * down - 0.5


def check_split(split: str) -> None:
    """`UserError` where NYUd v2 has no such split."""
    if split not in ("train", "test"):
        raise UserError(f"NYUd v2 has no split {split!r}; choose train or test.")


def check_border(border: int) -> None:
    """`UserError` where a frame of `border` pixels without targets is not possible."""
    if border < 0:
        raise UserError(f"A border of {border} pixels is not possible; give 0 or more.")


def targets_of(
    labels: npt.NDArray[np.int64],
    depth: npt.NDArray[np.float32],
    *,
    depth_step: float,
    border: int,
    height: int,
    width: int,
) -> dict[str, npt.NDArray[Any]]:
    """The three targets of an annotated image at `height` x `width`, sampled and never mixed.

    Args:
        labels: `[H, W]`, class index or `VOID`, native size.
        depth: `[H, W]`, metres, 0 missing, native size.
        depth_step: metres between two values that the depth's source can store; 0 for floating point.
        border: width in native pixels of the frame without targets.
        height: height of the targets, pixels.
        width: width of the targets, pixels.
    """
    rows, columns = depth.shape
    inside = np.zeros((rows, columns), np.bool_)
    inside[border : rows - border, border : columns - border] = True
    labels, depth = np.where(inside, labels, VOID), np.where(inside, depth, np.float32(0))
    return {
        "segmentation": nearest(labels, height, width),
        "depth": nearest(depth[None], height, width),
        "normals": nearest(_normals(depth, depth_step), height, width),
    }


def undistort(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A raw colour image `[H, W, 3]` as the labelled images are: without lens distortion, white where there is nothing.

    Bilinear. The toolbox undistorts the labelled images with the same parameters, so that the last frame of a clip
    fits those before it to within the interpolation.
    """
    source, weights, outside = _undistortion(image.shape[0], image.shape[1])
    flat = image.reshape(-1, 3)
    mixed = np.zeros(flat.shape, np.float32)  # [H * W, 3]
    for where, weight in zip(source, weights, strict=True):
        mixed += weight[:, None] * flat[where]
    mixed[outside] = 255.0
    return np.rint(mixed).astype(np.uint8).reshape(image.shape)


@lru_cache(maxsize=2)
def _undistortion(
    height: int, width: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The four source pixels `[4, H * W]` of each pixel, their weights `[4, H * W]`, and where there is no source."""
    fx, fy, cx, cy = camera_at(height, width)
    k1, k2, p1, p2, k3 = DISTORTION
    v, u = np.mgrid[:height, :width]
    x, y = (u.ravel() - cx) / fx, (v.ravel() - cy) / fy
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    across = fx * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + cx
    down = fy * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + cy
    outside = (across < 0) | (across > width - 1) | (down < 0) | (down > height - 1)
    left = np.clip(np.floor(across).astype(np.intp), 0, max(width - 2, 0))
    top = np.clip(np.floor(down).astype(np.intp), 0, max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = np.clip(across - left, 0, 1), np.clip(down - top, 0, 1)
    source = np.stack([top * width + left, top * width + right, bottom * width + left, bottom * width + right])
    weights = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    return source, weights.astype(np.float32), outside


def _normals(depth: npt.NDArray[np.float32], step: float) -> npt.NDArray[np.float32]:
    """`[3, H / s, W / s]` from every s-th pixel of each axis, s = 2 at 480 rows."""
    fx, fy, cx, cy = camera_at(depth.shape[0], depth.shape[1])
    stride = max(1, depth.shape[0] // _NORMALS_HEIGHT)
    return normals_from_depth(
        depth[::stride, ::stride], fx / stride, fy / stride, cx / stride, cy / stride, depth_step=step
    )
