"""What readers check before they read anything: their arguments and folders. Imports nothing that decodes files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mila.errors import UserError


def check_options(mode: str, modes: tuple[str, ...], height: int, width: int, limit: int | None) -> None:
    """`UserError` where what a data set is opened with makes no sense."""
    if mode not in modes:
        raise UserError(f"There is no clip mode {mode!r} for this data set; choose one of {', '.join(modes)}.")
    if height < 1 or width < 1:
        raise UserError(f"An image size of {width} x {height} is not possible; give a height and width of 1 or more.")
    if limit is not None and limit < 1:
        raise UserError(f"A limit of {limit} leaves no item; give 1 or more, or no limit.")


def check_folder(path: Path, what: str) -> None:
    """`UserError` where `path`, described by `what`, is not a folder."""
    if not path.is_dir():
        state = "is not a folder" if path.exists() else "does not exist"
        raise UserError(f"{path} {state}, but {what} is expected there; correct the path or unpack the data set.")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of a data set: `._*` and `.DS_Store` of macOS, `.nfs*` and such."""
    return name.startswith(".")


def check_length(length: int) -> None:
    """`UserError` where a clip of `length` frames is not possible."""
    if length < 1:
        raise UserError(f"A clip of {length} frames is not possible; ask for 1 or more.")


def report_problem(sentence: str, problems: list[str] | None) -> None:
    """Append what is wrong with a single item to `problems`; without a list, raise it as `UserError`."""
    if problems is None:
        raise UserError(sentence)
    problems.append(sentence)


def shared_by_splits(split: str, other: str, names: Sequence[str], count: int) -> str:
    """The warning that so many of a split's `count` items, by these names, are in another split, too."""
    more = ", ..." if len(names) > 1 else ""
    where = f"split {split}: {len(names)} of {count} are in split {other}, too ({names[0]}{more})"
    return f"{where}: a score on what was trained on says nothing"
