"""The interval of a mean over seeds, and what the paper marks as best; rows are told apart in `reports.differences`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from scipy.special import stdtrit

Better = Literal["higher", "lower"]
Mark = Literal["", "best", "second"]

LEVEL = 0.95
ROUNDING = 1e-9
"""Less than any number of printed digits, and more than what sums of them are off."""
METHOD = "Student’s t over seeds"
"""How the intervals are made, in words."""


def interval(mean: float, std: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a mean of `n` (2 or more) seeds with sample standard deviation `std`: Student's t."""
    half = _quantile(n) * std / math.sqrt(n)
    return mean - half, mean + half


def _quantile(n: int) -> float:
    return float(stdtrit(n - 1, (1 + LEVEL) / 2))


def published_marks(values: Mapping[str, float], better: Better) -> dict[str, Mark]:
    """Best and second best printed numbers by row, equal ones together, as the paper marks them."""
    names: tuple[Mark, ...] = ("best", "second")
    marks = dict(zip(sorted(set(values.values()), reverse=better == "higher"), names, strict=False))
    return {name: marks[value] for name, value in values.items() if value in marks}


def signed(value: float, decimals: int) -> str:
    """With its sign, unless it is 0 when rounded."""
    text = f"{value:+.{decimals}f}"
    return (text if float(text) else text[1:]).replace("-", "−")
