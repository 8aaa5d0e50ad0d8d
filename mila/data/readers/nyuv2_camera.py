"""What every layout of NYUd v2 shares: the colour camera, its distortion, and the targets of an annotated image.

The camera is that of NYUd v2, unless the data set's folder holds a `camera.json` that states another one, with all of
these keys, in pixels of the images as they are on disk:

    {"width": 640, "height": 480, "fx": 518.86, "fy": 519.47, "cx": 325.58, "cy": 253.74,
     "undistorted": true, "border": 0}

They are the attributes of `ColourCamera`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mila.common.files import read_text
from mila.data.normals import normals_from_depth
from mila.data.readers.images import nearest
from mila.data.readers.nyuv2_normals import read_normals
from mila.errors import UserError
from mila.tasks import VOID

CAMERA_FILE = "camera.json"

DISTORTION = (0.20796615, -0.58613826, 0.00072231364, 0.0010479627, 0.49856987)
"""k1, k2, p1, p2, k3 of the colour camera's lens (the data set's toolbox), in the model of Brown and Conrady."""

WHITE_BORDER = 8
"""Pixels on each side where the official images hold no picture: projecting the depth camera onto the colour camera
and undistorting leave a white frame 5 to 7 pixels wide, and depth there is only in-painted. No target counts there."""


@dataclass(frozen=True)
class ColourCamera:
    """The pinhole camera of a data set's colour images, to which depth is aligned.

    Attributes:
        width: width in pixels of the images that the numbers below are for.
        height: their height.
        fx: focal length along x, pixels.
        fy: focal length along y, pixels.
        cx: principal point, pixels; the centre of the first pixel is 0.
        cy: principal point, pixels.
        undistorted: whether raw frames are without lens distortion, as the labelled images are; else they have that of
            NYUd v2 (`DISTORTION`) and are undistorted.
        border: width in pixels of the frame that holds no picture and counts in no target; 0 for images without one.
        file: the `camera.json` that states it; None: the camera of NYUd v2, scaled to the size of any image.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    undistorted: bool
    border: int
    file: Path | None = None

    def as_json(self) -> dict[str, float]:
        """What `camera.json` holds."""
        return {key: getattr(self, key) for key in _KEYS}

    @property
    def name(self) -> str:
        """Where the camera comes from, for a manifest: `camera.json` or `NYUd v2`."""
        return "NYUd v2" if self.file is None else CAMERA_FILE

    @property
    def notes(self) -> list[str]:
        """What a manifest's note says of a camera that is not NYUd v2's: its numbers, so that they count as data."""
        if self.file is None:
            return []
        numbers = " ".join(f"{key} {getattr(self, key)!r}" for key in ("fx", "fy", "cx", "cy"))
        return [f"{CAMERA_FILE} at {self.width} x {self.height}: {numbers}"]

    @property
    def files(self) -> list[Path]:
        """The camera file, if there is one."""
        return [] if self.file is None else [self.file]

    def at(self, height: int, width: int) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels of the whole camera image at `height` x `width`; the first pixel's centre is 0."""
        scale_y, scale_x = height / self.height, width / self.width
        cx, cy = (self.cx + 0.5) * scale_x - 0.5, (self.cy + 0.5) * scale_y - 0.5
        return self.fx * scale_x, self.fy * scale_y, cx, cy

    def check_size(self, path: Path, size: tuple[int, int]) -> None:
        """`UserError` where images of `size` (height, width) are not those that the camera file is for."""
        if self.file is not None and size != (self.height, self.width):
            raise UserError(
                f"{path} is {size[1]} x {size[0]} pixels, but {self.file} states a camera of {self.width} x "
                f"{self.height}; state there the camera of the images as they are."
            )


NYUD_V2 = ColourCamera(640, 480, 518.86, 519.47, 325.58, 253.74, undistorted=False, border=WHITE_BORDER)
"""The colour camera of NYUd v2 (the data set's toolbox)."""


def read_camera(root: Path, border: int | None) -> ColourCamera:
    """The camera of the data set in `root`: what its `camera.json` states, or else that of NYUd v2.

    Args:
        root: the data set's folder.
        border: where given, taken instead of the camera's own.

    Raises:
        UserError: the file is no JSON object with exactly the keys above and values that make sense, or `border` makes
            none.
    """
    if border is not None and border < 0:
        raise UserError(f"A border of {border} pixels is not possible; give 0 or more.")
    path = root / CAMERA_FILE
    try:
        stated = json.loads(read_text(path))
    except FileNotFoundError:
        camera = NYUD_V2
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read as JSON ({error}); correct it, or remove it for the camera of NYUd v2."
        ) from error
    else:
        camera = _camera(path, stated)
    return camera if border is None else replace(camera, border=border)


_FOCAL = (0.05, 100)
"""Focal lengths that there are, in sides of the image."""
_KEYS = ("width", "height", "fx", "fy", "cx", "cy", "undistorted", "border")


