"""Whose files are they? A job runs what lies in its submission and in the copy of the code, and runs it as its user.

A results folder may be shared, so others may be able to write there. What is run therefore lies in folders that are the
user's own, with all that lies in them, and that nobody else may enter; this is looked at before anything in them is
used, here and at the start of every job. (Whoever may write to the folder above them can still put others in their
place: those are not the user's.)
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from mila.errors import UserError

_ANY = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may enter; those above it are made as usual.

    Raises:
        OSError: it is there, or cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)


def is_own(folder: Path) -> bool:
    """Whether it is this user's folder, and no link."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)


def require_private(folder: Path) -> None:
    """Make sure that a folder, if it is there, is this user's with all in it, and that nobody else may enter it.

    Raises:
        UserError: it is not so.
    """
    if not os.path.lexists(folder):
        return
    if not is_own(folder):
        raise UserError(
            f"{folder} is a link or belongs to another user, so nothing in it is run; give another --results."
        )
    if folder.lstat().st_mode & _ANY:
        raise UserError(
            f"others may enter {folder}, so what it holds may be theirs and is not run; delete it, or, if you trust "
            f"all of them, close it with: chmod 700 {shlex.quote(str(folder))}"
        )
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # of a file that another process of this user replaces
            if path.lstat().st_uid != os.getuid():
                raise UserError(f"{path} belongs to another user, so nothing beside it is run; delete it.")


def shell_check(*folders: Path) -> str:
    """The same as a line of a job's script: it ends the job before Python reads anything there."""
    words, marks = " ".join(shlex.quote(str(folder)) for folder in folders), "x" * len(folders)
    found = f'find {words} -maxdepth 0 -type d -user "$(id -u)" ! -perm /077 -printf x'
    foreign = f'find {words} ! -user "$(id -u)" -print -quit'
    says = '"not all of this is its user\'s alone, so it is not run; see --status."'
    return f'if [ "$({found})" != {marks} ] || [ -n "$({foreign})" ]; then echo {words}: {says} >&2; exit 1; fi'
