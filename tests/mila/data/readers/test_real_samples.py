"""Readers of real data on the real sample, where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.readers.cityscapes import Cityscapes
from mila.data.readers.images import read_labels
from mila.data.readers.layouts import recognise
from mila.data.readers.nyuv2_classes import class_by_name
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.tasks import NYUV2, NYUV2_40, VOID
from tests.support.fake_files import open_split, sample


@pytest.mark.slow
@pytest.mark.parametrize(("split", "count"), [("train", 795), ("test", 654)])
def test_real_nyu(split: str, count: int) -> None:
    source = NYUv2Folders(sample("nyuv2"), split, height=96, width=128)  # type: ignore[arg-type]
    assert len(source) == count
    assert source.manifest()["note"] == "8-bit depth, JPEG images, normals computed from depth"
    labels: set[int] = set()
    upright = []
    for index in range(0, count, 40):
        clip = source.clip(index, 2)
        segmentation, depth, normals = (clip.targets[k] for k in ("segmentation", "depth", "normals"))
        labels |= set(np.unique(segmentation).tolist())
        valid = depth[0] > 0
        assert 0.9 < valid.mean() < 0.95  # all but the border
        assert 0.5 < depth[0][valid].min() <= depth[0][valid].max() <= 10.01
        assert np.array_equal(normals.any(0), valid)
        floor = (segmentation == 4) & valid
        if floor.sum() > 300:
            up = np.median(normals[:, floor], axis=1)
            upright.append(np.degrees(np.arccos(-up[1] / np.linalg.norm(up))))
    assert labels <= set(range(-1, 13))
    assert len(labels) > 10
    # the camera was held by hand, mostly tilted down by 10 to 30 degrees
    assert len(upright) >= 3
    assert np.mean(upright) < 30
    assert np.max(upright) < 50


@pytest.mark.slow
def test_real_nyu_has_the_same_scenes_in_thirteen_and_in_forty_classes() -> None:
    """A class of the 40 is always the same of the 13, the one that the raw names' table gives it."""
    root = sample("nyuv2")
    assert recognise(root).suites == (NYUV2, NYUV2_40)
    few, many = class_by_name(13), class_by_name(40)
    table = np.full(41, VOID)  # the last entry, -1, is for what is not labelled
    table[[many[name] for name in few]] = list(few.values())
    seen: set[int] = set()
    for split in ("train", "test"):
        how: dict[str, Any] = {"height": 120, "width": 160, "mode": "still"}
        thirteen, forty = (open_split(root, split, suite=suite, **how) for suite in (NYUV2, NYUV2_40))
        assert np.array_equal(
            table[forty.clip(7, 1).targets["segmentation"]], thirteen.clip(7, 1).targets["segmentation"]
        )
        for index in range(0, len(forty), 10):
            fine, coarse = (read_labels(source.files(index)[2]).astype(int) - 1 for source in (forty, thirteen))
            assert np.array_equal(table[fine], coarse)
            seen |= set(np.unique(fine).tolist())
    assert seen == set(range(VOID, 40))


def test_real_cityscapes() -> None:
    source = Cityscapes(sample("cityscapes"), "train", height=128, width=256)
    assert len(source) == 2
    assert source.manifest()["targets"] == {"segmentation": 2, "depth": 1}
    seen: set[int] = set()
    for index in range(2):
        clip = source.clip(index, 3)
        assert clip.frames.shape == (3, 3, 128, 256)
        moved = np.abs(clip.frames[1].astype(float) - clip.frames[2]).mean()
        assert 0.5 < moved < 40  # neighbours in a video: alike, not equal
        seen |= set(np.unique(clip.targets["segmentation"]).tolist())
    assert seen == set(range(-1, 7))
    first, second = source.clip(0, 1).targets["depth"], source.clip(1, 1).targets["depth"]
    assert 0.5 < (first > 0).mean() < 1
    assert 0.3 < first.max() < 0.5  # the nearest road: about 110 px of disparity
    assert not second.any()


def disparity_of(path: Path) -> list[list[int]]:
    with Image.open(path) as image:
        assert image.mode == "I;16"
        values: list[list[int]] = np.asarray(image).tolist()
        return values


def test_real_cityscapes_in_metres_and_nineteen_classes() -> None:
    root = sample("cityscapes")
    depth = Cityscapes(root, "train", height=128, width=256, depth="metres", limit=1).clip(0, 1).targets["depth"][0]
    stored = disparity_of(root / "disparity/train/aachen/aachen_000001_000019_disparity.png")
    for y, x in ((100, 128), (70, 40), (5, 250), (60, 200)):
        p = stored[y * 8 + 4][x * 8 + 4]
        assert depth[y, x] == (0 if p < 2 else pytest.approx(0.209313 * 2262.52 * 256 / (p - 1), rel=1e-6))
    assert 2 < np.median(depth[depth > 0]) < 60
    fine, coarse = (
        Cityscapes(root, "train", height=128, width=256, classes=n).clip(0, 1).targets["segmentation"] for n in (19, 7)
    )
    assert ((fine == 0) <= (coarse == 0)).all()  # road is flat
    assert ((fine >= 13) <= (coarse == 6)).all()  # car to bicycle are vehicles
    assert (fine == 0).mean() > 0.2
