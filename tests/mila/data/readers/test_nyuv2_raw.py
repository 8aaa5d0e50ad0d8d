"""The raw videos of NYUd v2: undistorted frames before the labelled one, and what is wrong with them."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mila.data.readers.layouts import recognise
from mila.data.readers.nyuv2_camera import undistort
from mila.data.readers.nyuv2_raw import LONGEST_CLIP
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from tests.support.nyuv2_official import (
    FILES,
    HEIGHT,
    WIDTH,
    official,
    picture,
    write_camera,
    write_official,
    write_split,
)


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    return write_official(tmp_path / "données NYU")


def slow_undistort(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The toolbox's camera at 48 x 64, pixel by pixel; 255 where the raw image has nothing."""
    s = WIDTH / 640
    fx, fy, cx, cy = 518.86 * s, 519.47 * s, (325.58 + 0.5) * s - 0.5, (253.74 + 0.5) * s - 0.5
    k1, k2, p1, p2, k3 = 2.0796615e-1, -5.8613826e-1, 7.2231363e-4, 1.0479627e-3, 4.9856987e-1
    out = np.full(image.shape, 255.0)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            x, y = (column - cx) / fx, (row - cy) / fy
            r = math.hypot(x, y)
            stretch = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
            u = fx * (x * stretch + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2)) + cx
            v = fy * (y * stretch + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y) + cy
            if 0 <= u <= WIDTH - 1 and 0 <= v <= HEIGHT - 1:
                left, top = min(int(u), WIDTH - 2), min(int(v), HEIGHT - 2)
                a, b = u - left, v - top
                upper = (1 - a) * image[top, left] + a * image[top, left + 1].astype(float)
                lower = (1 - a) * image[top + 1, left] + a * image[top + 1, left + 1].astype(float)
                out[row, column] = (1 - b) * upper + b * lower
    return out


def test_undistorting_is_the_toolbox_s_camera_model() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    fast, slow = undistort(image), slow_undistort(image)
    assert fast.dtype == np.uint8
    assert np.abs(fast - slow).max() <= 0.51
    assert (fast[24, 0] == 255).all()  # the white frame that the labelled images have
    white = (undistort(np.zeros((480, 640, 3), np.uint8)) == 255).all(2)
    # the labelled images' frame at the middle of each side: 7, 8, 5 and 4 pixels (looked up on real ones), to one pixel
    sides = white[240], white[240, ::-1], white[:, 320], white[::-1, 320]
    assert np.abs(np.array([side.argmin() for side in sides]) - [7, 8, 5, 4]).max() <= 1


def test_video_is_the_raw_frames_before_and_ends_at_the_labelled_image(nyu: Path) -> None:
    source = official(nyu)
    long = source.clip(1, 5)
    expected = [np.rint(slow_undistort(picture(100 + i))).transpose(2, 0, 1) for i in range(4)]
    assert np.abs(long.frames[:4] - np.stack(expected)).max() <= 1
    assert np.array_equal(long.frames[4], picture(1).transpose(2, 0, 1))
    assert np.array_equal(source.clip(1, 3).frames, long.frames[-3:])
    assert source.clip(0, 3).frames[:, 2, 24, 32].tolist() == [100, 101, 0]
    for task, target in official(nyu, "still").clip(1, 1).targets.items():
        assert np.array_equal(long.targets[task], target)


def test_raw_frames_that_are_undistorted_already(nyu: Path) -> None:
    write_camera(nyu, undistorted=True)
    frames = official(nyu).clip(1, 3).frames
    assert np.array_equal(frames[0], picture(102).transpose(2, 0, 1))
    assert np.array_equal(frames[1], picture(103).transpose(2, 0, 1))
    assert "raw frames taken as they are" in official(nyu).manifest()["note"]


def test_raw_scenes_may_lie_in_a_folder_of_their_own(nyu: Path) -> None:
    before = official(nyu).clip(1, 4).frames
    (nyu / "raw").mkdir()
    shutil.move(nyu / "kitchen_0004", nyu / "raw" / "kitchen_0004")
    assert np.array_equal(official(nyu).clip(1, 4).frames, before)


@pytest.mark.parametrize(
    ("scene", "suffix"),
    [
        ("kitchens_part1/kitchen_0004", ".ppm"),
        ("raw/kitchens_part1/kitchen_0004", ".ppm"),
        ("kitchen_0004/kitchen_0004", ".ppm"),
        ("raw/kitchen_0004/rgb", ".ppm"),
        ("kitchen_0004", ".png"),
        ("raw/kitchens_part1/kitchen_0004", ".png"),
    ],
)
def test_raw_scenes_one_folder_deeper_or_as_png(scene: str, suffix: str, nyu: Path, tmp_path: Path) -> None:
    write_split(nyu, train=(2, 3), test=(1,))
    expected = official(nyu).clip(0, 4)
    (nyu / "kitchen_0004").rename(tmp_path / "scene")
    for path in (tmp_path / "scene").glob("r-*.ppm") if suffix != ".ppm" else ():
        Image.open(path).save(path.with_suffix(suffix))
        path.unlink()
    (nyu / scene).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "scene").rename(nyu / scene)
    assert recognise(nyu).modes == ("video", "pan", "still")
    source = official(nyu)
    assert np.array_equal(source.clip(0, 4).frames, expected.frames)
    assert source.manifest()["video"]["matched"] == 1
    assert source.files(0)[-1] == nyu / scene / f"r-10.400000-12{suffix}"
    found = inspect(nyu, workers=1, height=HEIGHT, width=WIDTH)
    assert (found.problems, found.warnings, found.strays) == ((), (), ())
    assert [split.matched for split in found.splits] == [1, 1]


