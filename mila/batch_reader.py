"""The batches of a training in the order of its steps, on their way from the disk to the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mila.data.clips import normalise
from mila.kept import Stored


class View(NamedTuple):
    """How the last frames of a batch's clips are predicted.

    Attributes:
        offset: o, how many frames before the end the last keyframe lies.
        kept: what frozen networks gave for the frames that this needs, if it is kept; see `KeptMaps.read`.
    """

    offset: int
    kept: Stored | None = None


@dataclass(frozen=True)
class Batch:
    """A batch as it is read.

    Attributes:
        frames: uint8 `[B, T, 3, H, W]`, as many as the largest offset needs.
        targets: as `PackedClips.batch` gives them.
        views: by which it is predicted, one or two.
    """

    frames: Tensor
    targets: Mapping[str, Tensor]
    views: tuple[View, ...]

    def pinned(self) -> Batch:
        """The same in memory that a GPU reads by itself."""
        views = tuple(
            View(offset, kept and {of: tuple(x.pin_memory() for x in maps) for of, maps in kept.items()})
            for offset, kept in self.views
        )
        targets = {name: target.pin_memory() for name, target in self.targets.items()}
        return Batch(self.frames.pin_memory(), targets, views)

    def on(self, device: torch.device | str) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised float32 frames `[B, T, 3, H, W]` and targets there; nobody waits until pinned memory is copied."""
        targets = {name: target.to(device, non_blocking=True) for name, target in self.targets.items()}
        return normalise(self.frames.to(device, non_blocking=True)), targets


class BatchReader:
    """Reads the batch of a step; for a GPU a thread has read it, and pinned it, while the step before was computed.

    Args:
        read: gives the batch of a step, a function of the step alone.
        ahead: whether the next one is read by a thread.
        pin: whether batches are pinned.

    Attributes:
        waited: seconds that `batch` has taken so far.
    """

    def __init__(self, read: Callable[[int], Batch], *, ahead: bool, pin: bool) -> None:
        self._read, self._pin = read, pin
        self._thread = ThreadPoolExecutor(1, "batches") if ahead else None
        self._next: tuple[int, Future[Batch]] | None = None
        self.waited = 0.0

    def batch(self, step: int, *, is_last: bool) -> Batch:
        """The batch of a step; the next is begun unless this one `is_last`.

        Raises:
            UserError: a clip is damaged.
        """
        start = time.perf_counter()
        following, self._next = self._next, None
        batch = following[1].result() if following is not None and following[0] == step else self._read_one(step)
        self.waited += time.perf_counter() - start
        if self._thread is not None and not is_last:
            self._next = (step + 1, self._thread.submit(self._read_one, step + 1))
        return batch

    def close(self) -> None:
        """Wait for what is being read, and read no more."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _read_one(self, step: int) -> Batch:
        batch = self._read(step)
        return batch.pinned() if self._pin else batch
