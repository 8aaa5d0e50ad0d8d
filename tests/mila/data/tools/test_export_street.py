"""The *street* world exported as Cityscapes: what is written is read back."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.readers.cityscapes import Cityscapes
from mila.data.readers.cityscapes_labels import label_ids
from mila.data.tools.export import export_street
from mila.data.worlds.clips import WorldClips
from mila.data.worlds.rendering import render
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19
from tests.support.cityscapes import TRAIN_IDS


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two exported clips of 32 x 64, seed 3, split val."""
    root = tmp_path_factory.mktemp("straße 1")
    export_street(root, "val", 2, 3, 32, 64)
    return root


def test_an_exported_street_reads_back_as_the_world(street: Path) -> None:
    world = WorldClips("street", "val", clips=2, height=32, width=64, seed=3)
    source = Cityscapes(street, "val", height=32, width=64)
    assert len(source) == 2
    assert source.suite is world.suite
    seen: set[int] = set()
    for index in range(2):
        written, read = world.clip(index, 20), source.clip(index, 20)
        assert np.array_equal(read.frames, written.frames)
        assert np.array_equal(read.targets["segmentation"], written.targets["segmentation"])
        seen |= set(np.unique(read.targets["segmentation"]).tolist())
        exact, stored = written.targets["depth"], read.targets["depth"]
        whole = np.rint(exact.astype(np.float64) * 65535)
        assert np.array_equal(stored, (whole / 65535).astype(np.float32))
        assert np.abs(stored.astype(np.float64) - exact).max() <= 0.5 / 65535 + 1e-7
        assert np.array_equal(stored > 0, exact > 0)
    assert len(seen) >= 5


def test_exported_depth_in_metres_is_the_depth_that_was_cast(street: Path) -> None:
    source = Cityscapes(street, "val", height=32, width=64, depth="metres")
    for index in range(2):
        cast = render("street", "val", 3, index, 1, 32, 64)[0].depth.astype(np.float64)
        read = source.clip(index, 1).targets["depth"][0].astype(np.float64)
        sky = np.isinf(cast)
        assert sky.any()
        assert np.array_equal(read == 0, sky)
        # one step of the 16 bits is 1/256 px of disparity; 65535 of them end at 1.85 m
        apart = np.abs(0.209313 * 2262.52 * (1 / read[~sky] - 1 / np.maximum(cast[~sky], 1.85)))
        assert apart.max() <= 0.51 / 256


def test_exported_labels_have_train_ids(street: Path) -> None:
    assert [TRAIN_IDS[int(i)] for i in label_ids(CITYSCAPES)] == [
        *("road", "building", "pole", "vegetation", "sky", "person", "car")
    ]
    assert [TRAIN_IDS[int(i)] for i in label_ids(CITYSCAPES19)] == list(TRAIN_IDS.values())
    fine = Cityscapes(street, "val", height=32, width=64, classes=19).clip(0, 1).targets["segmentation"]
    coarse = Cityscapes(street, "val", height=32, width=64).clip(0, 1).targets["segmentation"]
    assert (fine >= 0).all()
    names = {"flat": "road", "construction": "building", "object": "pole", "nature": "vegetation"}
    names |= {"sky": "sky", "human": "person", "vehicle": "car"}
    for index, category in enumerate(CITYSCAPES.task("segmentation").classes):
        assert np.array_equal(coarse == index, fine == CITYSCAPES19.task("segmentation").classes.index(names[category]))


def test_exported_files_have_the_official_names_and_formats(street: Path) -> None:
    names = sorted(path.relative_to(street).as_posix() for path in street.rglob("*") if path.is_file())
    expected = [
        f"leftImg8bit_sequence/val/street/street_{i:06d}_{t:06d}_leftImg8bit.png" for i in (0, 1) for t in range(20)
    ]
    for i in (0, 1):
        stem = f"val/street/street_{i:06d}_000019_"
        expected += [f"leftImg8bit/{stem}leftImg8bit.png", f"gtFine/{stem}gtFine_labelIds.png"]
        expected += [f"disparity/{stem}disparity.png", f"camera/{stem}camera.json"]
    assert names == sorted(expected)
    for name in names:
        if name.endswith(".png"):
            with Image.open(street / name) as image:
                assert image.size == (64, 32)
                mode = {"leftImg8bit": "RGB", "gtFine": "L", "disparity": "I;16"}[re.split("[/_]", name)[0]]
                assert image.mode == mode
    camera = json.loads((street / "camera/val/street/street_000000_000019_camera.json").read_text())
    assert camera["extrinsic"] == {"baseline": 0.209313}
    assert camera["intrinsic"] == {"fx": 2262.52, "fy": 2262.52, "u0": 1023.5, "v0": 511.5}


def test_export_never_mixes_with_labels_that_are_there(street: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(street, root)
    with pytest.raises(UserError, match=r"gtFine.val holds labels already; export to an empty folder"):
        export_street(root, "val", 1, 0, 8, 16)
    export_street(root, "train", 1, 0, 8, 16)
    assert len(Cityscapes(root, "train", height=8, width=16)) == 1


def test_an_interrupted_export_is_readable_and_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image = Image.Image.save
    left = 35  # in the second clip: a clip has 23 images

    def fill_the_disk(image: Image.Image, file: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        file.write(b"half of it")
        if left == 0:
            raise OSError(28, "No space left on device")
        file.seek(0)
        save_image(image, file, **options)

    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); free space there"):
        export_street(tmp_path, "val", 3, 0, 8, 16)
    monkeypatch.undo()
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"street_00000[01]_0000\d\d_\w+\.(png|json)", name) for name in files)
    source = Cityscapes(tmp_path, "val", height=8, width=16)
    assert len(source) == 1
    assert np.array_equal(
        source.clip(0, 20).frames, WorldClips("street", "val", clips=1, height=8, width=16).clip(0, 20).frames
    )


def test_export_checks_its_arguments(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'dev'"):
        export_street(tmp_path, "dev", 1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least 1 clip"):
        export_street(tmp_path, "val", 0)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"file.* cannot be written"):
        export_street(tmp_path / "file", "val", 1, 0, 8, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