def test_pans_say_where_raw_video_was_looked_for(nyu: Path) -> None:
    assert "warnings" not in official(nyu, "pan").manifest()
    shutil.rmtree(nyu / "kitchen_0004")
    (nyu / "a/b/kitchen_0004").mkdir(parents=True)
    Image.fromarray(picture(0)).save(nyu / "a/b/kitchen_0004/r-10.400000-12.ppm")  # too deep
    assert recognise(nyu).modes == ("pan", "still")
    (warning,) = official(nyu, "pan").manifest()["warnings"]
    assert warning == (
        "no raw video was found (SCENE/r-TIME-STAMP.ppm, .png or .jpg in the data set's folder, in raw/, or one folder "
        "deeper): clips are pans over the labelled images"
    )
    assert inspect(nyu, workers=1, height=HEIGHT, width=WIDTH).warnings == (warning,)
    assert "warnings" not in official(nyu, "still").manifest()


def test_frames_without_enough_raw_ones_become_pans(nyu: Path) -> None:
    video, pan = official(nyu), official(nyu, "pan")
    assert np.array_equal(video.clip(2, 3).frames, pan.clip(2, 3).frames)  # its scene is not there
    assert not np.array_equal(video.clip(0, 3).frames, pan.clip(0, 3).frames)
    assert np.array_equal(video.clip(0, 4).frames, pan.clip(0, 4).frames)  # two raw frames before it, three needed
    assert [video.videos(length) for length in (1, 3, 4, 5, 6)] == [2, 2, 1, 1, 0]
    manifest = video.manifest()
    assert manifest["video"] == {"matched": 2, "unmatched": 1, "fewest_before": 2, "median_before": 3}
    assert "2 of 3 items matched to raw video" in manifest["note"]
    assert "raw frames undistorted" in manifest["note"]
    assert "video" not in pan.manifest()
    assert official(nyu, limit=1).manifest()["video"]["matched"] == 1


def test_a_hole_in_the_video_ends_it(nyu: Path) -> None:
    assert official(nyu, max_gap=0.21).manifest()["video"]["fewest_before"] == 2
    assert [official(nyu, max_gap=0.1).videos(length) for length in (1, 2, 3)] == [2, 1, 1]
    (nyu / "kitchen_0004/r-9.950000-4294967000.ppm").rename(nyu / "kitchen_0004/r-9.300000-4294967000.ppm")
    assert official(nyu).clip(0, 2).frames[0, 2, 24, 32] == 100
    assert official(nyu).videos(3) == 1


def test_a_split_without_raw_frames_is_no_video(nyu: Path) -> None:
    with pytest.raises(UserError, match="no raw file of any labelled frame of split test"):
        official(nyu, split="test")
    assert len(official(nyu, "pan", split="test")) == 1
    shutil.rmtree(nyu / "kitchen_0004")
    with pytest.raises(UserError, match="unpack the raw scenes, or choose mode pan or still"):
        official(nyu)


def test_clips_of_a_video_have_an_end(nyu: Path) -> None:
    with pytest.raises(UserError, match=f"clip of {LONGEST_CLIP + 1} frames is longer than the {LONGEST_CLIP}"):
        official(nyu).clip(0, LONGEST_CLIP + 1)
    assert official(nyu, "still").clip(0, LONGEST_CLIP + 1).frames.shape[0] == LONGEST_CLIP + 1
    with pytest.raises(UserError, match="clip of 0 frames"):
        official(nyu).clip(0, 0)
    for index in (-1, 3):
        with pytest.raises(IndexError):
            official(nyu).clip(index, 1)


def test_no_more_than_the_longest_clip_is_taken_of_a_long_video(nyu: Path) -> None:
    for i in range(LONGEST_CLIP + 5):
        (nyu / f"kitchen_0004/r-{9.9 - 0.03 * (i + 1):.6f}-1.ppm").write_bytes(b"P6")
    assert official(nyu).manifest()["video"]["fewest_before"] == LONGEST_CLIP - 1


def test_a_scene_that_cannot_be_read_is_one_problem(nyu: Path) -> None:
    shutil.rmtree(nyu / "kitchen_0004")
    (nyu / "kitchen_0004").write_bytes(b"")
    (nyu / "office_0001a").mkdir()
    (nyu / FILES[2]).write_bytes(b"")
    problems: list[str] = []
    assert len(official(nyu, problems=problems)) == 1
    assert len(problems) == 1
    assert "kitchen_0004 cannot be read (Not a directory)" in problems[0]


def test_bad_raw_frames_are_named(nyu: Path) -> None:
    source = official(nyu)
    frame = nyu / "kitchen_0004/r-10.200000-3.ppm"
    frame.write_bytes(frame.read_bytes()[:500])
    with pytest.raises(UserError, match=r"r-10\.200000-3\.ppm cannot be read"):
        source.clip(1, 2)
    Image.fromarray(picture(0)[:40]).save(frame)
    with pytest.raises(UserError, match=r"r-10\.200000-3\.ppm is 64 x 40 pixels, but .*labeled\.mat is 64 x 48"):
        source.clip(1, 2)
    frame.unlink()
    with pytest.raises(UserError, match=r"r-10\.200000-3\.ppm does not exist"):
        source.clip(1, 2)


def test_scenes_that_cannot_be_read(nyu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Path.iterdir

    def refuse(path: Path) -> Any:
        if path.name == "kitchen_0004":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"kitchen_0004 cannot be read \(Permission denied\); allow reading it"):
        official(nyu)
    monkeypatch.undo()
    shutil.rmtree(nyu / "kitchen_0004")
    (nyu / "kitchen_0004").write_bytes(b"")
    with pytest.raises(UserError, match=r"kitchen_0004 cannot be read \(Not a directory\)"):
        official(nyu)
