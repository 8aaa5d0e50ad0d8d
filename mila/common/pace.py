"""How often a training writes its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

LEAST_SECONDS = 15.0
"""Between two checkpoints, however fast they are written."""

WRITING_SHARE = 0.02
"""Of a training's time, at most so much goes into checkpoints."""

_BYTES_A_SECOND = 200e6
"""Speed of a disk that nothing was written to yet: that of a plain one."""


class Pace:
    """When the next checkpoint is due.

    Args:
        seconds: between the end of one and the begin of the next. None: so many that writing takes under
            `WRITING_SHARE` of the time, going by how long the last one took, but at least `LEAST_SECONDS`.
        size: bytes of a checkpoint, about: what the first is judged by.
    """

    def __init__(self, seconds: float | None, size: int) -> None:
        self._seconds = seconds
        self._writing = size / _BYTES_A_SECOND
        self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """From the end of the last checkpoint to the next."""
        if self._seconds is not None:
            return self._seconds
        return max(LEAST_SECONDS, self._writing * (1 / WRITING_SHARE - 1))

    def is_due(self) -> bool:
        """Whether it is time for the next."""
        return time.monotonic() - self._last > self.seconds

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around the writing of one."""
        start = time.monotonic()
        yield
        self._last = time.monotonic()
        self._writing = self._last - start
