"""A clip source made of numbers, for tests of packing and of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mila.data.clips import Clip
from mila.errors import UserError
from mila.tasks import NYUV2, VOID, Suite


class FakeClips:
    """Clips of random numbers; `broken` ones raise `UserError`, at `stops_at` Ctrl-C is pressed.

    Args:
        clips: how many.
        suite: of the targets.
        height, width: pixels.
        broken: clips that cannot be read.
        stops_at: a clip that is never finished.
        folder: with it, clip i is "read" from a file `i` in it, which must exist.
    """

    def __init__(
        self,
        clips: int = 6,
        suite: Suite = NYUV2,
        height: int = 4,
        width: int = 6,
        *,
        broken: tuple[int, ...] = (),
        stops_at: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.suite, self.height, self.width, self.clips = suite, height, width, clips
        self.broken, self.stops_at, self.folder, self.asked = broken, stops_at, folder, list[int]()

    def __len__(self) -> int:
        return self.clips

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        if length > 9:
            raise UserError("no clip is that long")

    def files(self, index: int) -> list[Path]:
        return [] if self.folder is None else [self.folder / str(index)]

    def manifest(self) -> dict[str, Any]:
        return {"name": "made", "clips": self.clips, "suite": self.suite.name, "fingerprint": "of all files"}

    def clip(self, index: int, length: int) -> Clip:
        """Frame t before the end depends on (index, t) alone."""
        if index == self.stops_at:
            raise KeyboardInterrupt
        if index in self.broken:
            raise UserError(f"clip {index} is broken; mend it")
        self.asked.append(index)
        size = (self.height, self.width)
        frames = [np.random.default_rng((index, age)).integers(0, 256, (3, *size), np.uint8) for age in range(length)]
        rng = np.random.default_rng((index, 99))
        targets: dict[str, Any] = {}
        for task in self.suite.tasks:
            if task.name == "segmentation":
                targets["segmentation"] = rng.integers(VOID, task.channels, size)
            elif task.name == "depth":
                depth = rng.uniform(0.5, 9.5, (1, *size)) / (1 if task.main_metric.unit.startswith("m ") else 100)
                targets["depth"] = np.where(rng.random(depth.shape) < 0.2, 0, depth).astype(np.float32)
            else:
                vectors = rng.standard_normal((task.channels, *size)).astype(np.float32)
                targets[task.name] = vectors / np.linalg.norm(vectors, axis=0)
        return Clip(np.stack(frames[::-1]), targets)
