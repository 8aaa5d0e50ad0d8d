"""Error maps: where a prediction is wrong, and by how much."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import numpy.typing as npt

from mila.common.types import Array
from mila.data.colours import NOT_ANNOTATED, annotated_pixels
from mila.tasks import Task

Pixels = npt.NDArray[np.uint8]

RIGHT, WRONG = (236, 236, 236), (213, 94, 0)
"""RGB of pixels of the right and of a wrong class."""

_COLOURS = "magma"
_LARGEST_ANGLE = 60.0  # degrees; what is worse has the last colour
_SHARE = 0.95  # of all shown depth errors lies within the colours


def error_of(task: Task, truth: Array, prediction: Array) -> npt.NDArray[np.float64]:
    """How wrong each pixel is, `[H, W]`: 0 or 1 for classes, depth in its unit, degrees for normals.

    NaN where there is no truth. `truth` and `prediction` are as `mila.tasks` lays them down.

    Raises:
        ValueError: the task has no error map.
    """
    if task.name == "segmentation":
        error = (truth != prediction).astype(np.float64)
    elif task.name == "depth":
        error = np.abs(prediction[0].astype(np.float64) - truth[0])
    elif task.name == "normals":
        units = [v.astype(np.float64) / np.maximum(np.linalg.norm(v, axis=0), 1e-12) for v in (truth, prediction)]
        error = np.degrees(np.arccos(np.clip((units[0] * units[1]).sum(0), -1, 1)))
    else:
        raise ValueError(f"there is no error map for the task {task.name!r}")
    return np.where(annotated_pixels(task, truth), error, np.nan)


def largest_error(task: Task, errors: Sequence[Array]) -> float:
    """Where the colours of a task end, one number for all of `errors`."""
    if task.name == "normals":
        return _LARGEST_ANGLE
    known = np.concatenate([error[np.isfinite(error)] for error in errors]) if errors else np.empty(0)
    return float(np.quantile(known, _SHARE)) if task.name == "depth" and known.size else 1.0


def paint_error(task: Task, error: Array, largest: float) -> Pixels:
    """An error `[H, W]` as RGB `[H, W, 3]`; grey where there is no truth."""
    if task.name == "segmentation":
        rgb = np.where((error > 0)[..., None], np.array(WRONG, np.uint8), np.array(RIGHT, np.uint8))
    else:
        share = np.clip(np.nan_to_num(error / max(largest, 1e-12)), 0, 1)
        rgb = matplotlib.colormaps[_COLOURS](share, bytes=True)[..., :3]
    return np.where(np.isfinite(error)[..., None], rgb, np.array(NOT_ANNOTATED, np.uint8))
