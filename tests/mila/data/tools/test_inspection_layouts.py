"""Inspection of NYUd v2 and of MTAN's arrays: every fault is reported, and what is in order is counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from mila.data.tools.inspection import SplitInspection, inspect
from mila.tasks import NYUV2
from tests.support import nyuv2_official
from tests.support.fake_files import ramp, save
from tests.support.inspection import AGAIN, RESTORE, SMALL, assert_problems, cut
from tests.support.mtan_trees import HEIGHT, WIDTH, image, labels, put, room, write_cities_tree, write_nyu_tree


@pytest.fixture
def official_nyu(tmp_path: Path) -> Path:
    return nyuv2_official.write_official(tmp_path / "données NYU")


# NYUd v2, plain folders ---------------------------------------------------------------------------------------------


def test_plain_folders_in_order(nyu: Path) -> None:
    found = inspect(nyu, **SMALL)
    assert_problems(found)
    targets = {"segmentation": 2, "depth": 2, "normals": 2}
    assert found.splits == (SplitInspection("train", 2, 2, None, targets), SplitInspection("test", 2, 2, None, targets))
    assert (found.suite, found.mode, found.length, found.layout.dataset) == (NYUV2, "pan", 1, "nyuv2")


def test_plain_folders_with_every_fault(nyu: Path) -> None:
    (nyu / "train.txt").write_text("0\n2\n4\n5\n6\n7\nseven\n", encoding="utf-8")
    for number in (4, 5, 6, 7):
        for folder, like in (("rgb", 0), ("depth", 0), ("labels13", 0)):
            shutil.copy(nyu / f"{folder}/{like:04d}.png", nyu / f"{folder}/{number:04d}.png")
    for name in ("rgb/0005.png", "depth/0005.png"):
        (nyu / name).unlink()
    (nyu / "rgb/0000.png").unlink()
    save(nyu / "rgb/0000.jpg", np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    for name in ("rgb/0000.jpg", "labels13/0000.png", "depth/0000.png"):
        cut(nyu / name)
    save(nyu / "labels13/0002.png", np.full((48, 64), 14, np.uint8))
    save(nyu / "depth/0004.png", np.zeros((48, 64), np.uint8))
    save(nyu / "labels13/0006.png", np.zeros((48, 65), np.uint8))
    save(nyu / "depth/0007.png", ramp(48, 64))
    save(nyu / "rgb/x8.png", ramp(48, 64))
    (nyu / "labels13/0001.png").unlink()
    found = inspect(nyu, **SMALL)
    lists = "lists it; restore the file or remove its number."
    assert_problems(
        found,
        f"{nyu}/train.txt, line 7: 'seven' is no image number; write one number a line.",
        f"{nyu}/rgb/0005.jpg does not exist, but train.txt {lists}",
        f"{nyu}/depth/0005.png does not exist, but train.txt {lists}",
        f"{nyu}/labels13/0001.png does not exist, but test.txt {lists}",
        f"{nyu}/rgb/0000.jpg cannot be read (...); {RESTORE}",
        f"{nyu}/labels13/0000.png cannot be read (...); {RESTORE}",
        f"{nyu}/depth/0000.png cannot be read (...); {RESTORE}",
        f"{nyu}/labels13/0002.png holds the label 14, but the labels here are 0 (unlabelled) to 13; replace it by the "
        "13-class label image.",
        f"{nyu}/depth/0004.png has no depth at any pixel; restore it, or remove its number from train.txt.",
        f"{nyu}/labels13/0006.png is 65 x 48 pixels, but {nyu}/rgb/0006.png is 64 x 48; the images of one item must "
        "have one size, so replace both by the data set's own files.",
        f"{nyu}/depth/0007.png has pixel format RGB, but ...; replace it by the data set's own file.",
    )
    assert [(split.split, split.clips, split.frames) for split in found.splits] == [("train", 5, 5), ("test", 1, 1)]
    assert found.strays == ("rgb/x8.png",)
    assert found.unlabelled == 1


# NYUd v2, official file ---------------------------------------------------------------------------------------------


def test_the_official_file_in_order(official_nyu: Path) -> None:
    nyuv2_official.write_split(official_nyu, train=(1, 3), test=(2,))
    (official_nyu / "toolbox").mkdir()
    (official_nyu / "toolbox/fill.m").write_text("")
    found = inspect(official_nyu, **SMALL)
    assert_problems(found)
    # frame 1 has two before it and its own, frame 2 all four; frame 3 has no raw file: it is a frame all the same
    targets = {"segmentation": 2, "depth": 2, "normals": 2}
    assert found.splits == (
        SplitInspection("train", 2, 3 + 1, (0, 1), targets, matched=1),
        SplitInspection("test", 1, 5, (4, 4), dict.fromkeys(targets, 1), matched=1),
    )
    assert found.strays == ()
    still = inspect(official_nyu, mode="still", **SMALL)
    assert_problems(still)
    assert still.splits[0] == SplitInspection("train", 2, 2, None, targets)


def test_the_official_file_with_faults(official_nyu: Path) -> None:
    scene = official_nyu / "kitchen_0004"
    nyuv2_official.write_split(official_nyu, train=(1, 2, 3), test=(4,))
    first, third = (
        scene / f"r-{time}-{stamp}.ppm" for time, stamp in (nyuv2_official.KITCHEN[0], nyuv2_official.KITCHEN[3])
    )
    cut(first)
    Image.fromarray(nyuv2_official.picture(0)[:, :60]).save(third)
    (scene / "r-yesterday.ppm").write_bytes(b"")
    mat = official_nyu / "nyu_depth_v2_labeled.mat"
    with h5py.File(mat, "r+") as file:
        file["depths"][2, 5, 5] = np.nan
    found = inspect(official_nyu, **SMALL)
    assert_problems(
        found,
        f"{official_nyu} holds no raw file of any labelled frame of split test, but mode video takes them "
        "(SCENE/r-TIME-STAMP.ppm, .png or .jpg in the data set's folder, in raw/, or one folder deeper); unpack the "
        "raw scenes, or choose mode pan or still.",
        f"{first} cannot be read (...); {RESTORE}",
        f"{mat}, image 3, holds depth that is not finite; replace it by the official file.",
    )
    assert [(split.split, split.clips, split.matched) for split in found.splits] == [("train", 3, 2)]
    assert found.strays == ("kitchen_0004/r-yesterday.ppm",)
    shutil.copy(scene / "r-9.950000-4294967000.ppm", first)
    assert [sentence for sentence in inspect(official_nyu, **SMALL).problems if str(third) in sentence] == [
        f"{third} is 60 x 48 pixels, but {mat} is 64 x 48; the images of one item must have one size, so replace both "
        "by the data set's own files."
    ]


# MTAN's arrays ------------------------------------------------------------------------------------------------------


def test_mtan_trees_in_order(tmp_path: Path) -> None:
    cityscapes = inspect(write_cities_tree(tmp_path / "c"), **SMALL)
    assert_problems(cityscapes)
    assert cityscapes.splits == (SplitInspection("train", 11, 11, None, {"segmentation": 11, "depth": 11}),)
    tree = inspect(write_nyu_tree(tmp_path / "n"), **SMALL)
    assert_problems(tree)
    targets = dict.fromkeys(("segmentation", "depth", "normals"), 3)
    assert tree.splits[0] == SplitInspection("train", 3, 3, None, targets)
    assert [split.split for split in tree.splits] == ["train", "val"]


def test_mtan_trees_with_every_fault(tmp_path: Path) -> None:
    root = write_cities_tree(tmp_path / "arbre é")
    depth = np.ones((HEIGHT, WIDTH, 1), np.float32)
    for number, factor in enumerate((np.nan, -1, 0)):
        put(root, "depth", number, depth * factor)
    for kind in ("label_7", "depth"):
        cut(root / f"train/{kind}/3.npy")
    put(root, "label_7", 4, labels(4, 7) + 1)
    put(root, "image", 5, image(5)[1:])
    (root / "train/depth/6.npy").unlink()
    put(root, "depth", 12, depth)
    (root / "train/image/readme.md").write_text("")
    folder = root / "train"
    found = inspect(root, **SMALL)
    assert_problems(
        found,
        f"{folder}/depth/6.npy does not exist, but image/6.npy does; unpack the archive in full.",
        f"{folder}/depth/0.npy holds depth that is not finite; {AGAIN}",
        f"{folder}/depth/1.npy holds the negative depth -1; {AGAIN}",
        f"{folder}/depth/2.npy holds no depth at any pixel; {AGAIN}",
        f"{folder}/label_7/3.npy cannot be read (...); {AGAIN}",
        f"{folder}/depth/3.npy cannot be read (...); {AGAIN}",
        f"{folder}/label_7/4.npy holds the label 7, but labels here are -1 to 6; {AGAIN}",
        f"{folder}/label_7/5.npy holds int64 [36, 48], but ... numbers [35, 48] are expected there; {AGAIN}",
    )
    assert found.splits[0].clips == 10
    assert found.strays == ("train/image/readme.md",)


def test_broken_normals_of_a_tree(tmp_path: Path) -> None:
    root = write_nyu_tree(tmp_path, count=12)
    for kind in ("depth", "normal"):  # image 4 is none of the eight that tell the normals' directions
        cut(root / f"train/{kind}/4.npy")
    found = inspect(root, **SMALL)
    assert_problems(
        found, *(f"{root}/train/{kind}/4.npy cannot be read (...); {AGAIN}" for kind in ("depth", "normal"))
    )
    assert room(4)[0].shape == (HEIGHT, WIDTH)
    assert [split.clips for split in found.splits] == [12, 12]
