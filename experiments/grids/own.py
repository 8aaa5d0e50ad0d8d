"""The row of a method that a user brings in one file; see docs/your_own_method.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.grids.grid import Row
from experiments.models import accepted, load_file
from mila.errors import UserError


def own_row(path: Path) -> Row:
    """The `ROW` that the file at `path` defines; its `model` is the name of a class in that file.

    Raises:
        UserError: there is no such file, it cannot be run, or it lacks the row or the class.
    """
    if path.suffix != ".py" or not path.is_file():
        raise UserError(
            f"--method {path}: there is no such Python file; give the path of one (docs/your_own_method.md)."
        )
    path = path.resolve()
    row = getattr(load_file(path), "ROW", None)
    if not isinstance(row, Row):
        raise UserError(f"{path} defines no ROW; add one, as docs/your_own_method.md shows.")
    row = replace(row, model=f"{path}:{row.model}", published=None)
    unknown = {name for name, _ in row.arguments} - accepted(row.model)
    if unknown:
        raise UserError(f"{path}: the constructor of {row.label!r} does not take {', '.join(sorted(unknown))}.")
    return row
