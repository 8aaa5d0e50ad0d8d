"""A time limit around an attempt at a stage."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StageTimeoutError(Exception):
    """A stage took longer than it may."""


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Raise `StageTimeoutError` in the main thread after `seconds`; without a limit, or elsewhere, do nothing.

    A call that never comes back to Python is not ended by it: a SLURM time limit is.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise StageTimeoutError(f"it took longer than {seconds / 60:g} minutes; raise --time-limit, or see its log.")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
