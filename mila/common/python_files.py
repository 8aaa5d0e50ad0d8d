"""Python files that users bring along: a method of their own, a data set of their own."""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mila.errors import UserError

_loading: set[Path] = set()


@lru_cache(maxsize=16)
def load_file(path: Path) -> ModuleType:
    """Run a user's Python file as a module, which has a name that no other has.

    Raises:
        UserError: it cannot be read or run.
    """
    if path in _loading:
        main = '`if __name__ == "__main__":`'
        raise UserError(f"{path} starts itself again when it is read; put what it runs under {main}.")
    name = f"{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for the names in their annotations
    _loading.add(path)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        where = f"{path}{line_of(path, error)}"
        raise UserError(f"{where} cannot be run as Python ({type(error).__name__}: {error}); mend it.") from error
    finally:
        _loading.discard(path)
    return module


def line_of(path: Path, error: BaseException) -> str:
    """Where in the file an error was raised: `, line 12`; empty where it was elsewhere."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return "" if line is None else f", line {line}"
