"""Every item of a data set read once, on all cores; a sentence for each file that is broken."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mila.common.files import BROKEN_ARRAY
from mila.common.processes import cores, in_parts
from mila.common.types import Progress
from mila.data.clips import ClipSource
from mila.data.readers.cityscapes_files import metres_times_pixels
from mila.data.readers.file_names import Content, FileNames
from mila.data.readers.images import read_depth, read_labels, read_rgb
from mila.errors import UserError

_PART = 0.5  # seconds of work that are handed out at a time: Ctrl-C waits for as much
LARGEST_PART = 64  # items

_Job = tuple[int, int]  # source, item


@dataclass(frozen=True)
class IntegrityCheck:
    """Reads items of the splits of one data set.

    Attributes:
        sources: the splits.
        root: the data set's folder.
        names: what its files hold; None where that is not known: of a data set of one's own.
        video: whether clips are made of the frames of a video.
        length: frames of a clip where `names` cannot tell.
    """

    sources: Sequence[ClipSource]
    root: Path
    names: FileNames | None = None
    video: bool = False
    length: int = 1

    def read_all(self, workers: int | None = None, progress: Progress | None = None) -> list[str]:
        """What is wrong with the items, one sentence a file, in the order of the items.

        Args:
            workers: processes; by default one a core. The result does not depend on it.
            progress: called with (items done, items in all).

        Raises:
            UserError: a worker died.
        """
        jobs = [(place, index) for place, source in enumerate(self.sources) for index in range(len(source))]
        found: dict[_Job, list[str]] = {}
        read = partial(_read_part, self)
        try:
            with closing(in_parts(read, jobs, workers or cores(), seconds=_PART, largest=LARGEST_PART)) as parts:
                for part in parts:
                    found.update(part)
                    if progress is not None:
                        progress(len(found), len(jobs))
        except BrokenProcessPool as error:
            raise UserError(
                f"a worker that read {self.root} died (killed, or out of memory); run again with fewer --jobs where "
                "memory is short."
            ) from error
        return [sentence for job in jobs for sentence in found[job]]

    def read(self, place: int, index: int) -> list[str]:
        """What is wrong with item `index` of source `place`.

        Its longest clip is made, which reads everything. Where that fails its files are decoded one by one.
        """
        source, names = self.sources[place], self.names
        files = {} if names is None else {path: names.holds(self.root, path) for path in source.files(index)}
        frames = sum("frame" in holds for holds in files.values()) if self.video else self.length
        try:
            source.clip(index, max(frames, 1))
        except UserError as error:
            found = [sentence for path, holds in files.items() if (sentence := _broken(path, holds)) is not None]
            return list(dict.fromkeys([*found, str(error)]))
        return []


def _broken(path: Path, holds: frozenset[Content]) -> str | None:
    """A sentence where the file cannot be decoded. What lies in a file with other items, only its reader can check."""
    try:
        if path.suffix == ".npy":
            _load(path)
        elif path.name.endswith("_camera.json"):
            metres_times_pixels(path)
        elif "frame" in holds or holds == {"normals"}:
            read_rgb(path)
        elif path.suffix == ".png":
            (read_depth if "depth" in holds else read_labels)(path)
    except UserError as error:
        return str(error)
    return None


def _load(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            np.load(stream, allow_pickle=False)
    except BROKEN_ARRAY as error:
        raise UserError(f"{path} cannot be read ({error}); unpack it again from the archive.") from error


def _read_part(check: IntegrityCheck, jobs: list[_Job]) -> dict[_Job, list[str]]:
    return {job: check.read(*job) for job in jobs}
