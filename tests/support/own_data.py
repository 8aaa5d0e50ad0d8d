"""A small data set of one's own in a file: two classes, depth beyond 65 metres, normals; drawn from numbers."""

from __future__ import annotations

from pathlib import Path

TEXT = '''"""Mine."""

from pathlib import Path

import numpy as np

from mila.data.clips import Clip
from mila.data.own import DataSet
from mila.tasks import Suite, depth_task, normals_task, segmentation_task

TASKS = (segmentation_task(("near", "far")), depth_task(), normals_task())
SUITE = Suite("mine", TASKS, height=64, width=96)


class Mine:
    def __init__(self, root, split, *, mode, height, width, limit, problems):
        self.seed = {"train": 0, "test": 100}[split]
        self.height, self.width = height, width

    def __len__(self):
        return 4

    def clip(self, index, length):
        drawn = np.random.default_rng(self.seed + index)
        frames = drawn.integers(0, 256, (12, 3, self.height, self.width), dtype=np.uint8)
        labels = drawn.integers(-1, 2, (self.height, self.width), dtype=np.int32)
        depth = drawn.uniform(1, 90, (self.height, self.width)).astype(np.float32)
        normals = np.zeros((3, self.height, self.width), np.float32)
        normals[2, 2:] = -1
        targets = {"segmentation": labels.astype(np.int64), "depth": depth[None], "normals": normals}
        return Clip(frames[-length:], {task.name: targets[task.name] for task in SUITE.tasks})

    def check(self, length, problems=None):
        pass

    def files(self, index):
        return []

    def manifest(self):
        return {"version": 1}


DATA_SET = DataSet("mine", SUITE, Mine, like="rooms")
'''


def own_file(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write it into `folder`, with some of its text replaced."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(text, encoding="utf-8")
    return folder / "mine.py"
