"""MTAN's ready-made arrays: a room whose depth and normals are known at every pixel."""

from __future__ import annotations

import itertools
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mila.common.types import Array
from mila.data.readers.mtan_trees import MTANTree, Signs
from mila.errors import UserError
from mila.tasks import CITYSCAPES, FLOW, NYUV2, SUITES, VOID
from tests.support.fake_files import open_split
from tests.support.mtan_trees import (
    HEIGHT,
    WIDTH,
    image,
    labels,
    open_tree,
    put,
    room,
    write_cities_tree,
    write_nyu_tree,
)


def test_nyu_values_shapes_and_types(tmp_path: Path) -> None:
    source = open_tree(write_nyu_tree(tmp_path / "arbre MTAN"))
    assert source.suite is NYUV2
    assert len(source) == 3
    clip = source.clip(2, 4)
    assert (clip.frames.shape, clip.frames.dtype) == ((4, 3, HEIGHT, WIDTH), np.dtype(np.uint8))
    assert np.array_equal(clip.frames[-1], np.rint(image(2) * 255).transpose(2, 0, 1))
    assert {name: str(target.dtype) for name, target in clip.targets.items()} == {
        "segmentation": "int64",
        "depth": "float32",
        "normals": "float32",
    }
    depth, normals = room(2)
    assert np.array_equal(clip.targets["segmentation"], labels(2, 13))
    assert set(np.unique(clip.targets["segmentation"])) == set(range(VOID, 13))
    assert np.allclose(clip.targets["depth"][0, 3:], depth[3:])
    assert np.allclose(clip.targets["normals"][:, 3:], normals.transpose(2, 0, 1)[:, 3:])
    assert not clip.targets["depth"][0, :3].any()
    assert not clip.targets["normals"][:, :3].any()


@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_the_direction_of_normals_is_measured(tmp_path: Path, signs: Signs) -> None:
    source = open_tree(write_nyu_tree(tmp_path, signs))
    assert np.allclose(source.clip(0, 1).targets["normals"][:, 3:], room(0)[1].transpose(2, 0, 1)[:, 3:])
    x, y, z = signs
    assert f"stored normals times {x:+d} {y:+d} {z:+d} (x, y, z) as measured" in source.manifest()["note"]
    assert "as given" in open_tree(tmp_path, normal_signs=signs).manifest()["note"]
    for axis, name in enumerate("xyz"):
        wrong = tuple(-sign if i == axis else sign for i, sign in enumerate(signs))
        with pytest.raises(UserError, match=f"normals whose {name} times .1 points against what the depth says"):
            open_tree(tmp_path, normal_signs=wrong)


def test_normals_that_say_too_little_need_signs(tmp_path: Path) -> None:
    """A wall straight ahead shows where z points, and nothing of x and y."""
    write_nyu_tree(tmp_path)
    for number in range(3):
        put(tmp_path, "depth", number, np.full((HEIGHT, WIDTH, 1), 2, np.float32))
        put(tmp_path, "normal", number, np.broadcast_to([0.0, 0.0, 1.0], (HEIGHT, WIDTH, 3)).astype(np.float32))
    with pytest.raises(UserError, match=r"normals whose x agrees too little with the depth .* belong together"):
        open_tree(tmp_path)
    normals = open_tree(tmp_path, normal_signs=(1, -1, -1)).clip(0, 1).targets["normals"]
    assert (normals == np.array([0, 0, -1])[:, None, None]).all()
    with pytest.raises(UserError, match=r"z times \+1 points against"):
        open_tree(tmp_path, normal_signs=(1, 1, 1))
    for bad in ((1, 1), (1, 1, 0), (1, 1, 2)):
        with pytest.raises(ValueError, match="three times 1 or -1"):
            open_tree(tmp_path, normal_signs=bad)


def test_normals_that_do_not_belong_to_the_depth(tmp_path: Path) -> None:
    write_nyu_tree(tmp_path)
    noise = np.random.default_rng(0).normal(size=(3, HEIGHT, WIDTH, 3))
    for number in range(3):
        put(tmp_path, "normal", number, noise[number] / np.linalg.norm(noise[number], axis=2, keepdims=True))
    with pytest.raises(UserError, match="agrees too little with the depth"):
        open_tree(tmp_path)


