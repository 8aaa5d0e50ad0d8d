"""A Python file that a user wrote, run as a module."""

from __future__ import annotations

import hashlib
import sys
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from mila.errors import UserError


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
    module = ModuleType(f"{path.stem}_{hashlib.sha256(source).hexdigest()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for the module of a class
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except Exception as error:
        del sys.modules[module.__name__]
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = path if line is None else f"{path}, line {line}"
        raise UserError(f"{where} cannot be run as Python ({type(error).__name__}: {error}); mend it.") from error
    return module
