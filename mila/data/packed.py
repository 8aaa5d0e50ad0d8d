"""Packed clips: a data set at the size it is trained at, in memory-mapped arrays that training reads without decoding.

    FOLDER/frames.npy       uint8 [N, T, 3, H, W]
    FOLDER/TASK.npy         one array a task, [N, H, W] or [N, channels, H, W], see `encoding`
    FOLDER/checksums.npy    uint32 [N, arrays]: CRC-32 of each clip's part of each array
    FOLDER/manifest.json    written last: a folder without it is unfinished

`mila.data.prepare` writes them. A *packed store* is a folder of such folders, one a split: `train`, `val`, `test`.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mila.common.files import BROKEN_ARRAY, not_opened
from mila.common.types import Progress
from mila.data.clips import Clip, frames_needed, normalise
from mila.errors import UserError
from mila.tasks import SUITES, VOID, Suite, Task, suite_as_json, suite_from_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FORMAT = 2
"""Raise it with every change of what the arrays or the manifest say."""

MANIFEST = "manifest.json"
CHECKSUMS = "checksums.npy"

_VOID = 255  # as int8 it is `VOID`
_ANEW = "delete it and prepare it again"


class Encoding(NamedTuple):
    """How an array is stored: as `dtype`, the value times `per_unit` rounded (1: the value itself)."""

    dtype: str
    per_unit: int = 1


def encoding(suite: Suite, task: Task) -> Encoding:
    """How a task's targets are stored.

    Labels are uint8 with 255 for void. Disparity is the uint16 of its PNG. Depth of NYUv2 is uint16 millimetres, a
    tenth of what its sensor tells apart at 1 m. Depth in metres of Cityscapes reaches kilometres and is float16, as
    normals and flow are: 11 significant bits, or 0.03 degrees of a normal. So is depth in metres of data of one's own.
    """
    if task.name == "segmentation":
        return Encoding("uint8")
    if task.name == "depth" and task.metrics[0].unit.startswith("disparity"):
        return Encoding("uint16", 65535)
    if task.name == "depth" and suite.name.startswith("nyuv2"):
        return Encoding("uint16", 1000)
    return Encoding("float16")


def encode(task: Task, values: npt.NDArray[Any], how: Encoding) -> npt.NDArray[Any]:
    """A target as `mila.tasks` lays down to what is stored; valid depth stays valid, however near.

    Raises:
        UserError: depth beyond what uint16 can say, or that is no number.
    """
    if task.name == "segmentation":
        return np.where(values == VOID, _VOID, values).astype(how.dtype)
    if task.name == "depth" and not np.isfinite(values).all():
        raise UserError("depth that is no finite number cannot be stored; write 0 where there is none")
    if how.dtype == "float16":
        largest = float(np.finfo(np.float16).max)
        return values.clip(-largest, largest).astype(how.dtype)  # NaN, undefined flow, stays
    if values.max() > 65535 / how.per_unit:
        raise UserError(
            f"depth {values.max():g} is beyond the {65535 / how.per_unit:g} that can be stored; correct its unit"
        )
    stored = np.rint(values.astype(np.float64) * how.per_unit)
    return np.where(values > 0, np.maximum(stored, 1), 0).astype(how.dtype)


def decode(task: Task, stored: npt.NDArray[Any], how: Encoding) -> npt.NDArray[Any]:
    """What `encode` stored, as `mila.tasks` lays down, to within its rounding."""
    if task.name == "segmentation":
        return stored.view(np.int8).astype(np.int64)  # 255 is -1
    values = stored.astype(np.float32)
    return values if how.per_unit == 1 else values / np.float32(how.per_unit)


def checksum(part: npt.NDArray[Any]) -> int:
    """CRC-32 of an array's bytes."""
    return zlib.crc32(np.ascontiguousarray(part).data)


def is_packed_store(root: Path) -> bool:
    """Whether `root` holds packed splits, finished or not."""
    return any((root / split / "frames.npy").exists() for split in ("train", "val", "test"))


