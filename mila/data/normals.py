"""Surface normals from a depth map: the plane through the points around each pixel.

The normals that the field trains on for NYUd v2 are those of the data set's toolbox (Silberman et al., ECCV 2012): a
plane is fitted to a sample of 9 x 9 pixels up to 9 pixels away, and points whose depth differs by more than about 5 %
are left out, so that no plane runs over the edge of an object. This is that fit, at the same angle for any camera.
Where too few points are left for a plane, all of them count.

A plane seen by a pinhole camera is linear in *inverse* depth: with u = (x - cx) / fx and v = (y - cy) / fy, the
points of n . X = d satisfy 1 / Z = (n / d) . (u, v, 1). A least-squares fit 1 / Z = a u + b v + c is therefore exact
on planes, however slanted, and its normal is proportional to (a, b, c). The places of the sample are the same for all
pixels, so the sums of the fit are two matrix products: of constants with the mask of points that count, and with their
inverse depth.

Depth that is quantised to centimetres says nothing of a slant within one step. There, the largest of several samples is
taken whose points lie on a plane as nearly as the quantisation alone would put them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mila.common.types import FloatArray

DEPTH_RANGE = (1e-3, 1e4)
"""Metres; depth outside is no measurement."""

SAMPLE_ANGLE = 9 / 518.7
"""How far the sample reaches, in units of u (radians about the optical axis): 9 pixels of NYUd v2's camera."""

DEPTH_DIFFERENCE = 0.05
"""Points whose depth differs by a larger share belong to something else; for a wider sample it is as much larger."""

_MIN_REACH = 2  # pixels: below that a sample is too small to tell a plane from noise
_MIN_POINTS = 6  # of the 81; three would make a plane of anything
_MIN_SPREAD = 1e-3  # of the points, against that of the whole sample: points on a line fix no plane
_ANY_DIFFERENCE = 1e9  # with which every point counts
_BLOCK = 2**13  # pixels that are fitted at once, which keeps the masks in the processor's cache

_WIDER = (10.0, 5.0, 2.5)  # of quantised depth: reaches that are tried, in units of the usual one
_WIDER_FILL = 0.5  # share of such a sample that must count
_WIDER_RESIDUAL = 1.1  # what its residual may be, in standard deviations of the quantisation


@dataclass(frozen=True)
class _Fit:
    """Of each pixel: a, b, c of the plane `[3, H, W]`, the residual in metres, and the share of points that count."""

    plane: FloatArray
    residual: FloatArray
    fill: FloatArray


def normals_from_depth(
    depth: npt.ArrayLike,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    *,
    reach: int | None = None,
    depth_step: float = 0.0,
) -> npt.NDArray[np.float32]:
    """Unit surface normals of a depth map, in the camera frame (x right, y down, z forward), facing the camera.

    Args:
        depth: `[H, W]`, metres along the optical axis; 0, not finite, or outside `DEPTH_RANGE` = missing.
        fx: focal length along x, pixels of this depth map.
        fy: focal length along y, pixels.
        cx: principal point, pixels; the centre of the first pixel is 0.
        cy: principal point, pixels.
        reach: how far the sample goes, pixels; `None`: `SAMPLE_ANGLE` times the focal length.
        depth_step: quantisation step of the depth, metres; 0 for depth that is as good as continuous.

    Returns:
        `[3, H, W]`; the zero vector where the pixel has no depth or its surroundings too little for a plane.

    Raises:
        ValueError: `depth` is not two-dimensional, or a focal length or the reach is not positive.
    """
    z = np.asarray(depth, dtype=np.float64)
    if z.ndim != 2:
        raise ValueError(f"depth has shape {z.shape}; expected [H, W]")
    if not (fx > 0 and fy > 0):
        raise ValueError(f"focal lengths are {fx} and {fy}; expected positive pixels")
    if reach is None:
        reach = max(_MIN_REACH, int(SAMPLE_ANGLE * (fx * fy) ** 0.5))
    if reach < 1:
        raise ValueError(f"the sample's reach is {reach}; expected positive pixels")
    z = np.where((z > DEPTH_RANGE[0]) & (z < DEPTH_RANGE[1]), z, 0.0)
    camera = (fx, fy, cx, cy)
    valid = z > 0
    plane = _fit_planes(z, valid, camera, reach, DEPTH_DIFFERENCE, depth_step).plane
    alone = valid & ~plane.any(0)
    if alone.any():
        np.copyto(plane, _fit_planes(z, alone, camera, reach, _ANY_DIFFERENCE, depth_step).plane, where=alone)
    if depth_step > 0:
        left = valid.copy()
        for wider in _WIDER:
            fit = _fit_planes(z, left, camera, round(reach * wider), DEPTH_DIFFERENCE * wider, depth_step)
            good = left & (fit.residual < _WIDER_RESIDUAL * depth_step / 12**0.5) & (fit.fill > _WIDER_FILL)
            np.copyto(plane, fit.plane, where=good)
            left &= ~good
    length = np.sqrt((plane * plane).sum(0))
    # a plane before the camera has positive inverse depth: the normal that faces the camera is that of -(a, b, c)
    return (plane * np.where(length > 0, -1 / np.where(length > 0, length, 1), 0)).astype(np.float32)


