"""What files contain: digests that are remembered, so that to look at 150,000 files again takes seconds.

A digest is remembered with the size, the inode and the times of last change of the file it was read from; where one of
them differs, the file is read again. They lie in the user's cache folder, one file a folder of the data set, never in
the data set itself; `MILA_CACHE` names another place. It may be deleted at any time, which costs another reading.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mila.common.cache import cache_folder
from mila.common.files import write_text
from mila.common.processes import cores
from mila.errors import UserError

_SETTLED = 2 * 10**9
"""Nanoseconds; what changed so shortly before it was read may change again at the same time of a coarse clock."""
_SAY_EVERY = 10.0  # seconds
_CHUNK = 1 << 20  # bytes

_log = logging.getLogger(__name__)


class _Seen(NamedTuple):
    """A file as it was: what the system says of it, and the SHA-256 of its bytes."""

    size: int
    changed: int
    status_changed: int
    inode: int
    digest: str

    def is_still(self, found: os.stat_result) -> bool:
        return self[:4] == _identity(found)


def content_digests(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of the bytes of each file, by path. Long reading says on the log how far it is.

    Raises:
        UserError: a file changes while it is read.
        OSError: a file is missing or cannot be read.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(paths):
        by_folder.setdefault(path.parent, []).append(path)
    digests: dict[Path, str] = {}
    unread: dict[Path, list[Path]] = {}
    for folder, files in by_folder.items():
        seen = _seen_in(os.path.realpath(folder))
        for path in files:
            before, found = seen.get(path.name), path.stat()
            if before is not None and before.is_still(found):
                digests[path] = before.digest
            else:
                unread.setdefault(folder, []).append(path)
    speaker = _Speaker(sum(map(len, unread.values())))
    for folder, files in unread.items():
        new: dict[str, _Seen] = {}
        try:
            for path, seen_now in _read_all(files):
                new[path.name], digests[path] = seen_now, seen_now.digest
                speaker.one_more(folder)
        finally:
            _remember(os.path.realpath(folder), new)
    return digests


class _Speaker:
    """Says now and then how far a long reading is."""

    def __init__(self, total: int) -> None:
        self._done, self._total, self._said = 0, total, time.monotonic()

    def one_more(self, folder: Path) -> None:
        self._done += 1
        if time.monotonic() - self._said > _SAY_EVERY:
            self._said = time.monotonic()
            _log.warning(
                "reading what the files of the data set contain (once): %d of %d, now in %s",
                self._done,
                self._total,
                folder,
            )


def _read_all(files: list[Path]) -> Iterator[tuple[Path, _Seen]]:
    pool = ThreadPoolExecutor(cores())
    try:
        futures = {pool.submit(_read, path): path for path in files}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(path: Path) -> _Seen:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UserError(f"{path} changes while it is read; run again once it is complete.")
    return _Seen(*_identity(before), digest.hexdigest())


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _remember(folder: str, new: dict[str, _Seen]) -> None:
    """Keep what was read in `folder`; what has just changed is not kept, for it may change again unseen."""
    settled = time.time_ns() - _SETTLED
    kept = {name: seen for name, seen in new.items() if max(seen.changed, seen.status_changed) < settled}
    if not kept:
        return
    seen_in = _seen_in(folder)
    seen_in.update(kept)
    path = _cache_file(folder)
    try:
        merged = {**_load(path), **kept}  # another process may have read other files of the folder meanwhile
        write_text(path, json.dumps({"folder": folder, "files": merged}, ensure_ascii=False) + "\n")
    except (OSError, UnicodeError) as error:
        _say_forgetful(str(path.parent), str(error))


@cache
def _say_forgetful(folder: str, reason: str) -> None:
    _log.warning(
        "what was read cannot be remembered in %s (%s): the next run reads all files of the data set again; set "
        "MILA_CACHE to a folder that can be written.",
        folder,
        reason,
    )


@cache  # a process reads the files of few data sets
def _seen_in(folder: str) -> dict[str, _Seen]:
    """What is remembered of the files of a folder, by name; this process adds to it."""
    return _load(_cache_file(folder))


def _load(path: Path) -> dict[str, _Seen]:
    """What a cache file says; nothing where it is missing or damaged."""
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        seen = {str(name): _Seen(*values) for name, values in files.items()}
        sound = all(isinstance(one.digest, str) and len(one.digest) == 64 for one in seen.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    return seen if sound else {}


def _cache_file(folder: str) -> Path:
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
    return cache_folder() / "contents" / name[:2] / f"{name}.json"
