"""Packed clips: a data set at the size it is trained at, in memory-mapped arrays that training reads without decoding.

A folder holds `frames.npy` (uint8 `[N, T, 3, H, W]`), one array a task, and `manifest.json`, which is written last: a
folder without it is unfinished, and packing goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mila.data.clips import ClipSource, frames_needed, normalise
from mila.errors import UserError
from mila.files import write_json
from mila.tasks import SUITES, Suite

_DTYPES = {"segmentation": np.int8, "depth": np.float32, "normals": np.float32, "flow": np.float32}
_SAVE_EVERY = 25  # clips


def pack(source: ClipSource, length: int, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Render or read every clip of `source`, `length` frames each, into `folder`.

    Can be stopped at any moment; the next call with the same source continues. `progress` is told (done, total).
    """
    if (folder / "manifest.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    counter = folder / "packed.json"
    state: dict[str, Any] = {"source": source.manifest(), "length": length, "done": 0}
    if counter.is_file():
        before = json.loads(counter.read_text())
        if {**before, "done": 0} == json.loads(json.dumps(state)):
            state = before
    arrays: dict[str, np.memmap[Any, Any]] = {}
    for index in range(state["done"], len(source)):
        clip = source.clip(index, length)
        if not arrays:
            mode = "r+" if state["done"] else "w+"
            arrays = {
                name: _open(folder / f"{name}.npy", mode, (len(source), *array.shape), dtype)
                for name, array, dtype in _layout(clip.frames, clip.targets)
            }
        arrays["frames"][index] = clip.frames
        for name, target in clip.targets.items():
            arrays[name][index] = target
        if (index + 1) % _SAVE_EVERY == 0 or index + 1 == len(source):
            for array in arrays.values():
                array.flush()
            write_json(counter, {**state, "done": index + 1})
        if progress is not None:
            progress(index + 1, len(source))
    suite = source.suite.name
    write_json(folder / "manifest.json", {"suite": suite, "length": length, **source.manifest()})
    counter.unlink(missing_ok=True)


def _layout(frames: npt.NDArray[np.uint8], targets: Any) -> list[tuple[str, npt.NDArray[Any], Any]]:
    return [("frames", frames, np.uint8), *((name, array, _DTYPES[name]) for name, array in targets.items())]


def _open(path: Path, mode: Any, shape: tuple[int, ...], dtype: Any) -> np.memmap[Any, Any]:
    if mode == "r+":
        return np.lib.format.open_memmap(path, mode="r+")
    return np.lib.format.open_memmap(path, mode=mode, dtype=dtype, shape=shape)


class PackedClips:
    """A packed data set: answers (index, offset, history) with a clip and the targets of its last frame.

    Args:
        folder: what `pack` wrote.

    Attributes:
        suite: the tasks it has targets for.
        length: frames a clip.
        manifest: where the data came from.

    Raises:
        UserError: the folder is missing or unfinished.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
            self.suite: Suite = SUITES[self.manifest["suite"]]
            self.length: int = self.manifest["length"]
            self._frames = np.load(folder / "frames.npy", mmap_mode="r")
            self._targets = {t.name: np.load(folder / f"{t.name}.npy", mmap_mode="r") for t in self.suite.tasks}
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{folder} is not a finished packed data set ({error}); delete it and run again."
            ) from error

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        height, width = self._frames.shape[-2:]
        return int(height), int(width)

    def batch(
        self, indices: Sequence[int], offset: int, history: int, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Clips of `history + offset + 1` frames that end at the annotated frames `indices`.

        Returns:
            Normalised float32 frames `[B, T, 3, H, W]`, and the targets of the last frames: `segmentation` int64
            `[B, H, W]`, `depth` `[B, 1, H, W]`, `normals` `[B, 3, H, W]`, `flow` `[B, 2, H, W]`.

        Raises:
            ValueError: the packed clips are shorter than that.
        """
        needed = frames_needed(offset, history)
        if needed > self.length:
            raise ValueError(
                f"the packed clips have {self.length} frames, offset {offset} with history {history} needs {needed}"
            )
        # One read a clip: a fancy index over a memory map would touch the frames it does not return.
        frames = np.stack([self._frames[i, self.length - needed :] for i in indices])
        targets = {}
        for name, array in self._targets.items():
            target = torch.from_numpy(np.stack([array[i] for i in indices])).to(device)
            targets[str(name)] = target.long() if name == "segmentation" else target
        return normalise(torch.from_numpy(frames).to(device)), targets

    def targets(self) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """The targets of every clip in turn, as they are stored; for statistics."""
        for index in range(len(self)):
            yield {str(name): np.asarray(array[index]) for name, array in self._targets.items()}

    def raw(self, index: int) -> tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[Any]]]:
        """One clip's frames `[T, 3, H, W]` and its targets, as they are stored; for pictures."""
        return np.array(self._frames[index]), {
            str(name): np.array(array[index]) for name, array in self._targets.items()
        }
