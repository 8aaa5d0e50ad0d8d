"""Normals that come with the data are used before computed ones; what they could not mean is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.__main__ import main
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.data.readers.nyuv2_normals import GivenNormals
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from tests.support.fake_files import sample, save
from tests.support.nyuv2_official import INSIDE, official, write_official

FIELD = "norm_gt_{:06d}.png"


def slanted(item: int) -> Any:
    """Unit vectors towards the camera `[48, 64, 3]`, another direction for each column; unknown in the first rows."""
    angle = np.linspace(-0.6, 0.6, 64) + 0.1 * item
    vectors = np.stack([np.sin(angle), np.full(64, -0.2), -np.cos(angle)], 1)
    return np.broadcast_to(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), (48, 64, 3)).copy()


def write_normals(root: Path, *, field: bool = False) -> None:
    """Of items 0 to 3, as the suite names and stores them, or as the field does."""
    for item in range(4):
        x, y, z = slanted(item).transpose(2, 0, 1)
        stored = np.rint((np.stack([x, z, -y] if field else [x, y, z], 2) + 1) * 127.5)
        stored[:12] = 127
        save(root / "normals" / (FIELD.format(item + 1) if field else f"{item:04d}.png"), stored.astype(np.uint8))


def degrees(found: Any, item: int) -> float:
    known = found.any(0)
    product = (found * slanted(item).transpose(2, 0, 1)).sum(0)[known]
    return float(np.degrees(np.arccos(np.clip(product, -1, 1))).max())


@pytest.mark.parametrize("field", [False, True], ids=["NNNN.png", "norm_gt_NNNNNN.png"])
def test_plain_folders_with_normals(*, field: bool, nyu: Path, tmp_path: Path) -> None:
    before = NYUv2Folders(nyu, "train", height=48, width=64)
    assert "normals computed from depth" in before.manifest()["note"]
    write_normals(nyu, field=field)
    source = NYUv2Folders(nyu, "train", height=48, width=64)
    normals = source.clip(1, 1).targets["normals"]
    assert normals.dtype == np.float32
    assert degrees(normals, 2) < 0.6  # of 8 bits
    assert not normals[:, :12].any()
    assert not normals[:, :, :8].any()  # the border
    assert normals[:, 12:40, 8:56].any(0).all()
    assert np.array_equal(source.clip(1, 1).targets["depth"], before.clip(1, 1).targets["depth"])
    assert "normals as given" in source.manifest()["note"]
    assert source.manifest()["fingerprint"] != before.manifest()["fingerprint"]
    found = inspect(nyu, workers=1, height=48, width=64)
    assert (found.problems, found.strays) == ((), ())
    words = ["prepare", nyu, tmp_path / "store", "--length", 1, "--height", 48, "--width", 64, "--jobs", 1]
    assert main([str(word) for word in words]) == 0


@pytest.mark.parametrize(
    ("image", "normals"),
    [("0432", "norm_gt_000433"), ("000433", "norm_gt_000433"), ("hall/0433", "hall/norm_gt_000433"), ("9", "0009")],
)
def test_which_of_the_fields_files_belongs_to_an_image(image: str, normals: str, tmp_path: Path) -> None:
    """Four digits are NYUd v2's, the official number - 1; any others are the file's own."""
    for number in range(432, 436):
        for folder in ("", "hall/"):
            save(tmp_path / f"normals/{folder}{FIELD.format(number)}", np.zeros((4, 4, 3), np.uint8))
    assert GivenNormals(tmp_path).find(image) == tmp_path / f"normals/{normals}.png"


def test_the_official_file_with_normals(tmp_path: Path) -> None:
    root = write_official(tmp_path)
    write_normals(root, field=True)
    source = official(root, "pan")
    normals = source.clip(2, 1).targets["normals"]
    assert degrees(normals, 2) < 0.6
    assert normals[(slice(None), *INSIDE)][:, 4:].any(0).all()
    assert "normals as given" in source.manifest()["note"]
    assert root / "normals" / FIELD.format(3) in source.files(2)
    (root / "normals" / FIELD.format(3)).unlink()
    with pytest.raises(UserError, match=r"normals.0002\.png does not exist, but the other normals do"):
        official(root, "pan")
    problems: list[str] = []
    assert len(official(root, "pan", problems=problems)) == len(source) - 1
    assert len(problems) == 1


def test_one_missing_image_of_normals(nyu: Path) -> None:
    write_normals(nyu)
    (nyu / "normals/0002.png").unlink()
    with pytest.raises(UserError, match=r"normals.0002\.png does not exist, but train\.txt lists it"):
        NYUv2Folders(nyu, "train", height=48, width=64)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda stored: 255 - stored, "holds no unit vectors that point towards the camera; write x right, y down"),
        (lambda stored: np.full_like(stored, 127), "holds no unit vectors"),
        (lambda stored: np.full_like(stored, 0), "holds no unit vectors"),
        (lambda stored: stored[:24], "is 64 x 24 pixels, but its image is 64 x 48; give both one size"),
        (lambda stored: stored[..., 0].astype(np.uint16) * 256, "has 16 bits a channel"),
    ],
    ids=["away", "unknown", "too long", "size", "16 bits"],
)
def test_what_is_no_image_of_normals(spoil: Any, message: str, nyu: Path) -> None:
    write_normals(nyu)
    path = nyu / "normals/0000.png"
    save(path, spoil(np.asarray(Image.open(path))))
    with pytest.raises(UserError, match=rf"normals.0000\.png {message}"):
        NYUv2Folders(nyu, "train", height=48, width=64).clip(0, 1)


def test_the_normals_of_the_field_are_near_those_from_the_depth(tmp_path: Path) -> None:
    """Official image 433 with the toolbox's normals: their convention is read right, or they would be far apart."""
    real = sample("nyuv2_official")
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("432\n")
    save(tmp_path / "rgb/0432.png", np.asarray(Image.open(real / "000433.png").convert("RGB")))
    depth = np.asarray(Image.open(real / "depth_gt_000433.png")).astype(np.float64) / 5
    save(tmp_path / "depth/0432.png", np.rint(depth).astype(np.uint16))
    save(tmp_path / "labels13/0432.png", np.ones(depth.shape, np.uint8))
    computed = NYUv2Folders(tmp_path, "train", height=480, width=640).clip(0, 1).targets["normals"]
    (tmp_path / "normals").mkdir()
    shutil.copy(real / "norm_gt_000433.png", tmp_path / "normals")
    given = NYUv2Folders(tmp_path, "train", height=480, width=640).clip(0, 1).targets["normals"]
    both = given.any(0) & computed.any(0)
    assert both.mean() > 0.5
    angle = np.degrees(np.arccos(np.clip((given * computed).sum(0)[both], -1, 1)))
    assert np.median(angle) < 9
