"""NYUd v2 in its official files: values, classes, files, manifest, and what is wrong with single items."""

from __future__ import annotations

import csv
import json
import math
import pickle
import shutil
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from mila.data.readers.nyuv2_classes import class_by_name
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.data.readers.nyuv2_official import NYUv2Official
from mila.data.readers.nyuv2_raw import LONGEST_CLIP
from mila.errors import UserError
from mila.tasks import NYUV2, NYUV2_40, VOID
from tests.support.fake_files import open_split, save
from tests.support.nyuv2_official import (
    CLASSES,
    FILES,
    HEIGHT,
    INSIDE,
    KITCHEN,
    NAMES,
    WIDTH,
    ids,
    metres,
    official,
    picture,
    put_strings,
    write_camera,
    write_official,
    write_split,
)
from tests.support.paths import ROOT


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    return write_official(tmp_path / "données NYU")


# the labelled file --------------------------------------------------------------------------------------------------


def test_values_shapes_and_types(nyu: Path) -> None:
    source = official(nyu, "pan")
    assert source.suite is NYUV2
    assert len(source) == 3
    clip = source.clip(1, 2)
    assert (clip.frames.shape, clip.frames.dtype) == ((2, 3, HEIGHT, WIDTH), np.dtype(np.uint8))
    assert np.array_equal(clip.frames[-1], picture(1).transpose(2, 0, 1))
    labels, depth, normals = (clip.targets[k] for k in ("segmentation", "depth", "normals"))
    assert [str(target.dtype) for target in (labels, depth, normals)] == ["int64", "float32", "float32"]
    assert (labels.shape, depth.shape, normals.shape) == ((48, 64), (1, 48, 64), (3, 48, 64))
    classes = [VOID, *(NYUV2.task("segmentation").classes.index(name) for name in CLASSES)]
    assert [classes[i] for i in ids(1)[8:40, 20]] == labels[8:40, 20].tolist()
    assert np.array_equal(depth[0][INSIDE], metres(1)[INSIDE])
    assert np.allclose(np.linalg.norm(normals[(slice(None), *INSIDE)], axis=0), 1, atol=1e-5)
    outside = np.ones((HEIGHT, WIDTH), np.bool_)
    outside[INSIDE] = False
    assert (labels[outside] == VOID).all()
    assert not depth[0][outside].any()
    assert not normals[:, outside].any()


def test_normals_of_a_slanted_plane(nyu: Path) -> None:
    """1 / Z = a u + c with u = (x - cx) / fx is a plane whose normal towards the camera is -(a, 0, c) / |(a, 0, c)|."""
    fx, cx = 518.86 / 10, (325.58 + 0.5) / 10 - 0.5
    a, c = 0.3, 0.5
    depth = np.broadcast_to(1 / (a * (np.arange(WIDTH) - cx) / fx + c), (HEIGHT, WIDTH)).astype(np.float32)
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["depths"][0] = depth.T
    normals = official(nyu, "still").clip(0, 1).targets["normals"]
    expected = -np.array([a, 0, c]) / math.hypot(a, c)
    assert np.allclose(normals[(slice(None), *INSIDE)], expected[:, None, None], atol=2e-3)


def test_resizing_samples_targets(nyu: Path) -> None:
    targets = official(nyu, "still", height=24, width=32).clip(0, 1).targets
    assert targets["depth"].shape == (1, 24, 32)
    assert np.array_equal(targets["depth"][0][10, 4:28], metres(0)[21, 9:57:2])


def test_labels_go_by_name_and_not_by_number(nyu: Path) -> None:
    before = official(nyu, "still").clip(0, 1).targets["segmentation"]
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        put_strings(file, "names", NAMES[::-1])
        stored = file["labels"][:]
        file["labels"][:] = np.where(stored > 0, 6 - stored, 0)
    assert np.array_equal(official(nyu, "still").clip(0, 1).targets["segmentation"], before)


def test_the_class_table() -> None:
    path = ROOT / "mila" / "data" / "readers" / "nyuv2_classes.csv"
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
    assert [int(row[0]) for row in rows] == list(range(1, 895))
    thirteen, forty = (suite.task("segmentation").classes for suite in (NYUV2, NYUV2_40))
    for _, name, number40, name40, number13, name13 in rows:
        assert thirteen[class_by_name(13)[name]] == thirteen[int(number13) - 1] == name13
        # the field's list has refrigerators misspelt
        assert forty[class_by_name(40)[name]] == forty[int(number40) - 1] == name40.replace("refrid", "refri")
    for classes, table in ((13, class_by_name(13)), (40, class_by_name(40))):
        assert len(table) == 894
        assert set(table.values()) == set(range(classes))
    # what a class of the 40 is among the 13 does not depend on the label
    assert len({(row[2], row[4]) for row in rows}) == 40


