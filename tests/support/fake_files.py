"""Small files of real data sets' layouts, written for tests, and the real sample where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mila.common.types import Array
from mila.data.clips import ClipSource
from mila.data.readers.cityscapes import Cityscapes
from mila.data.readers.layouts import recognise
from tests.support.paths import SHARED


def ramp(height: int, width: int, shift: int = 0) -> Array:
    """RGB `[H, W, 3]`: red grows to the right, green downwards, blue is `shift`."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 250 // width, y * 250 // height, np.full_like(x, shift)], 2).astype(np.uint8)


def save(path: Path, array: npt.NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_plain(root: Path) -> Path:
    """NYUd v2 in plain folders: four items of 48 x 64, images 0 and 2 for training; rgb as PNG, so that it is exact."""
    x = np.broadcast_to(np.arange(64), (48, 64))
    for i in range(4):
        save(root / f"rgb/{i:04d}.png", ramp(48, 64, 10 * i))
        save(root / f"depth/{i:04d}.png", np.full((48, 64), 50 + i, np.uint8))
        save(root / f"labels13/{i:04d}.png", ((x + i) % 14).astype(np.uint8))
    (root / "train.txt").write_text("0\n2\n", encoding="utf-8")
    (root / "test.txt").write_text("1\n3\n\n", encoding="utf-8")
    return root


def open_split(root: Path, split: str, **how: Any) -> ClipSource:
    """A split of whatever data set `root` holds; of its suites, the first unless another is asked for."""
    layout = recognise(root)
    return layout.open(split, **{"suite": layout.suites[0], **how})


STEM = "bochum_000000_000313"

CATEGORY_OF_ID = [*7 * ["void"], *4 * ["flat"], *6 * ["construction"], *4 * ["object"], *2 * ["nature"], "sky"]
CATEGORY_OF_ID += [*2 * ["human"], *8 * ["vehicle"]]
"""Category of the label ids 0 to 33, counted off the data set's published table of classes."""


def frame_path(root: Path, frame: int, suffix: str = ".png") -> Path:
    return root / f"leftImg8bit_sequence/train/bochum/bochum_000000_{frame:06d}_leftImg8bit{suffix}"


def write_cities(root: Path) -> Path:
    """Cityscapes: a snippet of 32 x 64 with all targets, frames 294 to 323; an item with neither disparity nor PNG."""
    for frame in range(294, 324):
        save(frame_path(root, frame), ramp(32, 64, frame - 294))
    save(root / f"leftImg8bit/train/bochum/{STEM}_leftImg8bit.png", ramp(32, 64, 200))
    ids = np.broadcast_to(np.arange(64, dtype=np.uint8) % 34, (32, 64))
    save(root / f"gtFine/train/bochum/{STEM}_gtFine_labelIds.png", ids)
    save(root / f"disparity/train/bochum/{STEM}_disparity.png", (np.arange(32 * 64).reshape(32, 64)).astype(np.uint16))
    sequence = root / "leftImg8bit_sequence/train/aachen"
    for frame in (18, 19):
        save(sequence / f"aachen_000001_{frame:06d}_leftImg8bit.jpg", ramp(32, 64))
    save(root / "gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png", ids)
    return root


def open_cities(root: Path, mode: str = "video", **options: int | str) -> Cityscapes:
    return Cityscapes(root, "train", mode=mode, **{"height": 32, "width": 64, **options})  # type: ignore[arg-type]


def sample(name: str) -> Path:
    root = SHARED / name
    if not root.is_dir():
        pytest.skip(f"no real sample data: {name} is not in ../shared/data")
    return root