def _fit_planes(
    z: FloatArray,
    wanted: npt.NDArray[np.bool_],
    camera: tuple[float, float, float, float],
    reach: int,
    difference: float,
    depth_step: float,
) -> _Fit:
    """The planes of at least the wanted pixels; zero, with an infinite residual, where there is none."""
    fx, fy, cx, cy = camera
    height, width = z.shape
    places = _places(reach, even=DEPTH_DIFFERENCE < difference < _ANY_DIFFERENCE)
    x, y = (np.array(axis, np.float32) for axis in zip(*((dx / fx, dy / fy) for dy, dx in places), strict=True))
    sums = _sums(z, wanted, places, x, y, difference, depth_step)
    n, fill = np.maximum(sums[0], 1), sums[0] / len(places)
    mean_x, mean_y, xx, xy, yy, mean_w, xw, yw, ww = sums[1:] / n
    xx, xy, yy = xx - mean_x * mean_x, xy - mean_x * mean_y, yy - mean_y * mean_y
    xw, yw, ww = xw - mean_x * mean_w, yw - mean_y * mean_w, ww - mean_w * mean_w
    determinant = xx * yy - xy * xy
    usable = (z > 0) & (sums[0] >= _MIN_POINTS) & (determinant > _MIN_SPREAD * float((x * x).mean() * (y * y).mean()))
    determinant = np.where(usable, determinant, 1.0)
    a, b = (xw * yy - yw * xy) / determinant, (yw * xx - xw * xy) / determinant
    residual = np.where(usable, np.sqrt(np.maximum(ww - a * xw - b * yw, 0)) * z * z, np.inf)
    u, v = ((np.arange(width) - cx) / fx)[None, :], ((np.arange(height) - cy) / fy)[:, None]
    # the sums are about the pixel itself: its own u, v and inverse depth are taken back in here
    c = mean_w - a * mean_x - b * mean_y + 1 / np.where(z > 0, z, 1.0) - a * u - b * v
    return _Fit(np.where(usable, np.stack([a, b, c]), 0.0), residual, fill)


def _places(reach: int, *, even: bool) -> list[tuple[int, int]]:
    """(dy, dx) of the sample: up to 9 x 9 places, evenly spaced or, as in the toolbox, denser in the middle."""
    shares = (1 / 4, 2 / 4, 3 / 4, 1) if even else (1 / 9, 3 / 9, 6 / 9, 1)
    half = {int(reach * share + 1e-9) for share in shares} - {0}
    axis = sorted({0, *half, *(-step for step in half)})
    return [(dy, dx) for dy in axis for dx in axis]


def _sums(
    z: FloatArray,
    wanted: npt.NDArray[np.bool_],
    places: list[tuple[int, int]],
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    difference: float,
    depth_step: float,
) -> FloatArray:
    """Sums `[10, H, W]` over the points that count, relative to the pixel: 1, x, y, xx, xy, yy, w, xw, yw, ww.

    x, y are offsets in units of u and v, w of inverse depth. Single precision suffices, as all are differences. Rows
    near which nothing is wanted stay zero.
    """
    height, width = z.shape
    reach = max(dy for dy, _ in places)
    depth = np.pad(z.astype(np.float32), reach)
    inverse = np.where(depth > 0, 1 / np.where(depth > 0, depth, 1), 0).astype(np.float32)
    of_mask = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    sums = np.zeros((10, height, width))
    rows = max(1, _BLOCK // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        if not wanted[top:bottom].any():
            continue
        own = np.s_[top + reach : bottom + reach, reach : reach + width]
        tolerance = np.float32(difference) * depth[own] + np.float32(depth_step)
        mask = np.empty((len(places), bottom - top, width), np.float32)
        w = np.empty_like(mask)
        for k, (dy, dx) in enumerate(places):
            other = np.s_[top + reach + dy : bottom + reach + dy, reach + dx : reach + dx + width]
            np.less_equal(np.abs(depth[other] - depth[own]), tolerance, out=mask[k], casting="unsafe")
            mask[k] *= depth[other] > 0
            np.multiply(mask[k], inverse[other] - inverse[own], out=w[k])
        flat = (len(places), -1)
        sums[:6, top:bottom] = (of_mask @ mask.reshape(flat)).reshape(6, -1, width)
        sums[6:9, top:bottom] = (of_mask[:3] @ w.reshape(flat)).reshape(3, -1, width)
        sums[9, top:bottom] = np.einsum("khw,khw->hw", w, w)
    return sums
