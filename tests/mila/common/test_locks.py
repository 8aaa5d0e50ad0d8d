"""Locks between processes where the file system has none."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from mila.common.locks import ProcessLock
from mila.data.prepare import pack
from mila.errors import UserError
from tests.support.fake_clips import FakeClips

NO_LOCKS = [
    OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)),
    OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)),
    NotImplementedError("FileSystem does not appear to support flock"),
]


def refuse(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "_acquire", acquire)


@pytest.mark.parametrize("error", NO_LOCKS, ids=repr)
def test_a_file_system_without_locks_is_said(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(error, monkeypatch)
    with pytest.raises(UserError, match=r"packed lies on a file system without file locks, .*; choose a folder on"):
        pack(FakeClips(), 2, tmp_path / "packed")
    assert not list((tmp_path / "packed").glob("*.npy"))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_nothing_else_stands_in_for_a_lock(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match="on a file system without file locks"):
        ProcessLock(tmp_path / "lock").acquire(timeout=0)


def test_what_cannot_be_written_is_still_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), monkeypatch)
    with pytest.raises(UserError, match="choose a folder that this user may write to"):
        pack(FakeClips(), 2, tmp_path / "packed")


def test_it_is_held_by_one(tmp_path: Path) -> None:
    with ProcessLock(tmp_path / "lock"), pytest.raises(Timeout):
        ProcessLock(tmp_path / "lock").acquire(timeout=0)
