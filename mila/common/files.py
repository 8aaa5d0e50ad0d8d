"""Files that are either as they were or as they should be, never half-written."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import BadZipFile

from mila.errors import UserError

TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
"""Error numbers that say that too many files are open: by this process, or on this machine."""


BROKEN_ARRAY = (OSError, ValueError, EOFError, BadZipFile, TokenError, MemoryError, OverflowError, RecursionError)
"""What NumPy raises on a file that is no array, or one whose header is damaged."""


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` with a binary file that takes the place of `path` once it is complete and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def free_space(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_place(path: Path) -> None:
    """`UserError` where no file or folder can come to be at `path`, whose parents need not be there yet."""
    try:
        path.absolute().exists()  # a name that is too long is said here
        near = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=near):
            pass
    except OSError as error:
        raise UserError(f"nothing can be written to {path} ({error.strerror}); give another place.") from error


def check_new(folder: Path) -> None:
    """`UserError` where there is a file at `folder`, or a folder that is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already; give the name of a new folder, or delete it first.")


def write_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with an empty folder that takes the place of `path` once all is in it.

    Raises:
        UserError: there is a file at `path`, or a folder that is not empty.
    """
    check_new(path)
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    unfinished.mkdir()
    try:
        write(unfinished)
        if path.exists():
            path.rmdir()
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def read_text(path: Path) -> str:
    """The UTF-8 text that a person wrote into `path`, with or without a byte order mark.

    Raises:
        UserError: it is UTF-16 or UTF-32, as some editors on Windows save text.
        OSError: it cannot be read.
        UnicodeDecodeError: it is no UTF-8 for another reason.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise UserError(f"{path} is text in UTF-16 or UTF-32; save it as UTF-8.")
    return content.decode("utf-8-sig")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, readable and with stable key order."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def not_opened(path: Path, error: OSError) -> UserError:
    """The sentence for a file that the system does not open or read, which says nothing about what it contains."""
    if error.errno in TOO_MANY_FILES:
        return UserError(
            f"{path} cannot be opened, for too many files are open; allow more (`ulimit -n 4096`), or use fewer --jobs."
        )
    return UserError(f"{path} cannot be read ({error.strerror or error}); make it readable for this user.")
