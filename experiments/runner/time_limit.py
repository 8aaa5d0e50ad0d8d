"""A time limit around an attempt at a stage."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from mila.errors import StoppedError

GRACE = 60.0
"""Seconds that a training which asks whether to stop has to notice the limit and to save."""


AGAIN = 10.0
"""Seconds after which the alarm rings once more: what it raises while Python takes an object apart is lost."""


class StageTimeoutError(Exception):
    """A stage took longer than it may."""


class TimeLimit:
    """What `limited` gives: whether the limit has passed, for a training that saves before it stops."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._asked: float | None = None
        self.passed = self.raised = False

    def or_stop(self, stop: Callable[[], bool] | None) -> Callable[[], bool] | None:
        """`stop`, which a training asks after each step, true as well once the limit has passed."""
        if self._seconds is None:
            return stop

        def asked() -> bool:
            self._asked = time.monotonic()
            return (stop is not None and stop()) or self.passed

        return asked

    def ring(self, _number: int, _frame: FrameType | None) -> None:
        """The alarm: a training that lately asked is told at its next question, anything else ends here."""
        is_alive = self._asked is not None and time.monotonic() - self._asked < GRACE
        if is_alive and not self.passed:
            self.passed = True
            signal.setitimer(signal.ITIMER_REAL, GRACE)
            return
        self.passed = self.raised = True
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        raise self.error()

    def error(self) -> StageTimeoutError:
        """The limit's own sentence."""
        assert self._seconds is not None
        return StageTimeoutError(
            f"it took longer than {self._seconds / 60:g} minutes; raise --time-limit, or see its log."
        )


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[TimeLimit]:
    """Raise `StageTimeoutError` in the main thread after `seconds`; without a limit, or elsewhere, do nothing.

    A training that asks `TimeLimit.or_stop` saves first. Whatever else the alarm falls into may make another error of
    it, as PyTorch does of one in the middle of a file; it is `StageTimeoutError` again in the end.

    A call that never comes back to Python is not ended by it: a SLURM time limit is.
    """
    limit = TimeLimit(seconds)
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield limit
        return
    before = signal.signal(signal.SIGALRM, limit.ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield limit
    except StageTimeoutError:
        raise
    except Exception as error:
        if limit.raised or (limit.passed and isinstance(error, StoppedError)):
            raise limit.error() from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
