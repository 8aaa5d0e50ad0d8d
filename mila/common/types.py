"""Types that many modules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Progress = Callable[[int, int], object]
"""A progress callback: is called with (done, total)."""

Array = npt.NDArray[Any]
"""An array of any type; shapes stand in the docstrings."""

FloatArray = npt.NDArray[np.float64]
"""An array of double precision."""
