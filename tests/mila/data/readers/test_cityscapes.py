"""Cityscapes: frames, labels and disparity of small files written here, and broken ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.__main__ import main
from mila.data.clips import frames_needed
from mila.data.readers.cityscapes import FRAMES_TO_ANNOTATION, Cityscapes
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from mila.tasks import CITYSCAPES
from tests.support.cityscapes import ANNOTATED, DISPARITY, LABELS
from tests.support.fake_files import CATEGORY_OF_ID, STEM, frame_path, open_cities, ramp, save


def test_cityscapes_values_shapes_and_types(cities: Path) -> None:
    source = open_cities(cities)
    assert source.suite is CITYSCAPES
    assert len(source) == 2
    clip = source.clip(1, 4)
    assert clip.frames.shape == (4, 3, 32, 64)
    assert clip.frames.dtype == np.uint8
    assert clip.frames[:, 2, 0, 0].tolist() == [16, 17, 18, 200]  # the annotated frame comes from leftImg8bit
    labels, depth = clip.targets["segmentation"], clip.targets["depth"]
    assert (str(labels.dtype), labels.shape) == ("int64", (32, 64))
    classes = [*CITYSCAPES.task("segmentation").classes, "void"]
    assert [classes[i] for i in labels[5]] == [CATEGORY_OF_ID[i % 34] for i in range(64)]
    assert (str(depth.dtype), depth.shape) == ("float32", (1, 32, 64))
    assert np.array_equal(depth[0], (np.arange(32 * 64).reshape(32, 64) / 65535).astype(np.float32))


def test_cityscapes_item_without_disparity_or_png(cities: Path) -> None:
    clip = open_cities(cities).clip(0, 2)
    assert clip.frames.shape == (2, 3, 32, 64)
    assert clip.targets["depth"].shape == (1, 32, 64)
    assert not clip.targets["depth"].any()


def test_cityscapes_resizes_targets_without_mixing(cities: Path) -> None:
    targets = open_cities(cities, height=16, width=32).clip(1, 1).targets
    values = np.arange(32 * 64).reshape(32, 64)[1::2, 1::2]
    assert np.array_equal(targets["depth"][0], (values / 65535).astype(np.float32))
    assert targets["segmentation"].shape == (16, 32)


def test_cityscapes_frames_do_not_depend_on_the_length(cities: Path) -> None:
    source = open_cities(cities, height=16, width=32)
    long = source.clip(1, FRAMES_TO_ANNOTATION)
    assert long.frames[:, 2, 0, 0].tolist() == [*range(19), 200]
    assert np.array_equal(long.frames[-3:], source.clip(1, 3).frames)


def test_cityscapes_pan_and_still_need_the_annotated_image_alone(cities: Path) -> None:
    shutil.rmtree(cities / "leftImg8bit_sequence")
    with pytest.raises(UserError, match=r"aachen_000001_000019_leftImg8bit\.png does not exist"):
        open_cities(cities, "pan")
    shutil.rmtree(cities / "gtFine/train/aachen")
    pan, still = open_cities(cities, "pan").clip(0, 25), open_cities(cities, "still").clip(0, 25)
    assert np.array_equal(pan.frames[-1], still.frames[-1])
    assert (still.frames == still.frames[-1]).all()
    assert not np.array_equal(pan.frames[0], pan.frames[-1])
    with pytest.raises(UserError, match=r"leftImg8bit_sequence.train does not exist"):
        open_cities(cities)


def test_cityscapes_manifest(cities: Path, tmp_path: Path) -> None:
    before = open_cities(cities).manifest()
    assert json.loads(json.dumps(before)) == before
    assert before["targets"] == {"segmentation": 2, "depth": 1}
    assert before["note"] == "depth is disparity / 65535, 1 items without disparity, JPEG images"
    assert str(tmp_path) not in json.dumps(before)
    moved = tmp_path / "b"
    shutil.move(cities, moved)
    assert open_cities(moved).manifest() == before
    (moved / f"disparity/train/bochum/{STEM}_disparity.png").unlink()
    assert open_cities(moved).manifest()["fingerprint"] != before["fingerprint"]
    assert open_cities(moved, limit=1).manifest()["items"] == 1


def test_cityscapes_missing_things_are_found_at_once(cities: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_cities(cities / "nowhere")
    with pytest.raises(UserError, match="val does not exist"):
        Cityscapes(cities, "val", height=8, width=8)
    with pytest.raises(UserError, match="no split 'dev'"):
        Cityscapes(cities, "dev", height=8, width=8)  # type: ignore[arg-type]
    (cities / "leftImg8bit_sequence/train/aachen/aachen_000001_000018_leftImg8bit.jpg").unlink()
    with pytest.raises(UserError, match=r"aachen_000001_000018_leftImg8bit\.png does not exist"):
        open_cities(cities)
    for path in (cities / "gtFine/train").glob("*/*"):
        path.unlink()
    with pytest.raises(UserError, match=r"gtFine.train holds no CITY"):
        open_cities(cities)
    save(cities / "gtFine/train/bochum/mine_gtFine_labelIds.png", np.zeros((32, 64), np.uint8))
    with pytest.raises(UserError, match=r"mine_gtFine_labelIds\.png is not named"):
        open_cities(cities)


def test_cityscapes_too_long_clips(cities: Path) -> None:
    source = open_cities(cities)
    with pytest.raises(UserError, match="clip of 21 frames is longer than the 20 frames"):
        source.clip(1, 21)
    with pytest.raises(UserError, match=r"aachen_000001_000017_leftImg8bit\.png does not exist"):
        source.clip(0, 3)
    with pytest.raises(UserError, match="clip of 0 frames"):
        source.clip(0, 0)
    frame_path(cities, 305).unlink()
    assert open_cities(cities).clip(1, 8).frames.shape[0] == 8
    with pytest.raises(UserError, match=r"bochum_000000_000305_leftImg8bit\.png does not exist"):
        open_cities(cities).clip(1, 9)
    with pytest.raises(IndexError):
        source.clip(2, 1)


def test_cityscapes_bad_files_are_named_when_read(cities: Path) -> None:
    source = open_cities(cities)
    save(frame_path(cities, 312), ramp(16, 32))
    with pytest.raises(UserError, match=r"000312_leftImg8bit\.png is 32 x 16 pixels"):
        source.clip(1, 2)
    frame_path(cities, 312).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(UserError, match=r"000312_leftImg8bit\.png cannot be read"):
        source.clip(1, 2)
    disparity = cities / f"disparity/train/bochum/{STEM}_disparity.png"
    save(disparity, np.zeros((16, 32), np.uint16))
    with pytest.raises(UserError, match=r"_disparity\.png is 32 x 16 pixels"):
        source.clip(1, 1)
    save(disparity, np.zeros((32, 64), np.uint8))
    with pytest.raises(UserError, match=r"_disparity\.png has 8 bits a pixel"):
        source.clip(1, 1)
    labels = cities / f"gtFine/train/bochum/{STEM}_gtFine_labelIds.png"
    save(labels, np.full((32, 64), 34, np.uint8))
    with pytest.raises(UserError, match=r"_gtFine_labelIds\.png holds the label id 34"):
        source.clip(1, 1)
    save(labels, np.full((32, 64), 1000, np.uint16))
    with pytest.raises(UserError, match=r"_gtFine_labelIds\.png holds the label id 1000"):
        source.clip(1, 1)
    save(labels, np.zeros((16, 32), np.uint8))
    with pytest.raises(UserError, match=r"_gtFine_labelIds\.png is 32 x 16 pixels"):
        source.clip(1, 1)


# clips --------------------------------------------------------------------------------------------------------------


def test_every_offset_and_history_has_real_frames(cities: Path) -> None:
    source = open_cities(cities, height=4, width=8)
    for interval in (1, 5, 10):
        for offset in range(interval):
            for history in (0, 1, 10):
                frames = source.clip(1, frames_needed(offset, history)).frames
                # blue is the frame's index in the snippet; the annotated one, index 19, is 200 in leftImg8bit
                key = 19 - offset
                expected = [*range(key - history, 19), 200]
                assert frames[:, 2, 0, 0].tolist() == expected


# bad input ----------------------------------------------------------------------------------------------------------


def cut_png(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def cut_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    jpeg = path.with_suffix(".jpg")
    Image.fromarray(noise).save(jpeg)
    path.unlink()
    cut_png(jpeg)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        (ANNOTATED, cut_png),
        (ANNOTATED, cut_jpeg),
        (LABELS, cut_png),
        (DISPARITY, cut_png),
        (f"leftImg8bit_sequence/train/bochum/{STEM[:-3]}312_leftImg8bit.png", cut_png),
        (f"leftImg8bit_sequence/train/bochum/{STEM[:-3]}312_leftImg8bit.png", cut_jpeg),
    ],
)
def test_truncated_images(cities: Path, name: str, cut: Callable[[Path], None]) -> None:
    cut(cities / name)
    with pytest.raises(UserError, match=r"cannot be read \(.*; restore the file from the data set's archive") as caught:
        open_cities(cities).clip(1, 2)
    assert str((cities / name).with_suffix("")) in str(caught.value)  # spaces and letters of the path as they are


@pytest.mark.parametrize("folder", ["gtFine/train", "gtFine/train/aachen", "leftImg8bit/train/bochum"])
def test_unreadable_folders(cities: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if Path(path) == cities / folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(UserError, match=rf"{folder} cannot be read \(Permission denied\); give this user the right"):
        open_cities(cities)


def test_stray_files_between_the_cities_are_passed_over(cities: Path) -> None:
    before = open_cities(cities).manifest()
    (cities / "gtFine/train/.DS_Store").write_bytes(b"")
    (cities / "gtFine/train/bochum/notes.txt").write_bytes(b"")
    save(cities / f"gtFine/train/bochum/{STEM}_gtFine_color.png", ramp(32, 64))
    assert open_cities(cities).manifest() == before


def test_a_frame_that_is_a_folder(cities: Path) -> None:
    frame_path(cities, 312).unlink()
    frame_path(cities, 312).mkdir()
    with pytest.raises(UserError, match=r"000312_leftImg8bit\.png cannot be read"):
        open_cities(cities).clip(1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 8}, "no set of 8 classes here; choose 7 or 19"),
        ({"depth": "feet"}, "no depth in 'feet'"),
        ({"classes": 19, "depth": "metres"}, "come without depth"),
    ],
)
def test_bad_options(cities: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_cities(cities, **options)


@pytest.mark.parametrize("mode", ["pan", "still"])
def test_stills_are_taken_from_the_video_package_where_it_is_all_there_is(
    mode: str, cities: Path, tmp_path: Path
) -> None:
    """A clip of which 4 frames before the annotated one are there: no video of 6 frames, but a still or pan of any."""
    shutil.rmtree(cities / "leftImg8bit")
    for frame in range(294, 309):
        frame_path(cities, frame).unlink()
    with pytest.raises(UserError) as error:
        open_cities(cities).clip(1, 6)
    assert str(error.value) == (
        f"{frame_path(cities, 308)} does not exist (nor as .jpg), but a clip of 6 frames to {STEM} needs it; unpack "
        "leftImg8bit_sequence in full, or choose mode pan or still."
    )
    clip = open_cities(cities, mode).clip(1, 6)
    assert np.array_equal(clip.frames[-1], ramp(32, 64, 313 - 294).transpose(2, 0, 1))
    assert inspect(cities, mode="pan" if mode == "pan" else "still", workers=1, height=32, width=64).ok
    words = ["prepare", cities, tmp_path / "store", "--mode", mode, "--height", 32, "--width", 64, "--jobs", 1]
    assert main([str(word) for word in (*words, "--splits", "train")]) == 0
