"""Around an attempt at a stage: its log, and its time limit."""

from __future__ import annotations

import contextlib
import io
import signal
import threading
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any


class StageTimeoutError(Exception):
    """A stage took longer than it may."""


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """What is printed, and every warning, goes into the file at `path`, each line with its time; it is appended to."""
    with path.open("a", encoding="utf-8", buffering=1) as file:
        lines = _Lines(file)

        def warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
            print(f"{category.__name__}: {message}", file=lines)

        with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines), warnings.catch_warnings():
            warnings.showwarning = warn
            yield


class _Lines(io.TextIOBase):
    """Puts the time before every line."""

    def __init__(self, file: Any) -> None:
        self._file, self._fresh = file, True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            if self._fresh:
                self._file.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')}  ")
            self._file.write(line)
            self._fresh = line.endswith("\n")
        return len(text)


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Raise `StageTimeoutError` in the main thread after `seconds`; without a limit, or elsewhere, do nothing.

    A call that never comes back to Python is not ended by it: a SLURM time limit is.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: Any) -> None:
        raise StageTimeoutError(f"it took longer than {seconds / 60:g} minutes; raise --time-limit, or see its log.")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
