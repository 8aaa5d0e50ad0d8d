"""Where outputs go: written under another name beside it, and put in their place when they are whole."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

from mila.errors import UserError

DESCRIPTION = "description.json"
"""The file that every folder of predictions has, and by which it is known as one."""

MADE_BY = "mila predict"


class Place:
    """A file or a folder that comes to be as a whole.

    Args:
        path: where it is to be in the end.

    Attributes:
        unfinished: where it is written until then; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._target = path, path.resolve()  # of a link, what it points to is replaced
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self.unfinished = self._target.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")

    def finish(self) -> None:
        """Put it in its place; what was there is gone afterwards."""
        if self._target.is_dir():
            old = self.unfinished.with_name(f"{self.unfinished.name}.old")
            self._target.replace(old)
            self.unfinished.replace(self._target)
            shutil.rmtree(old)
        else:
            self.unfinished.replace(self._target)

    def drop(self) -> None:
        """Remove what was written; nothing happens once it is in its place."""
        if self.unfinished.is_dir():
            shutil.rmtree(self.unfinished)
        else:
            self.unfinished.unlink(missing_ok=True)


def check_free(path: Path, is_folder: bool, force: bool) -> None:
    """`UserError` where there is something at `path` that may not be replaced.

    Args:
        path: of the output.
        is_folder: whether it is to be a folder.
        force: replace a file, or a folder that `predict` wrote.
    """
    if not path.exists() and not path.is_symlink():
        return
    if is_folder and path.is_dir():
        if not any(path.iterdir()):
            return
        if not _is_ours(path):
            raise UserError(f"{path} holds files that `predict` did not write; choose an empty or a new folder.")
    elif is_folder or path.is_dir():
        raise UserError(f"{path} is a {'file' if is_folder else 'folder'}; choose another name for --out.")
    if not force:
        raise UserError(f"{path} exists; choose another name, or give --force to replace it.")


def check_apart(path: Path, source: Path) -> None:
    """`UserError` where an output would take the place of the input, or of a folder around it."""
    if source.exists() and (path.resolve() == source.resolve() or path.resolve() in source.resolve().parents):
        raise UserError(f"{path} would replace the input {source}; choose another name for --out.")


def _is_ours(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["made_by"] == MADE_BY)
    except (OSError, ValueError, KeyError, TypeError):
        return False
