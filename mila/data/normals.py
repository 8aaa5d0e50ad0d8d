"""Surface normals from a depth map.

A plane seen by a pinhole camera is linear in *inverse* depth: with u = (x - cx) / fx and v = (y - cy) / fy, the
points of n . X = d satisfy 1 / Z = (n / d) . (u, v, 1). A least-squares fit 1 / Z = a u + b v + c over a window is
therefore exact on planes, however slanted, and its normal is proportional to (a, b, c). All windows are fitted at
once through integral images of the moments.

Edges stay sharp, and coarse depth stays smooth, because each pixel takes the best of several windows that contain it:
centred or shifted (the idea of Kuwahara's filter), and of several sizes, for depth quantised to centimetres needs
windows that span a few quantisation steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mila.common.types import FloatArray

Single = npt.NDArray[np.float32]

SENSOR_NOISE = 1.5e-3
"""Standard deviation of structured-light depth, metres at 1 m; it grows with the square of the depth (Khoshelham and
Elberink, *Accuracy and resolution of Kinect depth data*, Sensors 2012: 1.4e-3)."""

DEPTH_RANGE = (1e-3, 1e4)
"""Metres; depth outside is no measurement and would swamp the sums."""

WINDOW_ANGLES = (0.035, 0.075, 0.16)
"""Default window sides in units of u (radians about the optical axis): 2, 4.3 and 9 degrees."""

_MIN_SIDE = 5  # pixels; a smaller window has too few samples to tell a plane from noise
_MIN_FILL = 0.2  # share of the window that must hold depth: a window centred on an image corner has a quarter
_PRIOR_SHIFTED = 4.0  # what a shifted window's residual must gain on a centred one's, in noise variances ...
_PRIOR_SMALLER = 2.0  # ... and a smaller window's on the next larger one's


def normals_from_depth(
    depth: npt.ArrayLike,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    *,
    windows: Sequence[int] | None = None,
    depth_step: float = 0.0,
) -> npt.NDArray[np.float32]:
    """Unit surface normals of a depth map, in the camera frame (x right, y down, z forward), facing the camera.

    Args:
        depth: `[H, W]`, metres along the optical axis; 0, not finite, or outside `DEPTH_RANGE` = missing.
        fx: focal length along x, pixels of this depth map.
        fy: focal length along y, pixels.
        cx: principal point, pixels; the centre of the first pixel is 0.
        cy: principal point, pixels.
        windows: window sides to choose among, pixels, ascending; `None`: `WINDOW_ANGLES` times the focal length.
        depth_step: quantisation step of the depth, metres; residuals of that size are not taken for edges.

    Returns:
        `[3, H, W]`; the zero vector where the pixel has no depth or its surroundings too little for a plane.

    Raises:
        ValueError: `depth` is not two-dimensional, or a focal length or window is not positive.
    """
    z = np.asarray(depth, dtype=np.float64)
    if z.ndim != 2:
        raise ValueError(f"depth has shape {z.shape}; expected [H, W]")
    if not (fx > 0 and fy > 0):
        raise ValueError(f"focal lengths are {fx} and {fy}; expected positive pixels")
    if windows is None:
        windows = sorted({max(_MIN_SIDE, round(angle * (fx * fy) ** 0.5)) for angle in WINDOW_ANGLES})
    if not windows or min(windows) < 1:
        raise ValueError(f"windows are {list(windows)}; expected positive sides in pixels")
    height, width = z.shape
    valid = (z > DEPTH_RANGE[0]) & (z < DEPTH_RANGE[1])
    if not valid.any():
        return np.zeros((3, height, width), np.float32)

    z = np.where(valid, z, 1.0)
    w = np.where(valid, 1.0 / z, 0.0)
    u = ((np.arange(width, dtype=np.float64) - cx) / fx)[None, :]
    v = ((np.arange(height, dtype=np.float64) - cy) / fy)[:, None]
    integrals = _integrals(valid, u, v, w)

    # choosing among the fits needs no more than single precision
    single = (u.astype(np.float32), v.astype(np.float32), w.astype(np.float32))
    plane, cost = _best_planes(integrals, (u, v), single, (z * z).astype(np.float32), windows, depth_step)

    facing = np.where(plane[0] * single[0] + plane[1] * single[1] + plane[2] < 0, 1.0, -1.0)
    length = np.sqrt((plane * plane).sum(0))
    usable = valid & np.isfinite(cost) & (length > 0)
    scale = np.where(usable, facing / np.where(usable, length, 1.0), 0.0)
    return (plane * scale.astype(np.float32)).astype(np.float32)


def _best_planes(
    integrals: FloatArray,
    rays: tuple[FloatArray, FloatArray],
    single: tuple[Single, Single, Single],
    z2: Single,
    windows: Sequence[int],
    depth_step: float,
) -> tuple[Single, Single]:
    """The plane of each pixel with the least cost among all windows that contain it.

    Args:
        integrals: of the moments, see `_integrals`.
        rays: u `[1, W]` and v `[H, 1]`.
        single: u, v and inverse depth `[H, W]` in single precision.
        z2: depth squared, `[H, W]`.
        windows: their sides, pixels.
        depth_step: see `normals_from_depth`.

    Returns:
        a, b, c `[3, H, W]`, and the cost `[H, W]`; infinite where there is no plane.
    """
    height, width = z2.shape
    rays_u, rays_v, inverse = single
    noise = np.float32(depth_step**2 / 12) + (np.float32(SENSOR_NOISE) * z2) ** 2  # variance, m^2
    best = np.full((height, width), np.inf, np.float32)
    plane = np.zeros((3, height, width), np.float32)
    for rank, side in enumerate(sorted(windows, reverse=True)):
        radius = max(1, side // 2)
        margins = ((0, 0), (radius, radius), (radius, radius))
        fit = np.pad(_fit_planes(integrals, *rays, radius), margins, mode="edge")
        # fits of the windows centred `radius` pixels away, which still contain the pixel, and of the centred one
        for dy in (0, radius, 2 * radius):
            for dx in (0, radius, 2 * radius):
                a, b, c, mse = fit[:, dy : dy + height, dx : dx + width]
                own = (a * rays_u + b * rays_v + (c - inverse)) * z2
                prior = _PRIOR_SMALLER * rank + (0.0 if dy == dx == radius else _PRIOR_SHIFTED)
                cost = mse * (z2 * z2) + own * own + np.float32(prior) * noise
                better = cost < best
                np.copyto(best, cost, where=better)
                for k, coefficient in enumerate((a, b, c)):
                    np.copyto(plane[k], coefficient, where=better)
    return plane, best


def _integrals(valid: npt.NDArray[np.bool_], u: FloatArray, v: FloatArray, w: FloatArray) -> FloatArray:
    """Integral images `[10, H + 1, W + 1]` of the moments 1, u, v, w, uu, uv, vv, uw, vw, ww over valid pixels."""
    one = valid.astype(np.float64)
    moments = (one, one * u, one * v, w, one * (u * u), one * (u * v), one * (v * v), w * u, w * v, w * w)
    sums = np.zeros((len(moments), valid.shape[0] + 1, valid.shape[1] + 1))
    for k, moment in enumerate(moments):
        np.cumsum(np.cumsum(moment, axis=1), axis=0, out=sums[k, 1:, 1:])
    return sums


def _fit_planes(integrals: FloatArray, u: FloatArray, v: FloatArray, radius: int) -> Single:
    """a, b, c and the mean squared residual of the window round each pixel, `[4, H, W]`; residual inf: no plane."""
    height, width = integrals.shape[1] - 1, integrals.shape[2] - 1
    top, bottom = (np.clip(np.arange(height) + k, 0, height) for k in (-radius, radius + 1))
    left, right = (np.clip(np.arange(width) + k, 0, width) for k in (-radius, radius + 1))
    bands = integrals[:, bottom] - integrals[:, top]
    n, *sums = bands[:, :, right] - bands[:, :, left]

    with np.errstate(divide="ignore", invalid="ignore"):
        su, sv, sw, suu, suv, svv, suw, svw, sww = (s / n for s in sums)
        uu, uv, vv = suu - su * su, suv - su * sv, svv - sv * sv
        uw, vw, ww = suw - su * sw, svw - sv * sw, sww - sw * sw
        determinant = uu * vv - uv * uv
        a = (uw * vv - vw * uv) / determinant
        b = (vw * uu - uw * uv) / determinant
        c = sw - a * su - b * sv
        mse = np.maximum(ww - a * uw - b * vw, 0.0)
        # spread of the samples, against that of a full window: a line of samples fixes no plane
        full = (2 * radius + 1) ** 2
        span = ((u[0, -1] - u[0, 0]) / max(width - 1, 1) * (v[-1, 0] - v[0, 0]) / max(height - 1, 1)) ** 2
        good = (n >= _MIN_FILL * full) & (determinant > 1e-3 * span * (full / 12) ** 2)
    fit = np.stack([np.where(good, x, other) for x, other in ((a, 0.0), (b, 0.0), (c, 0.0), (mse, np.inf))])
    return fit.astype(np.float32)
