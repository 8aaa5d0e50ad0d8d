"""Numbers on how far what is carried agrees with the motion. Needs no PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

ALL_TASKS = "all tasks"
"""Name of a propagation that is one for all tasks."""

_CONSTANT = 1e-5
"""Shifts that differ by less are rounding."""


def agreement(columns: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Numbers on cells, all in cells.

    Args:
        columns: `[cells, 9]`: carried shift x, y (NaN: nothing is carried), true shift x, y, entropy, centre, shift of
            equal weights x, y (these four NaN: there are no weights), and whether the window lies inside the map.

    Returns:
        `cells`, how many; `lost`, the share of them that is given nothing, which the others leave out; `epe`, the mean
        distance between carried and true shift, `epe_zero`, that of staying put, and `epe_equal`, that of equal
        weights; `rms` and `rms_true`, of the carried and the true shift; `r_x` and `r_y`, their correlation over the
        cells whose window lies inside the map; `entropy` and `centre`, means. None where a number has no meaning.
    """
    given = columns[np.isfinite(columns[:, 0])]
    ours, true, equal = given[:, :2], given[:, 2:4], given[:, 6:8]
    whole = given[given[:, 8] > 0]
    numbers = {
        "epe": _mean(np.linalg.norm(ours - true, axis=1)),
        "epe_zero": _mean(np.linalg.norm(true, axis=1)),
        "epe_equal": _mean(np.linalg.norm(equal - true, axis=1)),
        "rms": _mean(np.square(ours).sum(1)) ** 0.5,
        "rms_true": _mean(np.square(true).sum(1)) ** 0.5,
        "r_x": _correlation(whole[:, 0], whole[:, 2]),
        "r_y": _correlation(whole[:, 1], whole[:, 3]),
        "entropy": _mean(given[:, 4]),
        "centre": _mean(given[:, 5]),
        "lost": 1 - len(given) / len(columns) if len(columns) else math.nan,
    }
    finite = {name: float(value) if math.isfinite(value) else None for name, value in numbers.items()}
    return {"cells": len(columns), **finite}


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Pearson's; NaN where either is constant."""
    if len(a) < 2 or min(np.ptp(a), np.ptp(b)) < _CONSTANT:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
