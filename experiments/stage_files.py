"""What lies in a stage's folder: the names of its files, what a record says of them, and whether they are whole."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

from mila.common.files import file_digest
from mila.common.stored_files import DamagedFileError, read_bytes
from mila.streaming.description import DESCRIPTION, METHOD
from mila.streaming.run_folder import WEIGHTS

CLIP_SUMS, CLIP_SHARES = "clips.npz", "shares.npz"
"""Sums of every clip, see `mila.clip_sums`, and what is passed on of them, see `mila.clip_shares`."""
ARRAYS = (CLIP_SUMS, CLIP_SHARES, "pictures.npz", "attention.npz", "film.npz")
"""Arrays that a stage may keep beside its record."""
FILES = (
    "stage.json",
    "record.json",
    "progress.json",
    "error.txt",
    "log.txt",
    "lock",
    WEIGHTS,
    "checkpoint.pt",
    DESCRIPTION,
    METHOD,
    *ARRAYS,
)
"""What must be a file where it is there at all."""

_NOT_KEPT = {"record.json", "stage.json", "progress.json", "error.txt", "log.txt", "lock", "checkpoint.pt"}
"""What describes the stage or an attempt at it."""

Files = dict[str, dict[str, Any]]
"""By path in the folder: `bytes`, and `sha256` where the file has no checksums of its own (packed clips have)."""


def check_folder(folder: Path) -> None:
    """Look at what lies in a stage's folder, without reading any of it.

    Raises:
        DamagedFileError: the folder or something in it is a link, or one of `FILES` is no file.
    """
    for path in (folder.parent, folder):
        if path.is_symlink():
            raise DamagedFileError(f"{path} is a link, which a store does not follow")
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise DamagedFileError(f"{entry.path} is a link, which a store does not follow")
                if entry.name in FILES and not entry.is_file(follow_symlinks=False):
                    raise DamagedFileError(f"{entry.path} is not a file")
    except FileNotFoundError:
        return
    except (NotADirectoryError, PermissionError) as error:
        raise DamagedFileError(f"{folder} is not a folder that may be read") from error


def check_arrays(folder: Path) -> None:
    """See that the arrays in a stage's folder are complete; what they hold is not read.

    Raises:
        DamagedFileError: one is cut short, or no file of arrays.
    """
    for name in ARRAYS:
        path = folder / name
        try:
            zipfile.ZipFile(path).close()
        except FileNotFoundError:
            continue
        except (zipfile.BadZipFile, ValueError, RuntimeError, PermissionError) as error:
            raise DamagedFileError(f"{path} is not what was written there") from error


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


def damaged_arrays(folder: Path, files: Files) -> Path | None:
    """The first of a stage's `ARRAYS` whose bytes are not those that its record tells the digest of."""
    for name in ARRAYS:
        digest = files.get(name, {}).get("sha256")
        if digest is None:
            continue
        try:
            if hashlib.sha256(read_bytes(folder / name)).hexdigest() != digest:
                return folder / name
        except (FileNotFoundError, NotADirectoryError, DamagedFileError):
            return folder / name
    return None
