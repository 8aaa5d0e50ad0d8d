"""A sound data set of each layout, and `prepare` on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mila.data.__main__ import main
from mila.data.packed import PackedClips
from mila.data.tools.export import export_street
from tests.support import nyuv2_official
from tests.support.fake_files import save, write_plain
from tests.support.mtan_trees import write_nyu_tree

LENGTH = 3
MAT = "nyu_depth_v2_labeled.mat"
CITY = "train/street/street_000001_0000"


def write_official(root: Path) -> None:
    """Images 1 and 3 for training, 2 for testing; 1 and 2 have a video."""
    (root / "kitchen_0004").mkdir(parents=True)
    nyuv2_official.write_mat(root / MAT)
    nyuv2_official.write_split(root, train=(1, 3), test=(2,))
    for i, (time, stamp) in enumerate(nyuv2_official.KITCHEN):
        Image.fromarray(nyuv2_official.picture(100 + i)).save(root / f"kitchen_0004/r-{time}-{stamp}.ppm")


def write_street(root: Path) -> None:
    """Two train snippets and a val snippet of 24 x 32; of the last frame but one of the second train snippet a JPEG."""
    for split, clips in (("train", 2), ("val", 1)):
        export_street(root, split, clips, height=24, width=32)  # type: ignore[arg-type]
    (root / f"leftImg8bit_sequence/{CITY}18_leftImg8bit.png").unlink()
    save(root / f"leftImg8bit_sequence/{CITY}18_leftImg8bit.jpg", noise())


def write_folders(root: Path) -> None:
    """`write_plain` with 40 classes as well, the depth of image 0 in 16 bits, and a JPEG of image 2."""
    write_plain(root)
    shutil.copytree(root / "labels13", root / "labels40")
    save(root / "depth/0000.png", np.full((48, 64), 2000, np.uint16))
    (root / "rgb/0002.png").unlink()
    save(root / "rgb/0002.jpg", noise(48, 64))


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "cityscapes": write_street,
    "mtan": write_nyu_tree,
    "official": write_official,
    "plain": write_folders,
}


def noise(height: int = 24, width: int = 32) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def command(root: Path, store: Path, suite: str | None = None) -> int:
    words = ["prepare", root, store, "--height", 24, "--width", 32, "--length", LENGTH, "--jobs", 1]
    return main([str(word) for word in (*words, *(() if suite is None else ("--suite", suite)))])


def assert_prepared(store: Path) -> None:
    splits = sorted(path for path in store.iterdir())
    assert len(splits) == 2
    for split in splits:
        assert PackedClips(split).verify() == []
