"""The row of a method that a user brings in one file; see docs/your_own_method.md."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from experiments.grids.grid import Row
from experiments.models import accepted, file_of
from mila.common.user_code import load_file
from mila.common.visible import unseen
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
    check_label(row.label, str(path))
    row = replace(row, model=f"{path}:{row.model}", published=None)
    unknown = {name for name, _ in row.arguments} - accepted(row.model)
    if unknown:
        raise UserError(f"{path}: the constructor of {row.label!r} does not take {', '.join(sorted(unknown))}.")
    return row


def check_label(label: object, where: str) -> None:
    """See that a label can be printed and told from others.

    Raises:
        UserError: it is no text, empty, or holds what cannot be seen: control characters, direction marks, line ends.
    """
    if not isinstance(label, str) or not label.strip():
        raise UserError(f'{where}: the label of ROW is {label!r}; give it a name, such as "My method".')
    hidden = unseen(label)
    if hidden:
        raise UserError(
            f"{where}: the label of ROW holds the character U+{ord(hidden[0]):04X}, which cannot be seen; leave it out."
        )


def check_labels(taken: Iterable[str], methods: Iterable[Row]) -> None:
    """See that the rows of a table can be told apart by their labels, with those of methods of one's own.

    Raises:
        UserError: two are alike.
    """
    seen = {_as_read(label) for label in taken}
    for row in methods:
        if _as_read(row.label) in seen:
            raise UserError(
                f"{file_of(row.model)}: another row of the table is called {row.label!r} as well; "
                "give ROW another label."
            )
        seen.add(_as_read(row.label))


def _as_read(label: str) -> str:
    """What a reader tells labels apart by: spaces and the forms of a character are not."""
    return " ".join(unicodedata.normalize("NFKC", label).split())
