"""Files of a folder of results, read as if anybody had put them there: no link is followed, only files are opened.

Whatever is not what the suite writes there is one exception, `DamagedFileError`, whatever is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to is opened, too
_BINARY = getattr(os, "O_BINARY", 0)


class DamagedFileError(Exception):
    """A file is not what was written; says what it is, as in `stage.json is a link`."""


def read_bytes(path: Path) -> bytes:
    """What a file holds.

    Raises:
        FileNotFoundError, NotADirectoryError: it is not there.
        DamagedFileError: it is a link, a folder or a device, or it may not be read.
        OSError: this machine cannot open a file now.
    """
    _check_regular(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _AT_ONCE | _BINARY)
    except PermissionError as error:
        raise DamagedFileError(f"{path} may not be read") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DamagedFileError(f"{path} is not a file")
        return file.read()


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        FileNotFoundError, NotADirectoryError: it is not there.
        DamagedFileError: it is no file, or holds something else.
        OSError: this machine cannot open a file now.
    """
    try:
        value = json.loads(read_bytes(path).decode())
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not what was written there") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path} is not what was written there")
    return value


def read_object_or_nothing(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds; an empty one where it is not there, damaged or not to be read."""
    try:
        return read_object(path)
    except (OSError, DamagedFileError):
        return {}


def checksum(record: dict[str, Any]) -> str:
    """Of what a record says, without the checksum itself."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def _check_regular(path: Path) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise DamagedFileError(f"{path} is a link, which a store does not follow")
    if not stat.S_ISREG(found.st_mode):
        raise DamagedFileError(f"{path} is not a file")
