"""NYUd v2 in its official files, written for tests: the .mat through h5py, the split through scipy, raw PPM frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io
from PIL import Image

from mila.data.readers.nyuv2_official import NYUv2Official

HEIGHT, WIDTH = 48, 64
INSIDE = (slice(8, HEIGHT - 8), slice(8, WIDTH - 8))
NAMES = ["wall", "books", "stuffed animal", "floor", "bed"]
CLASSES = ["wall", "books", "objects", "floor", "bed"]

FILES = [  # of the labelled frames 1 to 4; TIME decides the order: neither the text nor the counter would
    "kitchen_0004/r-10.000000-77.ppm",
    "kitchen_0004/r-10.400000-12.ppm",
    "office_0001a/r-1294886363.011060-3118787619.ppm",
    "kitchen_0004/r-99.000000-5.ppm",
]

KITCHEN = [("9.900000", 4294967295), ("9.950000", 4294967000), ("10.000000", 77), ("10.200000", 3), ("10.400000", 12)]


def picture(number: int) -> npt.NDArray[np.uint8]:
    """RGB `[48, 64, 3]`: red counts columns, green rows, blue says which image it is."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([3 * x, 4 * y, np.full_like(x, number)], 2).astype(np.uint8)


def metres(number: int) -> npt.NDArray[np.float32]:
    """Depth `[48, 64]`: a wall, nearer for each image; no two columns alike."""
    return np.broadcast_to(np.arange(WIDTH) * 0.01 + 2.0 - 0.1 * number, (HEIGHT, WIDTH)).astype(np.float32)


def ids(number: int) -> npt.NDArray[np.uint16]:
    """Label ids `[48, 64]`: 0 to 5 in turn, by rows."""
    return np.broadcast_to((np.arange(HEIGHT)[:, None] + number) % 6, (HEIGHT, WIDTH)).astype(np.uint16)


def put_strings(file: h5py.File, name: str, texts: list[str]) -> None:
    """A MATLAB cell array of texts as MATLAB 7.3 writes it."""
    if name in file:
        del file[name]
    cells = file.create_dataset(name, (1, len(texts)), dtype=h5py.ref_dtype)
    for i, text in enumerate(texts):
        units = np.array([ord(c) for c in text], np.uint16)[:, None]
        at = f"#refs#/{name}{i}"
        if at in file:
            del file[at]
        cells[0, i] = file.create_dataset(at, data=units).ref


def write_mat(path: Path, *, names: list[str] = NAMES) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.stack([picture(i).transpose(2, 1, 0) for i in range(4)])
        file["depths"] = np.stack([metres(i).T for i in range(4)])
        file["labels"] = np.stack([ids(i).T for i in range(4)])
        put_strings(file, "names", names)
        put_strings(file, "rawRgbFilenames", FILES)


def write_split(root: Path, train: Any = (1, 2, 3), test: Any = (4,)) -> None:
    columns = {"trainNdxs": np.array(train, np.uint16)[:, None], "testNdxs": np.array(test, np.uint16)[:, None]}
    scipy.io.savemat(root / "splits.mat", columns)


def write_camera(root: Path, **changes: Any) -> None:
    """The camera of NYUd v2 at the images' size as `camera.json`, with changes; None leaves a key out."""
    camera = {"width": WIDTH, "height": HEIGHT, "fx": 51.886, "fy": 51.947, "cx": 32.108, "cy": 24.924}
    stated = {**camera, "undistorted": False, "border": 8, **changes}
    (root / "camera.json").write_text(json.dumps({k: v for k, v in stated.items() if v is not None}), encoding="utf-8")


def write_official(root: Path) -> Path:
    """Labelled frames 1 to 4 of 48 x 64, 1 to 3 for training; 1 and 2 have raw frames, 2 and 4 before them."""
    scene = root / "kitchen_0004"
    scene.mkdir(parents=True)
    write_mat(root / "nyu_depth_v2_labeled.mat")
    write_split(root)
    for i, (time, stamp) in enumerate(KITCHEN):
        Image.fromarray(picture(100 + i)).save(scene / f"r-{time}-{stamp}.ppm")
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)).save(scene / f"d-{time}-{stamp}.pgm")
        (scene / f"a-{time}-{stamp}.dump").write_bytes(b"\0")
    (scene / "INDEX.txt").write_text("r-1-1.ppm\n", encoding="utf-8")
    return root


def official(root: Path, mode: str = "video", split: str = "train", **options: Any) -> NYUv2Official:
    return NYUv2Official(root, split, mode=mode, **{"height": HEIGHT, "width": WIDTH, **options})  # type: ignore[arg-type]
