"""Plain folders with the frames before their images, and without some of the targets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.layouts import Layout, recognise
from mila.data.readers.numbered_images import gap_in
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from mila.tasks import NYUV2, NYUV2_40
from tests.support.fake_files import ramp, save

HEIGHT, WIDTH = 48, 64
SIZE: dict[str, Any] = {"height": HEIGHT, "width": WIDTH}


def write_targets(root: Path, name: str) -> None:
    save(root / f"labels13/{name}.png", np.full((HEIGHT, WIDTH), 3, np.uint8))
    save(root / f"depth/{name}.png", np.full((HEIGHT, WIDTH), 2500, np.uint16))


def write_flat(root: Path) -> Path:
    """Frames 00000 to 00012; 00006 is for training, 00012 for testing; alone they have targets."""
    for number in range(13):
        save(root / f"rgb/{number:05d}.png", ramp(HEIGHT, WIDTH, number))
    for split, name in (("train", "00006"), ("test", "00012")):
        write_targets(root, name)
        (root / f"{split}.txt").write_text(f"{name}\n", encoding="utf-8")
    return root


def write_clips(root: Path) -> Path:
    """A folder a clip, of 5 and 3 frames; the last frame of `kitchen` is annotated, of `hall` the one before."""
    for clip, numbers in (("kitchen", range(5)), ("hall", range(10, 40, 10))):
        for number in numbers:
            save(root / f"rgb/{clip}/{number:03d}.png", ramp(HEIGHT, WIDTH, number))
    write_targets(root, "kitchen/004")
    write_targets(root, "hall/020")
    (root / "train.txt").write_text("kitchen\nhall/20\n", encoding="utf-8")
    (root / "test.txt").write_text("hall/020\n", encoding="utf-8")
    return root


def read(layout: Layout, split: str = "train", mode: Any = None) -> NYUv2Folders:
    source = layout.open(split, suite=layout.suites[0], mode=mode or layout.modes[0], **SIZE)
    assert isinstance(source, NYUv2Folders)
    return source


def shades(source: NYUv2Folders, index: int, length: int) -> list[int]:
    """By how much brighter than the first image each frame is, which is its number."""
    darkest = ramp(HEIGHT, WIDTH, 0).transpose(2, 0, 1).astype(int)
    return [int((frame - darkest).max()) for frame in source.clip(index, length).frames]


def test_frames_before_an_image_by_their_numbers(tmp_path: Path) -> None:
    layout = recognise(write_flat(tmp_path))
    assert (layout.modes, layout.suites) == (("video", "pan", "still"), (NYUV2,))
    source = read(layout)
    assert shades(source, 0, 4) == [3, 4, 5, 6]
    assert source.clip(0, 7).frames.shape == (7, 3, HEIGHT, WIDTH)
    assert [path.name for path in source.files(0)[1:]] == [
        *(f"{number:05d}.png" for number in range(7)),
        *["00006.png"] * 2,
    ]
    manifest = source.manifest()
    assert manifest["video"] == {"matched": 1, "unmatched": 0, "fewest_before": 6, "median_before": 6}
    assert "1 of 1 items have frames of a video before them" in manifest["note"]
    with pytest.raises(UserError, match="has clips of 7 frames at most in split train, but clips of 8 are wanted"):
        source.check(8)
    save(tmp_path / "rgb/00003.png", ramp(HEIGHT, WIDTH, 1))
    assert read(recognise(tmp_path)).manifest()["fingerprint"] != manifest["fingerprint"]
    assert "video" not in read(layout, mode="pan").manifest()


def test_a_folder_a_clip(tmp_path: Path) -> None:
    layout = recognise(write_clips(tmp_path))
    assert layout.modes[0] == "video"
    source = read(layout)
    assert [source.files(index)[-3] for index in range(2)] == [
        tmp_path / "rgb/kitchen/004.png",
        tmp_path / "rgb/hall/020.png",
    ]
    assert shades(source, 0, 3) == [2, 3, 4]
    assert shades(source, 1, 2) == [10, 20]
    source.check(5)
    pan = source.clip(1, 3)  # there is one frame before it
    assert np.array_equal(pan.frames, read(layout, mode="pan").clip(1, 3).frames)
    assert source.manifest()["video"] == {"matched": 2, "unmatched": 0, "fewest_before": 1, "median_before": 2.5}
    found = inspect(tmp_path, **SIZE)
    assert found.ok
    assert found.warnings == (
        "split train: 1 of 2 are in split test, too (hall/020): a score on what was trained on says nothing",
        "split test: 1 of 1 are in split train, too (hall/020): a score on what was trained on says nothing",
    )
    assert [(s.split, s.clips, s.frames, s.before, s.matched) for s in found.splits] == [
        ("train", 2, 7, (1, 2.5), 2),
        ("test", 1, 2, (1, 1), 1),
    ]
    assert (found.strays, found.unlabelled) == ((), 0)


def test_a_frame_that_is_missing_in_a_clip_is_said(tmp_path: Path) -> None:
    """Where numbers are mostly equally far apart; numbers that are times are as they are."""
    root = write_clips(tmp_path)
    (root / "rgb/kitchen/002.png").unlink()
    said = (
        "split train: frames seem to be missing in 1 of 2 clips, the first time between rgb/kitchen/001.png and 003.png"
    )
    assert [text.split(": what is left")[0] for text in inspect(root, **SIZE).warnings if "missing" in text] == [said]
    assert shades(read(recognise(root)), 0, 3) == [1, 3, 4]  # they are read all the same


@pytest.mark.parametrize("name", ["005.JPG", "005.jpeg", "002.PNG", "frame.webp"])
def test_an_image_of_another_ending_in_a_clip_is_refused(name: str, tmp_path: Path) -> None:
    """Else `kitchen` would be another frame than its last one, or frames be missing."""
    root = write_clips(tmp_path)
    save(root / "new.png", ramp(HEIGHT, WIDTH, 5))
    (root / "new.png").rename(root / f"rgb/kitchen/{name}")
    with pytest.raises(UserError, match=rf"rgb/kitchen/{name} would be left out, .*; rename or convert it"):
        read(recognise(root))


def test_a_hidden_image_of_another_ending_is_none(tmp_path: Path) -> None:
    root = write_clips(tmp_path)
    (root / "rgb/kitchen/._004.JPG").touch()
    assert len(read(recognise(root))) == 2


def test_a_clip_without_frames_is_said(tmp_path: Path) -> None:
    root = write_clips(tmp_path)
    shutil.rmtree(root / "rgb/kitchen")
    (root / "rgb/kitchen").mkdir()
    with pytest.raises(UserError, match=r"rgb/kitchen holds no image NNN\.jpg or NNN\.png, but is listed as a clip"):
        read(recognise(root))


@pytest.mark.parametrize(
    ("numbers", "gap"),
    [
        ((0, 1, 2, 3), None),
        ((0, 5, 10, 15), None),
        ((0, 5, 10, 20, 25), (10, 20)),
        ((0, 1, 3), None),  # which of the two steps is the usual one?
        ((103, 136, 170, 204, 237, 270), None),  # milliseconds
        ((7,), None),
        ((), None),
    ],
)
def test_what_a_gap_is(numbers: tuple[int, ...], gap: tuple[int, int] | None) -> None:
    found = gap_in([Path(f"rgb/hall/{number:04d}.png") for number in numbers])
    assert (found and tuple(int(path.stem) for path in found)) == gap


def test_annotated_images_side_by_side_are_no_video(nyu: Path) -> None:
    """Those of NYUd v2 have consecutive numbers and nothing to do with each other."""
    assert recognise(nyu).modes == ("pan", "still")
    (nyu / "train.txt").write_text("2\n", encoding="utf-8")  # 0 is listed nowhere now, but has labels
    assert recognise(nyu).modes == ("pan", "still")


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    layout = recognise(write_flat(tmp_path))
    Image.new("RGB", (32, 24)).save(tmp_path / "rgb/00005.png")
    with pytest.raises(UserError, match=r"00005\.png is 32 x 24 pixels, but .*00006\.png is 64 x 48"):
        read(layout).clip(0, 2)
    assert {sentence.split(" is ")[0] for sentence in inspect(tmp_path, **SIZE).problems} == {
        f"{tmp_path}/rgb/00005.png"
    }


@pytest.mark.parametrize(
    ("gone", "name", "note"),
    [
        (["labels13"], "nyuv2-depth-normals", "no labels: depth and normals alone"),
        (["depth"], "nyuv2-segmentation", "no depth and no normals: segmentation alone"),
    ],
)
def test_the_tasks_are_those_that_have_a_folder(gone: list[str], name: str, note: str, tmp_path: Path) -> None:
    write_flat(tmp_path / "data")
    whole = read(recognise(tmp_path / "data")).clip(0, 3)
    for folder in gone:
        shutil.rmtree(tmp_path / "data" / folder)
    layout = recognise(tmp_path / "data")
    assert [suite.name for suite in layout.suites] == [name]
    source = read(layout)
    clip, tasks = source.clip(0, 3), {task.name for task in source.suite.tasks}
    assert set(clip.targets) == tasks
    for task, target in clip.targets.items():
        assert np.array_equal(target, whole.targets[task])
    manifest = source.manifest()
    assert manifest["note"].startswith(note)
    assert manifest["targets"] == dict.fromkeys([task.name for task in source.suite.tasks], 1)
    for split in ("train", "test"):
        pack(read(layout, split), 3, tmp_path / "store" / split)
    packed = recognise(tmp_path / "store")
    assert (packed.dataset, packed.suites, packed.scored) == ("nyuv2", layout.suites, "test")
    stored = PackedClips(tmp_path / "store" / "train").clip(0, 3)
    assert np.array_equal(stored.frames, clip.frames)
    found = inspect(tmp_path / "data", **SIZE)
    assert (found.ok, set(found.splits[0].targets), found.unlabelled) == (True, tasks, 0)


def test_given_normals_alone_and_with_40_classes(tmp_path: Path) -> None:
    write_flat(tmp_path)
    for number in ("00006", "00012"):
        save(tmp_path / f"normals/{number}.png", np.broadcast_to(np.array([127, 127, 0], np.uint8), (HEIGHT, WIDTH, 3)))
    shutil.rmtree(tmp_path / "depth")
    (tmp_path / "labels13").rename(tmp_path / "labels40")
    (suite,) = recognise(tmp_path).suites
    assert suite.name == "nyuv2-40-segmentation-normals"
    assert suite.tasks == (NYUV2_40.task("segmentation"), NYUV2_40.task("normals"))
    source = read(recognise(tmp_path))
    assert source.manifest()["note"].startswith("no depth: segmentation and normals alone, normals as given")
    assert np.allclose(source.clip(0, 1).targets["normals"][:, 20, 20], [0, 0, -1], atol=0.01)
    shutil.rmtree(tmp_path / "labels40")
    assert [s.name for s in recognise(tmp_path).suites] == ["nyuv2-normals"]
    assert set(read(recognise(tmp_path)).clip(0, 1).targets) == {"normals"}


def test_a_third_split_to_choose_settings_on(tmp_path: Path) -> None:
    write_flat(tmp_path / "data")
    (tmp_path / "data" / "val.txt").write_text("00006\n", encoding="utf-8")
    layout = recognise(tmp_path / "data")
    assert (layout.splits, layout.scored) == (("train", "val", "test"), "test")
    for split in layout.splits:
        pack(read(layout, split), 2, tmp_path / "store" / split)
    packed = recognise(tmp_path / "store")
    assert (packed.splits, packed.scored) == (("train", "val", "test"), "test")


def test_what_a_list_means_is_never_guessed(tmp_path: Path) -> None:
    write_flat(tmp_path)
    (tmp_path / "train.txt").write_text("6\n", encoding="utf-8")  # any number of digits
    assert read(recognise(tmp_path)).files(0)[-1] == tmp_path / "depth/00006.png"
    save(tmp_path / "rgb/0006.png", ramp(HEIGHT, WIDTH))
    with pytest.raises(UserError, match=r"rgb holds 00006\.png and 0006\.png, which are the same number; rename one"):
        read(recognise(tmp_path), mode="pan")
    (tmp_path / "rgb/0006.png").unlink()
    save(tmp_path / "rgb/6/1.png", ramp(HEIGHT, WIDTH))
    with pytest.raises(UserError, match=r"rgb holds 00006\.png and the folder 6; rename one of the two"):
        read(recognise(tmp_path), mode="pan")
    (tmp_path / "train.txt").write_text("kitchen/1\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1: 'kitchen/1' is no image number; write one number a line"):
        read(recognise(tmp_path), mode="pan")
    (tmp_path / "train.txt").write_text("00099\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"rgb/00099\.jpg \(and 2 others\) does not exist, but train\.txt lists it"):
        read(recognise(tmp_path), mode="pan")


def test_images_of_another_shape_without_a_camera_are_a_warning(tmp_path: Path) -> None:
    root = write_flat(tmp_path)
    assert "warnings" not in read(recognise(root)).manifest()
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            image.resize((96, 48)).save(path)
    (warning,) = read(recognise(root)).manifest()["warnings"]
    assert "images of 96 x 48 pixels are no shape of NYUd v2's camera, but there is no camera.json" in warning


def test_linked_folders_are_looked_into_once(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "data")
    (root / "rgb/kitchen").rename(tmp_path / "kitchen")
    (root / "rgb/kitchen").symlink_to(tmp_path / "kitchen")
    (root / "rgb/hall/around").symlink_to(root / "rgb")
    (tmp_path / "kitchen/notes.txt").write_text("of the cook")
    assert inspect(root, **SIZE).strays == ("rgb/kitchen/notes.txt",)


def test_a_damaged_image_takes_no_other_warning_away(tmp_path: Path) -> None:
    root = write_clips(tmp_path)
    first = root / "rgb/kitchen/004.png"
    first.write_bytes(first.read_bytes()[:-20])
    found = inspect(root, **SIZE)
    assert "kitchen/004.png cannot be read" in found.problems[0]
    assert "are in split test, too" in found.warnings[0]