def _camera(path: Path, stated: Any) -> ColourCamera:
    expected = f"a camera has exactly {', '.join(_KEYS)}; correct it, or remove it for the camera of NYUd v2."
    if not isinstance(stated, dict):
        raise UserError(f"{path} holds no JSON object, but {expected}")
    for what, keys in (("no", set(_KEYS) - set(stated)), ("the unknown key", set(stated) - set(_KEYS))):
        if keys:
            raise UserError(f"{path} has {what} {min(keys)[:40]!r}, but {expected}")

    def number(key: str, *, whole: bool = False, positive: bool = True) -> float:
        value = stated[key]
        fits = type(value) is int or (type(value) is float and not whole and math.isfinite(value))
        if not fits or abs(value) > 1e9 or (positive and value <= 0):
            kind = ("positive " if positive else "") + ("whole " if whole else "")
            raise _wrong(path, key, value, f"a {kind}number of pixels")
        return float(value)

    width, height = (int(number(key, whole=True)) for key in ("width", "height"))
    fx, fy, cx, cy = number("fx"), number("fy"), number("cx", positive=False), number("cy", positive=False)
    for key, length, side in (("fx", fx, width), ("fy", fy, height)):
        if not _FOCAL[0] * side <= length <= _FOCAL[1] * side:
            raise _wrong(path, key, stated[key], f"a focal length in pixels of an image of {width} x {height}")
    for key, centre, side in (("cx", cx, width), ("cy", cy, height)):
        if not -side <= centre <= 2 * side:
            raise _wrong(path, key, stated[key], f"a principal point in pixels of an image of {width} x {height}")
    border, undistorted = stated["border"], stated["undistorted"]
    if type(undistorted) is not bool:
        raise _wrong(path, "undistorted", undistorted, "true or false")
    if type(border) is not int or not 0 <= 2 * border < min(width, height):
        raise _wrong(path, "border", border, "a whole number from 0 to less than half the image")
    return ColourCamera(width, height, fx, fy, cx, cy, undistorted, border, path)


def _wrong(path: Path, key: str, value: Any, expected: str) -> UserError:
    return UserError(f"{path} has {json.dumps(value)[:40]} for {key}, but {expected} is expected; correct it.")


def camera_at(height: int, width: int) -> tuple[float, float, float, float]:
    """`ColourCamera.at` of the camera of NYUd v2."""
    return NYUD_V2.at(height, width)


def check_split(split: str, splits: tuple[str, ...] = ("train", "test")) -> None:
    """`UserError` where NYUd v2 has no such split."""
    if split not in splits:
        raise UserError(f"NYUd v2 has no split {split!r}; choose train or test.")


def targets_of(
    labels: npt.NDArray[np.int64] | None,
    depth: npt.NDArray[np.float32] | None,
    *,
    size: tuple[int, int],
    depth_step: float,
    camera: ColourCamera,
    height: int,
    width: int,
    given: Path | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """The targets of an annotated image at `height` x `width`, sampled and never mixed: those that there are.

    Args:
        labels: `[H, W]`, class index or `VOID`, native size; None without any.
        depth: `[H, W]`, metres, 0 missing, native size; None without any.
        size: native size of the image, `(H, W)`.
        depth_step: metres between two values that the depth's source can store; 0 for floating point.
        camera: the camera of the image; its border, in native pixels, counts in no target.
        height: height of the targets, pixels.
        width: width of the targets, pixels.
        given: the image of its normals, see `mila.data.readers.nyuv2_normals`; None: they are computed from depth.
    """
    rows, columns = size
    border = camera.border
    inside = np.zeros((rows, columns), np.bool_)
    inside[border : rows - border, border : columns - border] = True
    fx, fy, cx, cy = camera.at(rows, columns)
    found: dict[str, npt.NDArray[Any]] = {}
    if labels is not None:
        found["segmentation"] = nearest(np.where(inside, labels, VOID), height, width)
    if depth is not None:
        depth = np.where(inside, depth, np.float32(0))
        found["depth"] = nearest(depth[None], height, width)
    if given is not None:
        normals = read_normals(given, ((np.arange(columns) - cx) / fx, (np.arange(rows) - cy) / fy)) * inside
        found["normals"] = nearest(normals, height, width)
    elif depth is not None:
        found["normals"] = nearest(normals_from_depth(depth, fx, fy, cx, cy, depth_step=depth_step), height, width)
    return found


def undistort(image: npt.NDArray[np.uint8], camera: ColourCamera = NYUD_V2) -> npt.NDArray[np.uint8]:
    """A raw colour image `[H, W, 3]` as the labelled images are: without lens distortion, white where there is nothing.

    Bilinear. The toolbox undistorts the labelled images with the same parameters, so that the last frame of a clip
    fits those before it to within the interpolation.
    """
    source, weights, outside = _undistortion(camera, image.shape[0], image.shape[1])
    flat = image.reshape(-1, 3)
    mixed = np.zeros(flat.shape, np.float32)  # [H * W, 3]
    for where, weight in zip(source, weights, strict=True):
        mixed += weight[:, None] * flat[where]
    mixed[outside] = 255.0
    return np.rint(mixed).astype(np.uint8).reshape(image.shape)


@lru_cache(maxsize=2)
def _undistortion(
    camera: ColourCamera, height: int, width: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The four source pixels `[4, H * W]` of each pixel, their weights `[4, H * W]`, and where there is no source."""
    fx, fy, cx, cy = camera.at(height, width)
    k1, k2, p1, p2, k3 = DISTORTION
    v, u = np.mgrid[:height, :width]
    x, y = (u.ravel() - cx) / fx, (v.ravel() - cy) / fy
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    source_x = fx * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + cx
    source_y = fy * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + cy
    outside = (source_x < 0) | (source_x > width - 1) | (source_y < 0) | (source_y > height - 1)
    left = np.clip(np.floor(source_x).astype(np.intp), 0, max(width - 2, 0))
    top = np.clip(np.floor(source_y).astype(np.intp), 0, max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = np.clip(source_x - left, 0, 1), np.clip(source_y - top, 0, 1)
    source = np.stack([top * width + left, top * width + right, bottom * width + left, bottom * width + right])
    weights = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    return source, weights.astype(np.float32), outside
