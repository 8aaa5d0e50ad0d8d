"""The files that a stage keeps beside its record: what the record says of them, and whether they are still so."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from mila.common.files import file_digest

_NOT_KEPT = {"record.json", "stage.json", "progress.json", "error.txt", "log.txt", "lock", "checkpoint.pt"}
"""What describes the stage or an attempt at it."""

Files = dict[str, dict[str, Any]]
"""By path in the folder: `bytes`, and `sha256` where the file has no checksums of its own (packed clips have)."""


def describe_files(folder: Path) -> Files:
    """What a record says of the files in its stage's folder."""
    files: Files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found = path.lstat()
        if name in _NOT_KEPT or path.name.startswith(".") or not stat.S_ISREG(found.st_mode):
            continue
        files[name] = {"bytes": found.st_size}
        if path.suffix != ".npy":
            files[name]["sha256"] = file_digest(path)
    return files


def damaged_file(folder: Path, files: Files) -> Path | None:
    """The first of a stage's files that is gone or has another size than its record says; its bytes are not read."""
    for name, about in files.items():
        path = folder / name
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return path
        if found.st_size != about["bytes"]:
            return path
    return None
