"""The end of a run that has so many minutes and no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A moment after which no stage begins, and at which those that run are stopped.

    Attributes:
        at: the moment, by `clock`.
        clock: seconds, the same in every process of this machine.
    """

    at: float
    clock: Callable[[], float] = time.time

    @property
    def left(self) -> float:
        """Seconds until then; 0 from then on."""
        return max(0.0, self.at - self.clock())

    @property
    def has_passed(self) -> bool:
        """Whether the time is up."""
        return not self.left
