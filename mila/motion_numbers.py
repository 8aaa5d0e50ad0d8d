"""Numbers on how far what is carried agrees with the motion. Needs no PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

ALL_TASKS = "all tasks"
"""Name of a propagation that is one for all tasks."""


def agreement(columns: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Numbers on cells, all in cells.

    Args:
        columns: `[cells, 6]`: carried shift x, y (NaN: nothing is carried), true shift x, y, entropy, centre (NaN:
            there are no weights).

    Returns:
        `cells`, how many; `lost`, the share of them that is given nothing, which the others leave out; `epe`, the mean
        distance between carried and true shift, and `epe_zero`, that of staying put; `rms` and `rms_true`, of the
        carried and the true shift; `r_x` and `r_y`, their correlation; `entropy` and `centre`, means. None where a
        number has no meaning.
    """
    given = columns[np.isfinite(columns[:, 0])]
    ours, true = given[:, :2], given[:, 2:4]
    numbers = {
        "epe": _mean(np.linalg.norm(ours - true, axis=1)),
        "epe_zero": _mean(np.linalg.norm(true, axis=1)),
        "rms": _mean(np.square(ours).sum(1)) ** 0.5,
        "rms_true": _mean(np.square(true).sum(1)) ** 0.5,
        "r_x": _correlation(ours[:, 0], true[:, 0]),
        "r_y": _correlation(ours[:, 1], true[:, 1]),
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
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