class PackedClips:
    """A packed split: answers (index, offset, history) with a clip and the targets of its last frame.

    Also a `ClipSource`, of clips up to the length that it was prepared with. What is read of a clip is compared with
    its checksum the first time; what was damaged is never handed out, but `UserError`.

    Args:
        folder: what `mila.data.prepare.pack` wrote.
        limit: use the first so many clips only.
        remedy: what to do where it is damaged; by default, to delete the folder and prepare it again.

    Attributes:
        suite: the tasks it has targets for.
        length: frames a clip.
        mode: where the clips came from: `video`, `pan` or `still`.
        height, width: of the frames, pixels.

    Raises:
        UserError: the folder is missing, unfinished, damaged, or was written by another version of the suite; or the
            system does not open it.
    """

    def __init__(self, folder: Path, limit: int | None = None, *, remedy: str | None = None) -> None:
        self.folder = folder
        self._remedy = remedy
        about = read_manifest(folder, remedy=remedy)
        try:
            self.suite: Suite = _suite_of(about["suite"])
            self.length: int = about["length"]
            self.mode: str = about["source"].get("mode", "video")
            self._about, self._tasks = about, {str(task.name): task for task in self.suite.tasks}
            self._how = {name: Encoding(*about["encodings"][name]) for name in self._tasks}
            self._frames = _map(folder, "frames")
            self._targets = {str(name): _map(folder, name) for name in self._tasks}
            self._checksums = _map(folder, "checksums")
            self._check_arrays()
        except (*BROKEN_ARRAY, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise not_opened(Path(error.filename or folder), error) from error
            raise UserError(f"{folder} is not a finished packed data set ({error}); {remedy or _ANEW}.") from error
        self._intact = {name: bytearray(len(self._frames)) for name in ("frames", *self._tasks)}
        self._count = len(self._frames) if limit is None else min(limit, len(self._frames))
        self.height, self.width = (int(side) for side in self._frames.shape[-2:])

    def _check_arrays(self) -> None:
        """`ValueError` where the arrays are not those that the manifest is about."""
        about = self._about
        for array in (self._frames, self._checksums, *self._targets.values()):
            if len(array) != about["clips"]:
                raise ValueError(f"an array has {len(array)} clips, the manifest says {about['clips']}")
        if self._frames.shape[1] != self.length:
            raise ValueError(f"clips have {self._frames.shape[1]} frames, the manifest says {self.length}")
        if self._how != {name: encoding(self.suite, task) for name, task in self._tasks.items()}:
            raise ValueError("the manifest's encodings are not those of its tasks")
        if digest_of_checksums(self._checksums) != about["checksum"]:
            raise ValueError(f"{CHECKSUMS} is not what the manifest is about")

    def _part(self, name: str, index: int) -> npt.NDArray[Any]:
        """Clip `index` of an array as it is stored, whole; compared with its checksum the first time."""
        array = self._frames if name == "frames" else self._targets[name]
        part: npt.NDArray[Any] = array[index]
        if not self._intact[name][index]:
            place = ("frames", *self._tasks).index(name)
            if checksum(part) != int(self._checksums[index, place]):
                raise UserError(self._damaged(name, index))
            self._intact[name][index] = 1
        return part

    def _damaged(self, name: str, index: int) -> str:
        remedy = self._remedy or f"delete {self.folder} and prepare it again"
        return f"{self.folder / name}.npy is damaged at clip {index}; {remedy}."

    def __len__(self) -> int:
        return self._count

    def clip(self, index: int, length: int) -> Clip:
        """The last `length` frames of clip `index`, and the targets of the last one.

        Raises:
            IndexError: there is no clip `index`.
            UserError: the packed clips are shorter than that, or the clip is damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        self.check(length)
        targets = {n: decode(task, self._part(n, index), self._how[n]) for n, task in self._tasks.items()}
        return Clip(np.array(self._part("frames", index)[self.length - length :]), targets)

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        """`UserError` where the packed clips are shorter than `length` frames, or `length` is below 1."""
        if not 1 <= length <= self.length:
            raise UserError(
                f"{self.folder} was prepared with clips of {self.length} frames, but clips of {length} are wanted; "
                f"prepare it again with --length {max(length, 1)}."
            )

    def files(self, index: int) -> list[Path]:
        """The arrays, which every clip lies in.

        Raises:
            IndexError: there is no clip `index`.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        return [self.folder / f"{name}.npy" for name in ("frames", *self._tasks)]

    def manifest(self) -> dict[str, Any]:
        """The manifest of what was packed, and under `packed` which code packed it and the checksum of the result."""
        about = self._about
        packed = {"length": self.length, **{key: about[key] for key in ("format", "code", "checksum")}}
        limited = {} if len(self) == len(self._frames) else {"limit": len(self)}
        return {**about["source"], **limited, "packed": packed}

    def batch(
        self, indices: Sequence[int], offset: int, history: int, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Clips of `history + offset + 1` frames that end at the annotated frames `indices`.

        Returns:
            Normalised float32 frames `[B, T, 3, H, W]`, and the targets of the last frames: `segmentation` int64
            `[B, H, W]`, `depth` `[B, 1, H, W]`, `normals` `[B, 3, H, W]`, `flow` `[B, 2, H, W]`.

        Raises:
            ValueError: the packed clips are shorter than that.
            UserError: a clip is damaged.
        """
        import torch  # whatever packs, inspects or plans does without

        read, stored = self.read(indices, frames_needed(offset, history))
        targets = {name: torch.from_numpy(target).to(device) for name, target in stored.items()}
        return normalise(torch.from_numpy(read).to(device)), targets

    def read(self, indices: Sequence[int], length: int) -> tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[Any]]]:
        """The last `length` frames of some clips, uint8 `[B, T, 3, H, W]`, and the targets of the last ones.

        Raises:
            ValueError: the packed clips are shorter than that.
            UserError: a clip is damaged.
        """
        if length > self.length:
            raise ValueError(f"the packed clips have {self.length} frames, {length} are needed")
        # One read a clip: a fancy index over a memory map would touch the frames it does not return.
        frames = np.stack([self._part("frames", index)[self.length - length :] for index in indices])
        targets = {
            name: decode(task, np.stack([self._part(name, index) for index in indices]), self._how[name])
            for name, task in self._tasks.items()
        }
        return frames, targets

    def targets(self) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """The targets of every clip in turn, as `mila.tasks` lays down; for statistics."""
        for index in range(len(self)):
            yield {n: decode(task, self._part(n, index), self._how[n]) for n, task in self._tasks.items()}

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Read everything and compare it with the checksums: one sentence a clip and array that was damaged since.

        `progress` is called with (done, total) in clips.
        """
        damaged = []
        arrays: dict[str, npt.NDArray[Any]] = {"frames": self._frames, **self._targets}
        for index in range(len(self)):
            for place, (name, array) in enumerate(arrays.items()):
                if checksum(array[index]) != int(self._checksums[index, place]):
                    damaged.append(self._damaged(name, index))
            if progress is not None:
                progress(index + 1, len(self))
        return damaged


def suite_in_manifest(suite: Suite) -> str | dict[str, Any]:
    """What a manifest says of the tasks: the name of a suite that is known by it (`SUITES`), all of any other."""
    return suite.name if SUITES.get(suite.name) == suite else suite_as_json(suite)


def _suite_of(said: Any) -> Suite:
    return SUITES[said] if isinstance(said, str) else suite_from_json(said)


def digest_of_checksums(sums: npt.NDArray[Any]) -> str:
    """What a manifest says of all checksums: it stands for the whole contents of a packed split."""
    return hashlib.sha256(np.ascontiguousarray(sums).tobytes()).hexdigest()[:16]


def read_manifest(folder: Path, *, remedy: str | None = None) -> dict[str, Any]:
    """The manifest of a finished packed split; `remedy` as for `PackedClips`.

    Raises:
        UserError: there is none, it cannot be read, or it is of another format.
    """
    path = folder / MANIFEST
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise TypeError(f"{MANIFEST} holds no object")
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is not a finished packed data set (it has no {MANIFEST}); "
            f"{remedy or 'prepare it again: an interrupted one is continued'}."
        ) from error
    except OSError as error:
        raise not_opened(path, error) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{folder} is not a finished packed data set ({error}); {remedy or _ANEW}.") from error
    found = about.get("format", 1)
    if found != FORMAT:
        raise UserError(
            f"{path} was written by another version of the suite (format {found}, this one has {FORMAT}); "
            f"{remedy or f'delete {folder} and prepare it again'}."
        )
    return about


def _map(folder: Path, name: str) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array
