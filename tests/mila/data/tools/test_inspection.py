"""Inspection of Cityscapes and of packed stores: every fault is reported, and what is in order is counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mila.data.prepare import pack
from mila.data.tools.inspection import SplitInspection, inspect
from mila.data.worlds.clips import WorldClips
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2
from tests.support.fake_files import save
from tests.support.inspection import RESTORE, SMALL, assert_problems, city, cut, noise, write_snippets


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    return write_snippets(tmp_path / "städte 1")


def test_cityscapes_in_order(cities: Path) -> None:
    told_progress: list[tuple[int, int]] = []
    found = inspect(cities, **SMALL, progress=lambda done, total: told_progress.append((done, total)))
    assert_problems(found)
    assert (found.layout.title, found.suite, found.mode, found.length) == (
        "Cityscapes, official folders",
        CITYSCAPES,
        "video",
        20,
    )
    # 20 frames each: the annotated one comes from leftImg8bit
    expected = SplitInspection("train", 5, 100, (19, 19), {"segmentation": 5, "depth": 5})
    assert found.splits == (expected,)
    assert (found.strays, found.unlabelled) == ((), 0)
    assert told_progress[-1] == (5, 5)
    assert told_progress == sorted(told_progress)
    still = inspect(cities, mode="still", suite=CITYSCAPES19, **SMALL)
    assert (still.height, still.length) == (16, 1)
    assert still.splits == (SplitInspection("train", 5, 5, None, {"segmentation": 5}),)
    assert inspect(cities, workers=1).height == CITYSCAPES.height


def test_cityscapes_with_every_fault(cities: Path) -> None:
    annotated, ids = city(cities, "leftImg8bit", 0), city(cities, "gtFine", 0, ending="gtFine_labelIds.png")
    for path in (annotated, ids):  # two files of one item
        cut(path)
    save(wrong := city(cities, "gtFine", 1, ending="gtFine_labelIds.png"), np.full((32, 64), 34, np.uint8))
    broken = city(cities, "leftImg8bit_sequence", 1, 7)
    broken.unlink()
    broken = broken.with_suffix(".jpg")
    save(broken, noise(1))
    cut(broken)
    save(small := city(cities, "disparity", 2, ending="disparity.png"), np.full((16, 64), 5000, np.uint16))
    city(cities, "leftImg8bit_sequence", 3, 5).unlink()
    city(cities, "disparity", 3, ending="disparity.png").unlink()
    misnamed = cities / "gtFine/train/ulm/ulm_04_000019_gtFine_labelIds.png"
    city(cities, "gtFine", 4, ending="gtFine_labelIds.png").rename(misnamed)
    (cities / "disparity/train/ulm/notes.txt").write_text("")
    (cities / "camera/.DS_Store").write_text("")
    for name in "cab":
        (cities / f"leftImg8bit/{name}.png").write_text("")

    found = inspect(cities, **SMALL)
    annotated_2 = city(cities, "leftImg8bit", 2)
    assert_problems(
        found,
        f"{misnamed} is not named CITY_SSSSSS_FFFFFF_gtFine_labelIds.png with six digits each; restore its name.",
        f"{city(cities, 'leftImg8bit_sequence', 3, 5)} does not exist (nor as .jpg), but a clip of 20 frames to "
        "ulm_000003_000019 needs it; unpack leftImg8bit_sequence in full, or choose mode pan or still.",
        f"{annotated} cannot be read (...); {RESTORE}",
        f"{ids} cannot be read (...); {RESTORE}",
        f"{broken} cannot be read (...); {RESTORE}",
        f"{small} is 64 x 16 pixels, but {annotated_2} is 64 x 32; the images of one item must have one size, so "
        "replace both by the data set's own files.",
    )
    # the four that are there by name, one of them with frames 6 to 19 alone and without disparity
    expected = SplitInspection("train", 4, 3 * 20 + 14, (13, 19), {"segmentation": 4, "depth": 3})
    assert found.splits == (expected,)
    assert found.strays == (
        "disparity/train/ulm/notes.txt",
        *(f"leftImg8bit/{name}.png" for name in "abc"),
    )
    assert found.unlabelled == 1

    save(broken, noise(1))  # now the next fault of this item comes to light
    assert [sentence for sentence in inspect(cities, **SMALL).problems if str(wrong) in sentence] == [
        f"{wrong} holds the label id 34, but Cityscapes has the ids 0 to 33; replace it by the official labelIds image."
    ]
    short = inspect(cities, length=14, **SMALL)
    assert not any("a clip of" in sentence for sentence in short.problems)
    assert len(short.problems) == len(found.problems) - 1


def test_both_faults_of_an_item_are_told_where_one_is_no_broken_file(cities: Path) -> None:
    save(wrong := city(cities, "gtFine", 1, ending="gtFine_labelIds.png"), np.full((32, 64), 34, np.uint8))
    cut(disparity := city(cities, "disparity", 1, ending="disparity.png"))
    assert_problems(
        inspect(cities, **SMALL),
        f"{disparity} cannot be read (...); {RESTORE}",
        f"{wrong} holds the label id 34, but Cityscapes has the ids 0 to 33; replace it by the official labelIds "
        "image.",
    )


def test_cameras_are_read_where_metres_are_wanted(cities: Path) -> None:
    first, second = (city(cities, "camera", item, ending="camera.json") for item in (0, 1))
    first.write_text("{")
    second.unlink()
    found = inspect(cities, suite=CITYSCAPES_METRES, **SMALL)
    assert_problems(
        found,
        f"{second} does not exist, but depth in metres needs it for ulm_000001_000019_disparity.png; unpack the camera "
        "files, or take disparity as depth.",
        f"{first} cannot be read as JSON (...); restore it from the data set's archive of camera files.",
    )
    assert found.splits[0].clips == 4
    assert_problems(inspect(cities, **SMALL))
    cut(disparity := city(cities, "disparity", 0, ending="disparity.png"))
    both = [sentence for sentence in inspect(cities, suite=CITYSCAPES_METRES, **SMALL).problems if "000000" in sentence]
    assert [sentence.split(" cannot be read")[0] for sentence in both] == [str(disparity), str(first)]


def test_a_folder_that_is_missing_as_a_whole(cities: Path) -> None:
    (cities / "gtFine/val/bonn").mkdir(parents=True)
    found = inspect(cities, **SMALL)
    assert_problems(
        found,
        f"{cities}/leftImg8bit_sequence/val does not exist, but the images that mode video takes, of split val, is "
        "expected there; correct the path or unpack the data set.",
    )
    assert [split.split for split in found.splits] == ["train"]


def test_folders_that_cannot_be_read(cities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == cities / "camera/train":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert_problems(
        inspect(cities, **SMALL),
        f"{cities}/camera/train cannot be read (Permission denied); give this user the right to read it.",
    )


def test_packed_stores(tmp_path: Path) -> None:
    for split, clips in (("train", 3), ("val", 2)):
        pack(WorldClips("street", "train", clips=clips, height=16, width=32), 4, tmp_path / split, workers=1)
    steps: list[tuple[int, int]] = []
    found = inspect(tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert_problems(found)
    assert (found.height, found.width, found.suite) == (16, 32, CITYSCAPES)
    assert found.splits[0] == SplitInspection("train", 3, 12, (3, 3), {"segmentation": 3, "depth": 3})
    assert steps == [(done, 5) for done in range(1, 6)]
    array = np.load(tmp_path / "val/depth.npy", mmap_mode="r+")
    array[1, 0, 3, 3] += 1
    array.flush()
    assert_problems(
        inspect(tmp_path), f"{tmp_path}/val/depth.npy is damaged at clip 1; delete {tmp_path}/val and prepare it again."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": NYUV2}, r"has no tasks 'nyuv2'; choose one of cityscapes, cityscapes-metres, cityscapes19"),
        ({"mode": "film"}, "no clip mode 'film'"),
        ({"height": 0}, "image size of 32 x 0 is not possible"),
        ({"length": 0}, "clip of 0 frames"),
        ({"workers": 0}, "Reading with 0 processes"),
    ],
)
def test_bad_arguments(cities: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        inspect(cities, **{**SMALL, **options})
