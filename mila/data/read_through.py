"""Every item of a data set read once, on all cores; a sentence for each file that is broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from mila.data.cityscapes_files import metres_times_pixels
from mila.data.clips import ClipSource
from mila.data.file_names import Content, FileNames
from mila.data.images import read_grey, read_rgb
from mila.errors import UserError
from mila.processes import cores, follow_parent

_POOL_FROM = 8.0  # seconds of work below which starting workers takes longer than they save
_PART = 0.5  # seconds of work that are handed out at a time: Ctrl-C waits for as much
_LARGEST_PART = 64  # items

_Job = tuple[int, int]  # source, item


@dataclass(frozen=True)
class Reader:
    """Reads items of the splits of one data set.

    Attributes:
        sources: the splits.
        root: the data set's folder.
        names: what its files hold.
        video: whether clips are made of the frames of a video.
    """

    sources: Sequence[ClipSource]
    root: Path
    names: FileNames
    video: bool

    def read_all(self, workers: int | None = None, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """What is wrong with the items, one sentence a file, in the order of the items.

        Args:
            workers: processes; by default one a core. The result does not depend on it.
            progress: told (items done, items in all).

        Raises:
            UserError: a worker died.
        """
        jobs = [(place, index) for place, source in enumerate(self.sources) for index in range(len(source))]
        found: dict[_Job, list[str]] = {}
        with closing(_in_parts(self, jobs, workers or cores())) as parts:
            for part in parts:
                found.update(part)
                if progress is not None:
                    progress(len(found), len(jobs))
        return [sentence for job in jobs for sentence in found[job]]

    def read(self, place: int, index: int) -> list[str]:
        """What is wrong with item `index` of source `place`.

        Its longest clip is made, which reads everything. Where that fails its files are decoded one by one.
        """
        source = self.sources[place]
        files = {path: self.names.holds(self.root, path) for path in source.files(index)}
        frames = sum("frame" in holds for holds in files.values()) if self.video else 0
        try:
            source.clip(index, max(frames, 1))
        except UserError as error:
            found = [sentence for path, holds in files.items() if (sentence := _broken(path, holds)) is not None]
            return list(dict.fromkeys([*found, str(error)]))
        return []


def _broken(path: Path, holds: frozenset[Content]) -> str | None:
    """A sentence where the file cannot be decoded. What is in no file of its own only its reader can tell."""
    try:
        if path.suffix == ".npy":
            _load(path)
        elif path.name.endswith("_camera.json"):
            metres_times_pixels(path)
        elif "frame" in holds:
            read_rgb(path)
        elif path.suffix == ".png":
            read_grey(path)
    except UserError as error:
        return str(error)
    return None


def _load(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); unpack it again from the archive.") from error


def _in_parts(reader: Reader, jobs: list[_Job], workers: int) -> Generator[dict[_Job, list[str]], None, None]:
    """The jobs in parts of `_PART` seconds; one after the other here, or by workers where that is worth it."""
    if not jobs:
        return
    start = time.monotonic()
    yield _read_part(reader, jobs[:1])
    seconds = max(time.monotonic() - start, 1e-4)
    size = int(min(max(_PART / seconds, 1), _LARGEST_PART))
    parts = [jobs[place : place + size] for place in range(1, len(jobs), size)]
    if workers == 1 or seconds * (len(jobs) - 1) < _POOL_FROM:
        yield from (_read_part(reader, part) for part in parts)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(parts)), get_context("spawn"), initializer=_start_worker, initargs=(reader,)
    )
    try:
        waiting: set[Future[dict[_Job, list[str]]]] = {pool.submit(_work, part) for part in parts}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker that read {reader.root} died (killed, or out of memory); run again with fewer --jobs where "
            "memory is short."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_part(reader: Reader, jobs: list[_Job]) -> dict[_Job, list[str]]:
    return {job: reader.read(*job) for job in jobs}


_reader: Reader | None = None


def _start_worker(reader: Reader) -> None:
    global _reader
    follow_parent()
    _reader = reader


def _work(jobs: list[_Job]) -> dict[_Job, list[str]]:
    assert _reader is not None
    return _read_part(_reader, jobs)
