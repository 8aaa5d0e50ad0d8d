"""The field's usual colours of the tasks: class colours, viridis for depth, the camera's axes for normals."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import numpy.typing as npt

from mila.common.types import Array
from mila.tasks import VOID, Task

Pixels = npt.NDArray[np.uint8]
Limits = tuple[float, float]

NOT_ANNOTATED = (122, 122, 122)
"""RGB where there is no truth."""

_DEPTH = "viridis"


def paint(task: Task, values: Array, limits: Limits, annotated: npt.NDArray[np.bool_] | None = None) -> Pixels:
    """A target or prediction of one frame as RGB `[H, W, 3]`.

    Args:
        task: segmentation, depth or normals.
        values: as `mila.tasks` lays down; normals of any length but 0.
        limits: of the colours of depth, see `depth_limits`; other tasks do not need them.
        annotated: `[H, W]`, see `annotated_pixels`; where it is False the colour is `NOT_ANNOTATED`.

    Raises:
        ValueError: the task has no usual colours.
    """
    if task.name == "segmentation":
        rgb = np.array(task.colours, np.uint8)[values]
    elif task.name == "depth":
        rgb = paint_depth(values[0], limits)
    elif task.name == "normals":
        rgb = paint_normals(values / np.maximum(np.linalg.norm(values, axis=0), 1e-12))
    else:
        raise ValueError(f"there are no colours for the task {task.name!r}")
    if annotated is not None:
        rgb = np.where(annotated[..., None], rgb, np.array(NOT_ANNOTATED, np.uint8))
    return rgb


def annotated_pixels(task: Task, truth: Array) -> npt.NDArray[np.bool_]:
    """Where there is truth, `[H, W]`."""
    if task.name == "segmentation":
        return np.asarray(truth != VOID)
    return np.asarray(np.abs(truth).sum(0) > 0)


def depth_limits(truths: Sequence[Array], share: float = 1.0) -> Limits:
    """Range of the valid depth of all `truths`, in their unit; (0, 1) where none is valid.

    Args:
        truths: depth targets `[1, H, W]`.
        share: of the valid pixels that lie inside; what is left out is the same number of nearest and of farthest.
    """
    valid = np.concatenate([truth[truth > 0] for truth in truths]) if truths else np.empty(0)
    if not valid.size:
        return 0.0, 1.0
    low, high = np.quantile(valid, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def depth_unit(task: Task) -> str:
    """What a depth target counts: `m`, or `disparity / 65535`."""
    return task.metrics[0].unit.removesuffix(" × 100")


def paint_depth(depth: Array, limits: Limits) -> Pixels:
    """Depth `[H, W]` as RGB `[H, W, 3]`; what is outside of `limits` has the colour of the nearer one."""
    low, high = limits
    share = np.clip(np.nan_to_num((depth - low) / max(high - low, 1e-12)), 0, 1)
    rgb: Pixels = matplotlib.colormaps[_DEPTH](share, bytes=True)[..., :3]
    return rgb


def paint_normals(unit: Array) -> Pixels:
    """Unit vectors `[3, H, W]` as RGB `[H, W, 3]`: red is right, green is up, blue is towards the camera.

    The camera frame is x right, y down, z forward.
    """
    towards = unit * np.array([1.0, -1.0, -1.0])[:, None, None]
    rgb: Pixels = np.round((towards + 1) / 2 * 255).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return rgb


def normals_ball(size: int) -> Pixels:
    """A ball whose every point has the colour of its normal: the key to `paint_normals`, RGBA `[size, size, 4]`."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    z = -np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    inside = np.where(x**2 + y**2 <= 1, 255, 0).astype(np.uint8)
    return np.dstack([paint_normals(np.stack([x, y, z])), inside])
