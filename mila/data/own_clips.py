"""The clips of a user's own reader, held to what every reader promises: what is wrong is a sentence with the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mila.common.user_code import line_of, load_file
from mila.data.clips import Clip, ClipSource
from mila.errors import UserError
from mila.tasks import VOID, Suite, Task, suite_as_json

_TRIED = 2  # clips of each split, before anything is made of them
_MEMBERS = ("__len__", "clip", "check", "files", "manifest")
_UNIT = 0.01  # by which the length of a normal may differ from 1


class OwnClips:
    """A split that a user's file opens, as a `ClipSource`. It can be sent to other processes, which open it anew.

    Args:
        file: the user's file.
        open_split: its function, see `mila.data.own.DataSet`.
        suite: the tasks.
        about: what its manifest says beside what the reader does.
        root, split, mode, height, width, limit, problems: what the split is opened with.

    Raises:
        UserError: what the file gives is no `ClipSource`, or has no clip.
    """

    def __init__(
        self,
        file: Path,
        open_split: Callable[..., ClipSource],
        suite: Suite,
        about: Mapping[str, Any],
        root: Path,
        split: str,
        *,
        mode: str,
        height: int,
        width: int,
        limit: int | None = None,
        problems: list[str] | None = None,
    ) -> None:
        self.file, self.suite, self.split, self.mode = file, suite, split, mode
        self.height, self.width = height, width
        self._about, self._root = about, root
        self._tried: set[int] = set()
        options: dict[str, Any] = {"mode": mode, "height": height, "width": width, "limit": limit}
        with self._mine("open"):
            self._clips = open_split(root, split, **options, problems=problems)
        self._options = {**options, "problems": None if problems is None else []}  # said once
        missing = [name for name in _MEMBERS if not callable(getattr(self._clips, name, None))]
        if missing:
            raise self._error(f"what open gives for {split} has no {' and no '.join(missing)}; add what is missing")
        if len(self) < 1:
            raise self._error(f"the split {split} in {root} has no clip; correct the path, or unpack the data")

    def __reduce__(self) -> tuple[Any, ...]:
        opened = partial(_opened_again, options=self._options)
        return opened, (self.file, self.suite, self._about, self._root, self.split)

    def __len__(self) -> int:
        limit = self._options["limit"]
        with self._mine("__len__"):
            return len(self._clips) if limit is None else min(limit, len(self._clips))

    def clip(self, index: int, length: int) -> Clip:
        """See `ClipSource`.

        Raises:
            IndexError: there is no clip `index`.
            UserError: the reader fails, or what it gives is not as `mila.tasks` and `mila.data.clips` lay down.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        with self._mine(f"clip {index} of {self.split}"):
            clip = self._clips.clip(index, length)
        wrong = "it is no mila.data.clips.Clip" if not isinstance(clip, Clip) else self._wrong(clip, length)
        if wrong:
            files = [str(path) for path in self.files(index)][-1:]
            raise self._error(f"{', '.join([f'clip {index} of {self.split}', *files])}: {wrong}")
        return clip

    def check(self, length: int, problems: list[str] | None = None) -> None:
        """See `ClipSource`; without `problems` the first clips are made: what is wrong with all is said early."""
        with self._mine("check"):
            self._clips.check(length, problems)
        if problems is None and length not in self._tried:
            for index in range(min(_TRIED, len(self))):
                self.clip(index, length)
            self._tried.add(length)

    def files(self, index: int) -> Sequence[Path]:
        """See `ClipSource`."""
        with self._mine("files"):
            return [Path(path) for path in self._clips.files(index)]

    def manifest(self) -> dict[str, Any]:
        """What the reader says, with the tasks and the file that it is read by."""
        with self._mine("manifest"):
            said = self._clips.manifest()
        try:
            found = dict(json.loads(json.dumps(said)))
        except (TypeError, ValueError) as error:
            raise self._error(f"manifest() gives what is no JSON object ({error})") from error
        tasks = json.dumps(suite_as_json(self.suite), sort_keys=True).encode()
        return {
            **found,
            **self._about,
            "suite": self.suite.name,
            "tasks": hashlib.sha256(tasks).hexdigest()[:16],
            "file": f"{self.file.name} {hashlib.sha256(self.file.read_bytes()).hexdigest()[:16]}",
            "split": self.split,
            "mode": self.mode,
            "height": self.height,
            "width": self.width,
            "items": len(self),
        }

    def _error(self, what: str) -> UserError:
        return UserError(f"{self.file}: {what} (docs/add_a_data_set.md).")

    @contextmanager
    def _mine(self, what: str) -> Iterator[None]:
        """Turns what the user's code raises into a sentence that names the file and the line."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            where = line_of(self.file, error)
            raise self._error(f"{what} ends with {type(error).__name__}: {error}{where}; mend it") from error

    def _wrong(self, clip: Clip, length: int) -> str:
        """What is not as it must be in a clip; empty where all is well."""
        size = (self.height, self.width)
        frames = _unlike("frames", clip.frames, "uint8", (length, 3, *size))
        if frames:
            return frames
        names = {str(task.name) for task in self.suite.tasks}
        if not isinstance(clip.targets, Mapping) or set(clip.targets) != names:
            given = ", ".join(sorted(map(str, clip.targets))) or "none"
            return f"it has the targets {given}, but the tasks are {', '.join(sorted(names))}; give one for each"
        return next(filter(None, (_wrong_target(t, clip.targets[t.name], size) for t in self.suite.tasks)), "")


def _opened_again(file: Path, *rest: Any, options: dict[str, Any]) -> OwnClips:
    """In another process, where the user's file is read anew."""
    return OwnClips(file, load_file(file).DATA_SET.open, *rest, **options)


def _unlike(what: str, values: object, dtype: str, shape: tuple[int, ...]) -> str:
    if not isinstance(values, np.ndarray):
        return f"{what} is {type(values).__name__}, not a NumPy array"
    if values.dtype != np.dtype(dtype) or values.shape != shape:
        return f"{what} is {values.dtype} {list(values.shape)}, not {dtype} {list(shape)}"
    return ""


def _wrong_target(task: Task, values: Any, size: tuple[int, int]) -> str:
    is_labels = task.name == "segmentation"
    shape = size if is_labels else (task.channels, *size)
    wrong = _unlike(f"the target {task.name}", values, "int64" if is_labels else "float32", shape)
    if wrong:
        return wrong
    if is_labels:
        low, high = int(values.min()), int(values.max())
        if low < VOID or high >= len(task.classes):
            worst = low if low < VOID else high
            return f"label {worst} is none of 0 to {len(task.classes) - 1}, nor {VOID} for what is not annotated"
        return ""
    if not np.isfinite(values).all():
        return f"{task.name} holds what is no finite number; write 0 where it is not known"
    if task.name == "depth":
        return f"depth is {values.min():g} somewhere; write 0 where it is not known" if values.min() < 0 else ""
    length = np.linalg.norm(values, axis=0)
    if ((length != 0) & (np.abs(length - 1) > _UNIT)).any():
        return "normals are unit vectors, or 0 where they are not known; divide them by their length"
    return ""