def test_forty_classes(nyu: Path) -> None:
    source = official(nyu, "pan", classes=40)
    assert source.suite is NYUV2_40
    few, many = official(nyu, "pan").clip(1, 2), source.clip(1, 2)
    assert np.array_equal(many.frames, few.frames)
    for task in ("depth", "normals"):
        assert np.array_equal(many.targets[task], few.targets[task])
    names = ["wall", "books", "otherprop", "floor", "bed"]
    classes = [VOID, *(NYUV2_40.task("segmentation").classes.index(name) for name in names)]
    assert [classes[i] for i in ids(1)[8:40, 20]] == many.targets["segmentation"][8:40, 20].tolist()
    ours, theirs = source.manifest(), official(nyu, "pan").manifest()
    assert {key for key in ours if ours[key] != theirs[key]} == {"suite"}
    assert (ours["suite"], theirs["suite"]) == ("nyuv2-40", "nyuv2")
    with pytest.raises(UserError, match="no set of 37 classes here; choose 13 or 40"):
        official(nyu, classes=37)


def test_images_are_read_one_by_one_and_the_source_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """A file of the official size, of which only image 1449 is written: HDF5 does not store the other chunks."""
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        for name, dtype, shape in (("images", "u1", (3, 640, 480)), ("depths", "f4", (640, 480))):
            file.create_dataset(name, (1449, *shape), dtype, chunks=(1, *shape))
        file.create_dataset("labels", (1449, 640, 480), "u2", chunks=(1, 640, 480))
        file["images"][1448], file["depths"][1448], file["labels"][1448] = 200, 2.5, 1
        put_strings(file, "names", NAMES)
    write_split(tmp_path, test=(1449,))
    tracemalloc.start()
    try:
        source = pickle.loads(pickle.dumps(NYUv2Official(tmp_path, "test", height=48, width=64, mode="still")))
        opened = tracemalloc.get_traced_memory()[1]
        clip = source.clip(0, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert opened < 5e6
    assert peak < 150e6  # all images together are 1.3 GB
    assert np.isclose(clip.targets["depth"][0, 20, 20], 2.5)
    assert clip.frames[0, 0, 20, 20] == 200


def test_manifest_follows_the_data_and_not_their_place(nyu: Path, tmp_path: Path) -> None:
    before = official(nyu).manifest()
    assert json.loads(json.dumps(before)) == before
    assert (before["dataset"], before["layout"], before["items"]) == ("nyuv2", "official", 3)
    assert str(tmp_path) not in json.dumps(before)
    moved = tmp_path / "moved"
    shutil.move(nyu, moved)
    assert official(moved).manifest() == before
    Image.fromarray(picture(0)[:40]).save(moved / "kitchen_0004/r-9.900000-4294967295.ppm")
    assert official(moved).manifest()["fingerprint"] != before["fingerprint"]


# what a check of the data asks for ----------------------------------------------------------------------------------


def test_which_files_a_clip_is_read_from(nyu: Path) -> None:
    both = [nyu / "nyu_depth_v2_labeled.mat", nyu / "splits.mat"]
    kitchen = [nyu / f"kitchen_0004/r-{time}-{stamp}.ppm" for time, stamp in KITCHEN]
    source = official(nyu)
    assert (source.height, source.width) == (HEIGHT, WIDTH)
    assert [source.files(index) for index in range(3)] == [[*both, *kitchen[:3]], [*both, *kitchen], both]
    assert official(nyu, "pan").files(1) == both
    write_camera(nyu)
    assert official(nyu, "still").files(2) == [*both, nyu / "camera.json"]
    for index in (-1, 3):
        with pytest.raises(IndexError):
            source.files(index)


def test_which_lengths_can_be_made(nyu: Path) -> None:
    official(nyu).check(LONGEST_CLIP)
    with pytest.raises(UserError, match=f"clip of {LONGEST_CLIP + 1} frames is longer"):
        official(nyu).check(LONGEST_CLIP + 1)
    official(nyu, "pan").check(LONGEST_CLIP + 1)
    for mode in ("video", "still"):
        with pytest.raises(UserError, match="clip of 0 frames"):
            official(nyu, mode).check(0)


def test_problems_are_listed_and_their_items_left_out(nyu: Path) -> None:
    problems: list[str] = []
    assert len(official(nyu, problems=problems)) == 3
    assert problems == []
    write_split(nyu, train=(5, 2, 1, 2, 0, 3))
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        put_strings(file, "rawRgbFilenames", ["kitchen.ppm", *FILES[1:]])
    source = official(nyu, problems=problems)
    assert len(source) == 2
    assert np.array_equal(source.clip(0, 1).frames[0], picture(1).transpose(2, 0, 1))
    assert np.array_equal(source.clip(1, 1).frames[0], picture(2).transpose(2, 0, 1))
    starts = [f"{nyu}/splits.mat names image 5", f"{nyu}/splits.mat names image 2 twice"]
    starts += [f"{nyu}/splits.mat names image 0", f"{nyu} names the raw file 'kitchen.ppm'"]
    assert len(problems) == 4
    assert all(found.startswith(start) for found, start in zip(problems, starts, strict=True))
    assert len(open_split(nyu, "train", height=24, width=32, mode="pan", problems=problems)) == 3
    assert len(problems) == 7
    assert len(official(nyu, limit=1, problems=problems)) == 1
    write_split(nyu, train=(5, 6))
    with pytest.raises(UserError, match=r"splits\.mat names no image in trainNdxs that nyu_depth_v2_labeled\.mat has"):
        official(nyu, problems=problems)
    write_split(nyu, train=(1, 2))
    with pytest.raises(UserError, match="names the raw file of no image of split train rightly"):
        official(nyu, limit=1, problems=problems)


# both layouts -------------------------------------------------------------------------------------------------------


def test_the_same_labelled_image_is_read_alike_in_both_layouts(nyu: Path, tmp_path: Path) -> None:
    """Labels 1 to 5 of the file are walls, books, objects, floors and beds among 13, and among 40 likewise."""
    plain = tmp_path / "plain"
    save(plain / "rgb/0000.png", picture(0))
    save(plain / "depth/0000.png", np.rint(metres(0) * 1000).astype(np.uint16))
    save(plain / "labels13/0000.png", np.array([0, 12, 2, 7, 5, 1], np.uint8)[ids(0)])
    save(plain / "labels40/0000.png", np.array([0, 1, 23, 40, 2, 4], np.uint8)[ids(0)])
    (plain / "train.txt").write_text("0\n", encoding="utf-8")
    write_split(nyu, train=(1,))
    for suite in (NYUV2, NYUV2_40):
        theirs = open_split(nyu, "train", suite=suite, mode="pan", height=48, width=64)
        ours = open_split(plain, "train", suite=suite, mode="pan", height=48, width=64)
        assert (type(theirs), type(ours)) == (NYUv2Official, NYUv2Folders)
        assert np.array_equal(ours.clip(0, 4).frames, theirs.clip(0, 4).frames)
        ours_0, theirs_0 = ours.clip(0, 1).targets, theirs.clip(0, 1).targets
        assert np.array_equal(ours_0["segmentation"], theirs_0["segmentation"])
        assert len(np.unique(ours_0["segmentation"])) == 6
        np.testing.assert_allclose(ours_0["depth"], theirs_0["depth"], atol=0.00051)


def test_bad_arguments(nyu: Path) -> None:
    with pytest.raises(UserError, match="no split 'val'"):
        official(nyu, split="val")
    with pytest.raises(UserError, match="no clip mode 'film' for this data set; choose one of video, pan, still"):
        official(nyu, "film")
    with pytest.raises(UserError, match="limit of 0"):
        official(nyu, limit=0)
    with pytest.raises(UserError, match="border of -1"):
        official(nyu, border=-1)
    with pytest.raises(UserError, match="nowhere does not exist"):
        official(nyu / "nowhere")


def test_an_image_of_both_splits_is_a_warning(nyu: Path) -> None:
    assert "warnings" not in official(nyu, "still").manifest()
    write_split(nyu, train=(1, 2, 3), test=(3, 4))
    said = "1 of 3 are in split test, too (image 3): a score on what was trained on says nothing"
    assert official(nyu, "still").manifest()["warnings"] == [f"split train: {said}"]
