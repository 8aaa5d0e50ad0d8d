"""The camera file of NYUd v2: what it changes, and files that state no camera."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mila.errors import UserError
from tests.support.nyuv2_official import (
    HEIGHT,
    INSIDE,
    WIDTH,
    official,
    picture,
    write_camera,
    write_official,
)


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    return write_official(tmp_path / "données NYU")


def test_a_camera_file_that_states_the_camera_of_nyud_changes_nothing_but_the_manifest(nyu: Path) -> None:
    before, manifest = official(nyu).clip(1, 4), official(nyu).manifest()
    assert (manifest["camera"], manifest["border"]) == ("NYUd v2", 8)
    write_camera(nyu)
    clip, stated = official(nyu).clip(1, 4), official(nyu).manifest()
    assert np.abs(clip.frames.astype(int) - before.frames).max() <= 1
    for task, target in before.targets.items():
        assert np.allclose(clip.targets[task], target, atol=1e-5)
    assert stated["camera"] == "camera.json"
    assert stated["note"] == manifest["note"] + ", camera.json at 64 x 48: fx 51.886 fy 51.947 cx 32.108 cy 24.924"


def test_normals_and_undistortion_take_the_stated_camera(nyu: Path) -> None:
    """A camera of twice the focal length sees the same depths as a surface of twice the slant, and bends less."""
    fx, cx = 2 * 51.886, 30.0
    a, c = 0.3, 0.5
    depth = np.broadcast_to(1 / (a * (np.arange(WIDTH) - cx) / fx + c), (HEIGHT, WIDTH)).astype(np.float32)
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["depths"][0] = depth.T
    before = official(nyu).clip(0, 2)
    write_camera(nyu, fx=fx, fy=2 * 51.947, cx=cx)
    expected = -np.array([a, 0, c]) / math.hypot(a, c)
    after = official(nyu).clip(0, 2)
    inside = (slice(None), *INSIDE)
    assert np.allclose(after.targets["normals"][inside], expected[:, None, None], atol=2e-3)
    assert np.abs(before.targets["normals"][inside] - expected[:, None, None]).max() > 0.1
    assert not np.array_equal(after.frames[0], before.frames[0])
    raw = picture(101).transpose(2, 0, 1).astype(int)
    apart = [np.abs(frames[0] - raw)[:, 8:40, 8:56].mean() for frames in (after.frames, before.frames)]
    assert 2 * apart[0] < apart[1]


@pytest.mark.parametrize(("stated", "argument", "width"), [(3, None, 3), (3, 5, 5), (3, 0, 0), (None, None, 8)])
def test_whose_border_counts(nyu: Path, stated: int | None, argument: int | None, width: int) -> None:
    if stated is not None:
        write_camera(nyu, border=stated)
    source = official(nyu, "still", border=argument)
    assert source.manifest()["border"] == width
    depth = source.clip(0, 1).targets["depth"][0]
    assert (depth > 0).sum() == (HEIGHT - 2 * width) * (WIDTH - 2 * width)
    assert depth[HEIGHT // 2, width] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"focal": 1}, "has the unknown key 'focal', but a camera has exactly width, height, fx, fy, cx, cy, undis"),
        ({"fx": None}, "has no 'fx', but a camera has exactly width, height"),
        ({"border": None}, "has no 'border'"),
        ({"undistorted": None}, "has no 'undistorted'"),
        ({"fx": 0}, "has 0 for fx, but a positive number of pixels is expected"),
        ({"fy": -51.9}, "has -51.9 for fy, but a positive number"),
        ({"fx": "51.9"}, 'has "51.9" for fx'),
        ({"fx": True}, "has true for fx"),
        ({"fx": math.nan}, "has NaN for fx"),
        ({"fy": math.inf}, "has Infinity for fy"),
        ({"fy": 10**400}, "has 1000000000000000000000000000000000000000 for fy"),
        ({"cx": math.nan}, "has NaN for cx, but a number of pixels"),
        ({"cy": []}, r"has \[\] for cy"),
        ({"width": 64.0}, r"has 64\.0 for width, but a positive whole number of pixels"),
        ({"height": 0}, "has 0 for height"),
        ({"undistorted": 1}, "has 1 for undistorted, but true or false is expected"),
        ({"border": -1}, "has -1 for border, but a whole number from 0 to less than half the image"),
        ({"border": 24}, "has 24 for border"),
        ({"border": 2.0}, r"has 2\.0 for border"),
        ({"border": False}, "has false for border"),
    ],
)
def test_malformed_camera_files(nyu: Path, changes: dict[str, Any], message: str) -> None:
    write_camera(nyu, **changes)
    with pytest.raises(UserError, match=rf"camera\.json {message}.*; correct it"):
        official(nyu)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xff", b"[" * 100_000])
def test_camera_files_that_are_no_json(nyu: Path, content: bytes) -> None:
    (nyu / "camera.json").write_bytes(content)
    with pytest.raises(UserError, match=r"camera\.json cannot be read as JSON \(.*or remove it for the camera of NYUd"):
        official(nyu)


def test_camera_files_that_are_no_camera(nyu: Path) -> None:
    (nyu / "camera.json").write_text("[640, 480]", encoding="utf-8")
    with pytest.raises(UserError, match=r"camera\.json holds no JSON object"):
        official(nyu)
    (nyu / "camera.json").unlink()
    (nyu / "camera.json").mkdir()
    with pytest.raises(UserError, match=r"camera\.json cannot be read as JSON"):
        official(nyu)
    (nyu / "camera.json").rmdir()
    write_camera(nyu, width=640, height=480)
    with pytest.raises(
        UserError, match=r"labeled\.mat is 64 x 48 pixels, but .*camera\.json states a camera of 640 x 480"
    ):
        official(nyu)
