"""Locks between processes: files that the system locks, and lets go of when their owner dies."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from filelock import FileLock

from mila.errors import UserError

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What systems say of a file system that has no locks: NFS without its lock service, Lustre without `flock`."""


class ProcessLock(FileLock):
    """`filelock.FileLock`, with one sentence where the file system has no locks.

    Without them two processes could write one file at the same time, so there is no going on there; nor with marker
    files in their place, as `filelock` would from 3.24 on, which nobody removes where their owner dies.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, fallback_to_soft=False)

    def acquire(self, *args: Any, **options: Any) -> Any:
        """See `filelock.FileLock`.

        Raises:
            UserError: the file system has no locks.
            filelock.Timeout: another process holds it all the time.
            OSError: the file cannot be opened.
        """
        try:
            return super().acquire(*args, **options)
        except NotImplementedError as error:  # older versions of filelock, of ENOSYS
            raise _without_locks(Path(self.lock_file)) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise _without_locks(Path(self.lock_file)) from error


def _without_locks(path: Path) -> UserError:
    return UserError(
        f"{path.parent} lies on a file system without file locks, where two processes could spoil each other's work; "
        "choose a folder on another one, such as a local disk, or have this one mounted with locks."
    )
