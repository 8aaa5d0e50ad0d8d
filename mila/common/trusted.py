"""Files of one's own that this user has run before, by their place and content: those may be run again unasked.

They are of methods and of data sets.

A folder of results may come from somebody else, so what it says must not run code. As `direnv` does it, a file that the
user named on the command line is remembered in a place of the user's own; one that has changed since is unknown again.
A copy of such a file, as finished trainings keep one, is known by its content alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mila.common.cache import cache_folder


def remember(files: Iterable[Path]) -> None:
    """Note the files that the user named. Where nothing can be written, they stay unknown and are asked for again."""
    with suppress(OSError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in files:
            content = path.read_bytes()
            for name in (_name(path, content), _name_of_content(hashlib.sha256(content).hexdigest())):
                (folder / name).touch(mode=0o600)


def is_trusted(path: Path) -> bool:
    """Whether the user has run this very file before."""
    try:
        return (_folder() / _name(path, path.read_bytes())).is_file()
    except OSError:
        return False


def is_trusted_content(digest: str) -> bool:
    """Whether the user has run a file with this SHA-256 before, wherever it lay."""
    try:
        return (_folder() / _name_of_content(digest)).is_file()
    except OSError:
        return False


def _folder() -> Path:
    return cache_folder() / "methods"


def _name(path: Path, content: bytes) -> str:
    """Of what is remembered: the digest of a file's place and content."""
    return hashlib.sha256(os.fsencode(path.resolve()) + b"\0" + content).hexdigest()


def _name_of_content(digest: str) -> str:
    return f"content-{digest}"