def test_normals_become_unit_vectors_and_grey_is_missing(tmp_path: Path) -> None:
    """Resizing shortened some; the zero vector of an 8-bit image is (128, 128, 128) / 255 * 2 - 1."""
    write_nyu_tree(tmp_path)
    stored = np.load(tmp_path / "train/normal/0.npy")
    stored[20, 20] *= 0.7
    stored[30, 30] = 128 / 255 * 2 - 1
    put(tmp_path, "normal", 0, stored)
    normals = open_tree(tmp_path).clip(0, 1).targets["normals"]
    assert np.isclose(np.linalg.norm(normals[:, 20, 20]), 1)
    assert not normals[:, 30, 30].any()


def test_splits(tmp_path: Path) -> None:
    write_nyu_tree(tmp_path)
    train, test, val = (open_tree(tmp_path, split, mode="still").clip(0, 3) for split in ("train", "test", "val"))
    assert train.frames[0, 2, 0, 0] == 0
    assert test.frames[0, 2, 0, 0] == 50
    assert np.array_equal(test.frames, val.frames)
    pan_test, pan_val = (open_tree(tmp_path, split).clip(0, 3).frames for split in ("test", "val"))
    assert np.array_equal(pan_test, pan_val)
    assert not np.array_equal(pan_test[0], pan_test[-1])


def test_resizing_samples_targets_and_filters_images(tmp_path: Path) -> None:
    source = open_tree(write_nyu_tree(tmp_path), height=18, width=24)
    clip = source.clip(1, 2)
    assert clip.frames.shape == (2, 3, 18, 24)
    assert np.array_equal(clip.targets["segmentation"], labels(1, 13)[1::2, 1::2])
    assert np.allclose(clip.targets["depth"][0, 2:], room(1)[0][1::2, 1::2][2:])
    red = clip.frames[-1, 0, 9].astype(float)
    assert np.abs(red[2:-2] - (np.arange(24) * 10 + 2.5)[2:-2]).max() <= 1  # the mean of a ramp, not one of its values


def test_cityscapes_reads_the_labels_of_the_suite_in_the_order_of_numbers(tmp_path: Path) -> None:
    source = open_tree(write_cities_tree(tmp_path), suite=CITYSCAPES)
    assert len(source) == 11
    assert [int(source.clip(i, 1).frames[0, 2, 0, 0]) for i in range(11)] == list(range(11))  # 10 after 9, not after 1
    targets = source.clip(4, 1).targets
    assert set(targets) == {"segmentation", "depth"}
    assert np.array_equal(targets["segmentation"], labels(4, 7))
    assert np.allclose(targets["depth"][0].ravel(), np.linspace(0, 0.49, HEIGHT * WIDTH))
    assert source.manifest()["targets"] == {"segmentation": 11, "depth": 11}
    assert source.manifest()["dataset"] == "cityscapes"
    assert len(open_tree(tmp_path, suite=CITYSCAPES, limit=2)) == 2
    fine = open_tree(tmp_path, suite=SUITES["cityscapes19"]).clip(4, 1).targets
    assert set(fine) == {"segmentation"}
    assert np.array_equal(fine["segmentation"], labels(4, 19))


def test_clips_do_not_depend_on_length(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(open_tree(write_nyu_tree(tmp_path))))
    assert np.array_equal(source.clip(1, 5).frames[-2:], source.clip(1, 2).frames)
    for index in (-1, 3):
        with pytest.raises(IndexError):
            source.clip(index, 1)
    with pytest.raises(UserError, match="clip of 0 frames"):
        source.clip(0, 0)


def test_manifest_follows_the_data_and_not_their_place(tmp_path: Path) -> None:
    root = write_nyu_tree(tmp_path / "a")
    before = open_tree(root).manifest()
    assert json.loads(json.dumps(before)) == before
    assert (before["layout"], before["items"]) == ("mtan", 3)
    assert str(tmp_path) not in json.dumps(before)
    moved = tmp_path / "b"
    shutil.move(root, moved)
    assert open_tree(moved).manifest() == before
    put(moved, "label", 1, labels(1, 13).astype(np.int64))
    assert open_tree(moved).manifest()["fingerprint"] != before["fingerprint"]


def test_a_recognised_tree_is_read_as_one(tmp_path: Path) -> None:
    source = open_split(write_nyu_tree(tmp_path), "val", height=18, width=24, mode="still", limit=1)
    assert isinstance(source, MTANTree)
    assert len(source) == 1
    assert source.clip(0, 1).frames[0, 2, 0, 0] == 50


