"""Depth of Cityscapes in metres, by its camera files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES_METRES
from tests.support.cityscapes import DISPARITY
from tests.support.fake_files import STEM, open_cities, save

CAMERA = f"camera/train/bochum/{STEM}_camera.json"


def write_camera(root: Path, text: str = '{"extrinsic": {"baseline": 0.5}, "intrinsic": {"fx": 2000}}') -> None:
    path = root / CAMERA
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_depth_in_metres(cities: Path) -> None:
    stored = np.arange(32 * 64).reshape(32, 64) * 31
    stored[0, :4] = [0, 1, 2561, 257]
    save(cities / DISPARITY, stored.astype(np.uint16))
    write_camera(cities)
    source = open_cities(cities, depth="metres")
    assert source.suite is CITYSCAPES_METRES
    depth = source.clip(1, 1).targets["depth"]
    assert (str(depth.dtype), depth.shape) == ("float32", (1, 32, 64))
    # 0.5 m x 2000 px = 1000: disparities of 10 px and of 1 px
    assert depth[0, 0, :4].tolist() == [0, 0, 100, 1000]
    for y, x in ((0, 40), (7, 0), (31, 63)):
        assert depth[0, y, x] == pytest.approx(1000 / ((int(stored[y, x]) - 1) / 256), rel=1e-6)
    half = open_cities(cities, height=16, width=32, depth="metres").clip(1, 1).targets["depth"]
    assert np.array_equal(half[0], depth[0, 1::2, 1::2])
    item_without_disparity = source.clip(0, 1).targets["depth"]
    assert item_without_disparity.shape == (1, 32, 64)
    assert not item_without_disparity.any()


def test_the_manifest_tells_the_kinds_of_depth_apart(cities: Path) -> None:
    write_camera(cities)
    metres, disparity = open_cities(cities, depth="metres").manifest(), open_cities(cities).manifest()
    assert (metres["suite"], disparity["suite"]) == ("cityscapes-metres", "cityscapes")
    assert metres["note"] == "depth is metres, 1 items without disparity, JPEG images"
    assert metres["fingerprint"] != disparity["fingerprint"]  # the camera file counts
    assert open_cities(cities).suite is CITYSCAPES


def test_a_missing_camera_file_is_found_at_once(cities: Path) -> None:
    with pytest.raises(UserError, match=r"bochum_000000_000313_camera\.json does not exist"):
        open_cities(cities, depth="metres")
    assert len(open_cities(cities)) == 2
    assert len(open_cities(cities, depth="metres", limit=1)) == 1  # aachen has no disparity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"_camera\.json cannot be read as JSON"),
        ('{"extrinsic": {', r"_camera\.json cannot be read as JSON"),
        ("[]", r"has no positive number extrinsic\.baseline"),
        ('{"intrinsic": {"fx": 2000}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"x": 1}, "intrinsic": {"fx": 2000}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": 0.2, "intrinsic": {"fx": 2000}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": "0.2"}, "intrinsic": {"fx": 1}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": true}, "intrinsic": {"fx": 1}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": -0.2}, "intrinsic": {"fx": 1}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 0}}', r"has no positive number intrinsic\.fx"),
        ('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": NaN}}', r"has no positive number intrinsic\.fx"),
        ('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 1' + 400 * "0" + "}}", r"no positive number intrinsic"),
    ],
)
def test_malformed_camera_files(cities: Path, text: str, message: str) -> None:
    write_camera(cities, text)
    source = open_cities(cities, depth="metres")
    with pytest.raises(UserError, match=message) as caught:
        source.clip(1, 1)
    assert str(cities / CAMERA) in str(caught.value)
    assert "restore it" in str(caught.value)


def test_a_source_survives_pickling(cities: Path) -> None:
    write_camera(cities)
    for options in ({}, {"classes": 19}, {"depth": "metres"}):
        source = open_cities(cities, **options)
        there = pickle.loads(pickle.dumps(source))
        assert there.manifest() == source.manifest()
        here, again = source.clip(1, 2).targets, there.clip(1, 2).targets
        assert set(here) == set(again)
        assert all(np.array_equal(here[task], again[task]) for task in here)
