"""Raw predictions as files: PNG images that other programs read, or NumPy's npz, which keeps every digit.

Depth and normals have the encodings that the data sets' folders have (`mila.data.readers`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from mila.common.types import Array
from mila.data.colours import depth_unit
from mila.tasks import Suite, Task
from mila.video.predict import Prediction

RawKind = Literal["png", "npz"]
"""How raw predictions are written."""

_MOST = 65534  # of 16 bits; the value above stands for missing depth in many data sets


class RawWriter:
    """Writes the raw predictions of a video below a folder.

    Args:
        folder: is made where it is missing.
        suite: the tasks.
        kind: `png`: a folder a task with a file a frame; `npz`: a file a frame with all tasks.

    Attributes:
        clipped: pixels whose depth was too large for a PNG of 16 bits.
    """

    def __init__(self, folder: Path, suite: Suite, kind: RawKind) -> None:
        self._folder, self._suite, self._kind = folder, suite, kind
        self.clipped = 0
        for name in [task.name for task in suite.tasks] if kind == "png" else [""]:
            (folder / name).mkdir(parents=True, exist_ok=True)

    def write(self, prediction: Prediction) -> None:
        """Write what is predicted for a frame."""
        name = prediction.frame.name
        if self._kind == "npz":
            with (self._folder / f"{name}.npz").open("wb") as file:
                arrays: dict[str, Any] = {**prediction.tasks}
                np.savez(file, **arrays)
            return
        for task in self._suite.tasks:
            path = self._folder / task.name / f"{name}.png"
            Image.fromarray(self._encoded(task, prediction.tasks[task.name])).save(path, compress_level=1)

    def _encoded(self, task: Task, values: Array) -> Array:
        if task.name == "segmentation":
            return values.astype(np.uint8 if values.dtype == np.uint8 else np.uint16)
        if task.name == "normals":
            encoded: Array = np.rint((values.transpose(1, 2, 0) + 1) / 2 * 255).clip(0, 255).astype(np.uint8)
            return encoded
        steps = np.nan_to_num(np.rint(values[0] * depth_steps(task)))
        self.clipped += int((steps > _MOST).sum())
        depth: Array = steps.clip(0, _MOST).astype(np.uint16)
        return depth


def depth_steps(task: Task) -> int:
    """How many steps of a 16-bit PNG are one unit of depth: millimetres, or the values of Cityscapes' disparity PNG."""
    return 65535 if depth_unit(task).endswith("/ 65535") else 1000


def describe_raw(suite: Suite, kind: RawKind, below: str = "") -> dict[str, Any]:
    """What is in the files of `RawWriter`, as JSON.

    Args:
        suite: the tasks.
        kind: see `RawWriter`.
        below: of the files' names, what comes first.
    """
    about: dict[str, Any] = {}
    for task in suite.tasks:
        name = f"{below}{task.name}/FRAME.png" if kind == "png" else f"{below}FRAME.npz, array {task.name!r}"
        about[task.name] = {"files": name, "values": _values(task, kind)}
        if task.name == "depth":
            unit = depth_unit(task)
            about[task.name]["unit"] = "metres" if unit == "m" else unit
        if task.classes:
            about[task.name]["classes"] = [
                {"index": index, "name": name, "rgb": list(colour)}
                for index, (name, colour) in enumerate(zip(task.classes, task.colours, strict=True))
            ]
    return about


def _values(task: Task, kind: RawKind) -> str:
    if task.name == "segmentation":
        return "index of the class, [height, width]"
    if task.name == "depth":
        if kind == "npz":
            return "float32 [1, height, width]"
        return f"number of 16 bits / {depth_steps(task)}; where that is too little, {_MOST}"
    axes = "x right, y down, z away from the camera"
    how = "unit vector (R, G, B) / 255 * 2 - 1" if kind == "png" else "unit vector, float32 [3, height, width]"
    return f"{how}, in the camera's frame: {axes}"
