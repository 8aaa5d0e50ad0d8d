"""The log of a stage: what is printed during its attempts, line by line with the time."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """What is printed, and every warning, goes into the file at `path`, each line with its time; it is appended to.

    Raises:
        OSError: among others where it is a link, which is not followed.
    """
    with open(path, "a", encoding="utf-8", buffering=1, opener=_open_no_link) as file:
        lines = _Lines(file)

        def warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
            print(f"{category.__name__}: {message}", file=lines)

        with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines), warnings.catch_warnings():
            warnings.showwarning = warn
            yield


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


class _Lines(io.TextIOBase):
    """Puts the time before every line."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._is_line_start = file, True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            if self._is_line_start:
                self._file.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')}  ")
            self._file.write(line)
            self._is_line_start = line.endswith("\n")
        return len(text)
