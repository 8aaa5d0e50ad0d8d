"""Packing: any clip source into the arrays that training reads (`mila.data.packed`), on all cores.

It can be stopped at any moment. What is done is kept in a journal, `unfinished.jsonl`, one line a clip with the sizes
and times of the files that it was read from, so that a repaired file means its own clips again and no others. The
manifest is written last. Space is taken before anything is read: a disk that is too full says so at once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout
from rich.filesize import decimal

from mila.common.files import write_atomic, write_json
from mila.common.locks import ProcessLock
from mila.common.processes import cores, in_parts
from mila.common.types import Progress
from mila.common.versions import code_digest
from mila.data.clips import ClipSource, modules_of
from mila.data.journal import JOURNAL, Journal
from mila.data.packed import (
    CHECKSUMS,
    FORMAT,
    MANIFEST,
    PackedClips,
    checksum,
    digest_of_checksums,
    encode,
    encoding,
    read_manifest,
    suite_in_manifest,
)
from mila.errors import UserError

_PART = 1.0  # seconds of work that are handed out at a time
_LARGEST_PART = 16  # clips
_TOO_MANY = 20  # broken clips after which it is not worth going on


@dataclass(frozen=True)
class _Array:
    """One array of a packed split: its name, type and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def clip_bytes(self) -> int:
        return int(np.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize


def space_needed(source: ClipSource, length: int) -> dict[str, int]:
    """Bytes of each array of `source` packed with clips of `length` frames, by name."""
    return {array.name: array.clip_bytes * array.shape[0] for array in _arrays(source, length)}


def pack(
    source: ClipSource,
    length: int,
    folder: Path,
    progress: Progress | None = None,
    *,
    workers: int | None = None,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Read or render every clip of `source` into `folder`; does nothing where that is done already.

    The result does not depend on `workers`, on interruptions, or on other processes that pack into the same folder:
    one of them works, the others wait.

    Args:
        source: the clips.
        length: frames a clip.
        folder: where the arrays go; made where there is none.
        progress: called with (clips done, clips in all).
        workers: processes; by default one a core.
        on_wait: called once where another process is at work on `folder`, before waiting for it.

    Raises:
        UserError: clips are broken (the others are kept), there is too little space, `folder` cannot be written or
            locked, or it holds another data set.
    """
    source.check(length)
    if _is_packed(source, length, folder):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = ProcessLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if on_wait is not None:
                on_wait()
            lock.acquire()
        with lock:
            if not _is_packed(source, length, folder):
                _pack(source, length, folder, progress, workers or cores())
    except OSError as error:
        raise _unwritable(folder, error) from error


def _is_packed(source: ClipSource, length: int, folder: Path) -> bool:
    """Whether `folder` is finished; `UserError` where it is, with something else."""
    if not (folder / MANIFEST).exists():
        return False
    about = read_manifest(folder)
    if about.get("source") != json.loads(json.dumps(source.manifest())) or about.get("length", 0) < length:
        raise UserError(
            f"{folder} holds another data set already, or this one from other or changed files, at another size or "
            "with shorter clips; delete it or choose another folder."
        )
    PackedClips(folder)  # says what is damaged
    return True


def _pack(source: ClipSource, length: int, folder: Path, progress: Progress | None, workers: int) -> None:
    arrays = _arrays(source, length)
    code = code_digest("mila.data.packed", __name__, *modules_of(source))
    identity = {"format": FORMAT, "length": length, "code": code, "source": source.manifest()}
    journal = Journal(folder / JOURNAL, identity)
    done = {index: line for index, line in journal.read().items() if line["files"] == _files_of(source, index)}
    journal.begin(done.values())
    _reserve(folder, arrays, keep=bool(done))
    todo = [index for index in range(len(source)) if index not in done]
    maker = Maker(source, length, folder, arrays)
    broken: dict[int, str] = {}
    try:
        with closing(in_parts(maker.make, todo, workers, seconds=_PART, largest=_LARGEST_PART)) as parts:
            for part in parts:
                journal.add(part.lines)
                done.update({line["clip"]: line for line in part.lines})
                broken.update(part.broken)
                if progress is not None:
                    progress(len(done), len(source))
                if len(broken) >= _TOO_MANY:
                    break
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker that prepared {folder} died (killed, or out of memory); the same command continues, with fewer "
            "--jobs where memory is short."
        ) from error
    if broken:
        sentences = [broken[index] for index in sorted(broken)]
        if len(sentences) == 1:
            raise UserError(sentences[0])
        raise UserError(
            f"{len(sentences)}{' or more' if len(sentences) >= _TOO_MANY else ''} clips cannot be read, the first: "
            f"{sentences[0]} (`python -m mila.data inspect` lists them all.)"
        )
    if source.manifest() != identity["source"]:
        raise UserError(f"the data changed while {folder} was prepared from them; run again once they are complete.")
    sums = np.array([done[index]["checksums"] for index in range(len(source))], np.uint32)
    write_atomic(folder / CHECKSUMS, lambda file: np.save(file, sums))
    suite = source.suite
    manifest = {
        **identity,
        "suite": suite_in_manifest(suite),
        "clips": len(source),
        "encodings": {task.name: list(encoding(suite, task)) for task in suite.tasks},
        "checksum": digest_of_checksums(sums),
    }
    write_json(folder / MANIFEST, manifest)
    (folder / JOURNAL).unlink()


def _arrays(source: ClipSource, length: int) -> list[_Array]:
    count, size = len(source), (source.height, source.width)
    arrays = [_Array("frames", "uint8", (count, length, 3, *size))]
    for task in source.suite.tasks:
        shape = (count, *size) if task.name == "segmentation" else (count, task.channels, *size)
        arrays.append(_Array(task.name, encoding(source.suite, task).dtype, shape))
    return arrays


def _files_of(source: ClipSource, index: int) -> str:
    """Names, sizes and times of the files behind a clip, in short; a missing one has none."""
    files: list[tuple[str, int, int, int]] = []
    for path in source.files(index):
        found = path.stat() if path.exists() else None
        about = (-1, 0, 0) if found is None else (found.st_size, found.st_mtime_ns, found.st_ino)
        files.append((path.name, *about))
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16] if files else ""


def _reserve(folder: Path, arrays: list[_Array], *, keep: bool) -> None:
    """Make the array files with their space taken on the disk; `keep` those that are there from before."""
    paths = [folder / f"{array.name}.npy" for array in arrays]
    if keep and all(path.is_file() for path in paths):
        return
    for path in paths:
        path.unlink(missing_ok=True)
    needed = sum(array.clip_bytes * array.shape[0] for array in arrays)
    free = shutil.disk_usage(folder).free
    try:
        if needed > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for path, array in zip(paths, arrays, strict=True):
            mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(array.dtype), shape=array.shape)
            mapped._mmap.close()  # type: ignore[attr-defined]
            if hasattr(os, "posix_fallocate"):
                with path.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        for path in paths:
            path.unlink(missing_ok=True)
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(
            f"{folder} needs {decimal(needed)}, but the disk has {decimal(free)} free; free some space, choose "
            "another folder, or prepare shorter clips."
        ) from error


@dataclass
class _Part:
    """Some clips' journal lines, and a sentence for each that could not be made."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Maker:
    """Makes clips of `source` and writes them to their places in the arrays; what is sent to each worker."""

    source: ClipSource
    length: int
    folder: Path
    arrays: list[_Array]

    def make(self, indices: Sequence[int]) -> _Part:
        """Write these clips and see them onto the disk."""
        part = _Part()
        files = {array.name: (self.folder / f"{array.name}.npy").open("r+b") for array in self.arrays}
        try:
            starts = {name: _data_start(file) for name, file in files.items()}
            for index in indices:
                read_from = _files_of(self.source, index)  # as they are before they are read
                try:
                    stored = self._stored(index)
                except UserError as error:
                    part.broken[index] = str(error)
                    continue
                for array in self.arrays:
                    files[array.name].seek(starts[array.name] + index * array.clip_bytes)
                    files[array.name].write(stored[array.name].data)
                sums = [checksum(stored[array.name]) for array in self.arrays]
                part.lines.append({"clip": index, "files": read_from, "checksums": sums})
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
        finally:
            for file in files.values():
                file.close()
        return part

    def _stored(self, index: int) -> dict[str, Any]:
        clip = self.source.clip(index, self.length)
        suite, stored = self.source.suite, {"frames": clip.frames}
        for task in suite.tasks:
            try:
                stored[task.name] = encode(task, clip.targets[task.name], encoding(suite, task))
            except UserError as error:
                file = next(iter(self.source.files(index)), "")
                raise UserError(f"{file}, clip {index}: {error}.") from error
        for array in self.arrays:
            shape = stored[array.name].shape
            if shape != array.shape[1:]:
                raise ValueError(f"clip {index}: {array.name} has shape {shape}, not {array.shape[1:]}")
        return {name: np.ascontiguousarray(values) for name, values in stored.items()}


def _data_start(file: Any) -> int:
    """Where the data of an `.npy` file begin, bytes."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read(file)
    return int(file.tell())


def _unwritable(folder: Path, error: OSError) -> UserError:
    if error.errno == errno.ENOSPC:
        return UserError(f"the disk of {folder} is full; free some space and run again: what is done is kept.")
    return UserError(
        f"{error.filename or folder} cannot be written ({error.strerror or error}); choose a folder that this user may "
        "write to."
    )
