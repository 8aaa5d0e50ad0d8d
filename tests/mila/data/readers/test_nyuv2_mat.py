"""The two MATLAB files of NYUd v2 when they are damaged, incomplete or hold nonsense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import scipy.io

from mila.errors import UserError
from tests.support.nyuv2_official import (
    FILES,
    NAMES,
    official,
    put_strings,
    write_official,
)


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    return write_official(tmp_path / "données NYU")


def test_labelled_files_that_cannot_be_read(nyu: Path) -> None:
    mat = nyu / "nyu_depth_v2_labeled.mat"
    good = mat.read_bytes()
    for content in (good[: len(good) // 2], b"a page that says 404", b""):
        mat.write_bytes(content)
        with pytest.raises(UserError, match=r"labeled\.mat cannot be read as HDF5 \(.*download it again"):
            official(nyu)
    mat.unlink()
    with pytest.raises(UserError, match=r"labeled\.mat does not exist"):
        official(nyu)
    mat.mkdir()
    with pytest.raises(UserError, match=r"labeled\.mat cannot be read as HDF5"):
        official(nyu)


def test_a_damaged_image_is_named(nyu: Path) -> None:
    """Compressed chunks, as MATLAB writes them, with one overwritten."""
    mat = nyu / "nyu_depth_v2_labeled.mat"
    with h5py.File(mat, "r+") as file:
        stored = file["images"][:]
        del file["images"]
        file.create_dataset("images", data=stored, chunks=(1, *stored.shape[1:]), compression="gzip")
        place = file["images"].id.get_chunk_info(1)
    with mat.open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(b"\xff" * place.size)
    source = official(nyu, "still")
    source.clip(0, 1)
    with pytest.raises(UserError, match=r"labeled\.mat: images, image 2, cannot be read"):
        source.clip(1, 1)


@pytest.mark.parametrize("name", ["images", "depths", "labels", "names", "rawRgbFilenames"])
def test_missing_datasets_are_named(nyu: Path, name: str) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        del file[name]
    with pytest.raises(UserError, match=f"has no dataset '{name}'"):
        official(nyu)
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file.create_group(name)
    with pytest.raises(UserError, match=f"has no dataset '{name}'"):
        official(nyu)


def test_raw_names_are_not_needed_without_video(nyu: Path) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        del file["rawRgbFilenames"]
    assert len(official(nyu, "pan")) == 3


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("images", np.zeros((4, 48, 64, 3), np.uint8), r"images of uint8 \[4, 48, 64, 3\], but uint8 \[N, 3, width"),
        ("images", np.zeros((4, 3, 48, 64), np.uint8), r"images of uint8 \[4, 3, 48, 64\]"),
        ("images", np.zeros((4, 3, 64, 48), np.float32), r"images of float32"),
        ("images", np.zeros((0, 3, 64, 48), np.uint8), r"images of uint8 \[0, 3, 64, 48\]"),
        ("depths", np.zeros((4, 48, 64), np.float32), r"depths of float32 \[4, 48, 64\], but floating-point .*\[4, 64"),
        ("depths", np.zeros((4, 64, 48), np.uint16), "depths of uint16"),
        ("labels", np.zeros((3, 64, 48), np.uint16), r"labels of uint16 \[3, 64, 48\], but whole numbers \[4, 64, 48"),
        ("labels", np.zeros((4, 64, 48), np.float32), "labels of float32"),
        ("names", np.zeros(5), "names cannot be read"),
    ],
)
def test_wrong_shapes_and_types(nyu: Path, name: str, array: npt.NDArray[Any], message: str) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        del file[name]
        file[name] = array
    with pytest.raises(UserError, match=message):
        official(nyu)


def test_bad_names(nyu: Path) -> None:
    mat = nyu / "nyu_depth_v2_labeled.mat"
    with h5py.File(mat, "r+") as file:
        put_strings(file, "names", ["wall", "unobtainium", "vibranium"])
    with pytest.raises(UserError, match=r"names the label 'unobtainium' \(and 1 others\), which is none of the 894"):
        official(nyu)
    with h5py.File(mat, "r+") as file:
        put_strings(file, "names", NAMES)
        put_strings(file, "rawRgbFilenames", FILES[:3])
    with pytest.raises(UserError, match="has 4 images, but 3 rawRgbFilenames"):
        official(nyu)
    for bad in ("kitchen_0004.ppm", "../r-1.0-1.ppm", "a/b/r-1.0-1.ppm", "kitchen_0004/d-1.0-1.pgm"):
        with h5py.File(mat, "r+") as file:
            put_strings(file, "rawRgbFilenames", [bad, *FILES[1:]])
        with pytest.raises(UserError, match=r"the raw file .* in rawRgbFilenames, but SCENE/r-TIME-STAMP\.ppm"):
            official(nyu)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, 5], r"splits\.mat names image 5 in trainNdxs, but .* has the images 1 to 4"),
        ([0, 1], "names image 0 in trainNdxs"),
        ([1, 2, 2], "names image 2 twice in trainNdxs"),
        ([1.5], "has no list of image numbers trainNdxs"),
        ([np.nan], "has no list of image numbers trainNdxs"),
        ([], "has no list of image numbers trainNdxs"),
        ("kitchen", "has no list of image numbers trainNdxs"),
    ],
)
def test_bad_splits(nyu: Path, column: Any, message: str) -> None:
    scipy.io.savemat(nyu / "splits.mat", {"trainNdxs": column, "testNdxs": [[4]]})
    with pytest.raises(UserError, match=message):
        official(nyu)


def test_split_files_that_cannot_be_read(nyu: Path) -> None:
    splits = nyu / "splits.mat"
    good = splits.read_bytes()
    for content in (good[: len(good) // 2], b"a page that says 404", b""):
        splits.write_bytes(content)
        with pytest.raises(UserError, match=r"splits\.mat (cannot be read as a MATLAB file|has no list)"):
            official(nyu)
    splits.unlink()
    with pytest.raises(UserError, match=r"splits\.mat does not exist"):
        official(nyu)
    scipy.io.savemat(splits, {"testNdxs": [[4]]})
    with pytest.raises(UserError, match="has no list of image numbers trainNdxs"):
        official(nyu)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depths", np.nan, "image 2, holds depth that is not finite"),
        ("depths", np.inf, "image 2, holds depth that is not finite"),
        ("depths", -0.5, "image 2, holds the negative depth -0.5"),
        ("labels", 6, "image 2, holds the label id 6, but the file names the labels 1 to 5"),
    ],
)
def test_bad_values_name_the_image(nyu: Path, name: str, value: float, message: str) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file[name][1, 3, 3] = value
    source = official(nyu)
    source.clip(0, 1)
    with pytest.raises(UserError, match=message):
        source.clip(1, 1)


def test_depth_of_nothing(nyu: Path) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["depths"][1] = 0
    with pytest.raises(UserError, match="image 2, holds no depth at any pixel"):
        official(nyu).clip(1, 1)
