"""A Python file that a user wrote, run as a module: a method of their own, a data set of their own."""

from __future__ import annotations

import hashlib
import sys
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from mila.common.files import not_opened
from mila.errors import UserError

_running: set[Path] = set()


@lru_cache(maxsize=16)
def source_of(path: Path) -> bytes:
    """What a user's Python file holds, as this process runs it.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise not_opened(path, error) from error


@lru_cache(maxsize=16)
def load_file(path: Path) -> ModuleType:
    """Run a user's Python file as a module.

    Raises:
        UserError: it cannot be read or run.
    """
    return run_source(path, source_of(path))


@lru_cache(maxsize=16)
def run_source(path: Path, source: bytes) -> ModuleType:
    """Run the source of a file as a module of its own; once a process, however often it is asked for.

    Nothing is written beside the file, and another file of the same name is another module.

    Args:
        path: of the file, as errors name it.
        source: what it holds.

    Raises:
        UserError: it cannot be run.
    """
    if path in _running:
        main = '`if __name__ == "__main__":`'
        raise UserError(f"{path} starts itself again when it is read; put what it runs under {main}.")
    module = ModuleType(f"{path.stem}_{hashlib.sha256(source).hexdigest()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for the module of a class
    _running.add(path)
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        where = f"{path}{line_of(path, error)}"
        raise UserError(f"{where} cannot be run as Python ({type(error).__name__}: {error}); mend it.") from error
    finally:
        _running.discard(path)
    return module


def line_of(path: Path, error: BaseException) -> str:
    """Where in a user's file an error was raised: `, line 12`; empty where it was elsewhere."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return "" if line is None else f", line {line}"