def test_missing_things_are_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_tree(tmp_path / "nowhere")
    write_nyu_tree(tmp_path)
    with pytest.raises(UserError, match="no split 'dev'"):
        open_tree(tmp_path, "dev")
    with pytest.raises(UserError, match="label_7 does not exist"):
        open_tree(tmp_path, suite=CITYSCAPES)
    with pytest.raises(UserError, match="no targets for 'flow'; choose one of nyuv2, cityscapes, cityscapes19"):
        open_tree(tmp_path, suite=FLOW)
    with pytest.raises(UserError, match="no clip mode 'video'"):
        open_tree(tmp_path, mode="video")
    (tmp_path / "train/depth/1.npy").unlink()
    with pytest.raises(UserError, match=r"depth.1\.npy does not exist, but image/1\.npy does"):
        open_tree(tmp_path)
    (tmp_path / "train/image/last.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"last\.npy is not named by a number"):
        open_tree(tmp_path)
    shutil.rmtree(tmp_path / "train/image")
    (tmp_path / "train/image").mkdir()
    with pytest.raises(UserError, match=r"image holds no array N\.npy"):
        open_tree(tmp_path)

    def refuse(path: Path) -> Any:
        raise PermissionError(13, f"Permission denied: {path.name}")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"image cannot be read \(.*Permission denied"):
        open_tree(tmp_path)


ONES = np.ones((HEIGHT, WIDTH, 1), np.float32)


@pytest.mark.parametrize(
    ("kind", "array", "message"),
    [
        ("image", image(0) * 255, r"image.0\.npy holds values from 0 to 245, but colour lies in 0\.\.1"),
        ("image", np.full((HEIGHT, WIDTH, 3), np.nan), "holds values from nan"),
        ("image", image(0).transpose(2, 0, 1), r"holds float64 \[3, 36, 48\], but floating-point or unsigned .*\[H, W"),
        ("image", image(0).astype(complex), "holds complex128"),
        ("label", labels(0, 13)[1:], r"label.0\.npy holds float32 \[35, 48\], but .* numbers \[36, 48\]"),
        ("label", labels(0, 13) + 1, "holds the label 13, but labels here are -1 to 12"),
        ("label", labels(0, 13) * 0.5, "holds the label -0.5"),
        ("label", labels(0, 13) * np.nan, "holds the label nan"),
        ("depth", ONES[..., 0], r"depth.0\.npy holds float32 \[36, 48\], but floating-point numbers \[36, 48, 1\]"),
        ("depth", ONES.astype(np.int64), "holds int64"),
        ("depth", ONES * np.nan, "holds depth that is not finite"),
        ("depth", ONES * -1, "holds the negative depth -1"),
        ("depth", ONES * 0, "holds no depth at any pixel"),
        ("normal", np.ones((HEIGHT, WIDTH, 3)), "holds a normal of length 1.73"),
        ("normal", np.full((HEIGHT, WIDTH, 3), np.nan), "holds a normal of length nan"),
        ("normal", np.zeros((HEIGHT, WIDTH, 2)), r"normal.0\.npy holds float64 \[36, 48, 2\]"),
        ("normal", np.array([{}]), r"normal.0\.npy cannot be read"),
    ],
)
def test_bad_arrays_are_named_when_read(tmp_path: Path, kind: str, array: Array, message: str) -> None:
    source = open_tree(write_nyu_tree(tmp_path))
    put(tmp_path, kind, 0, array)
    source.clip(1, 1)
    with pytest.raises(UserError, match=message):
        source.clip(0, 1)


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    source = open_tree(write_nyu_tree(tmp_path))
    path = tmp_path / "train/depth/0.npy"
    for content in (path.read_bytes()[:300], b"a page that says 404", b"PK\x03\x04", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"depth.0\.npy cannot be read \(.*unpack it again"):
            source.clip(0, 1)
    with path.open("wb") as file:
        np.savez(file, a=ONES, b=ONES)
    with pytest.raises(UserError, match=r"depth.0\.npy holds several arrays"):
        source.clip(0, 1)
    path.unlink()
    with pytest.raises(UserError, match=r"depth.0\.npy cannot be read"):
        source.clip(0, 1)


def test_colours_may_be_bytes(tmp_path: Path) -> None:
    write_nyu_tree(tmp_path)
    put(tmp_path, "image", 0, np.rint(image(0) * 255).astype(np.uint8))
    assert np.array_equal(open_tree(tmp_path).clip(0, 1).frames[0], np.rint(image(0) * 255).transpose(2, 0, 1))
