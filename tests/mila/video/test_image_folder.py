"""Frames of folders of images, and of one image."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mila.errors import UserError
from mila.video.source import open_frames
from tests.support.fake_videos import fake_frames


def _write(folder: Path, names: list[str], height: int = 30, width: int = 40) -> None:
    folder.mkdir(exist_ok=True)
    for name, pixels in zip(names, fake_frames(len(names), height, width), strict=True):
        Image.fromarray(pixels).save(folder / name)


def test_images_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    _write(tmp_path, ["f2.png", "f10.png", "f9.png", "F1.PNG"])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image either")
    with open_frames(tmp_path, Fraction(10)) as frames:
        assert frames.count == 4
        found = list(frames)
    assert [frame.name for frame in found] == ["F1", "f2", "f9", "f10"]
    assert [frame.time for frame in found] == [Fraction(n, 10) for n in range(4)]
    for frame, number in zip(found, (3, 0, 2, 1), strict=True):
        assert np.array_equal(frame.pixels, fake_frames(4)[number])


def test_names_that_only_differ_in_their_ending_become_numbers(tmp_path: Path) -> None:
    _write(tmp_path, ["a.png", "a.bmp"])
    assert [frame.name for frame in open_frames(tmp_path)] == ["000000", "000001"]


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    _write(tmp_path, ["0.png", "1.png", "2.png", "3.png"])
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    Image.fromarray(np.zeros((30, 40), np.uint16)).save(tmp_path / "2.png")
    with open_frames(tmp_path) as frames:
        found = list(frames)
    assert [(frame.name, frame.time) for frame in found] == [("0", 0), ("3", Fraction(3, 25))]
    (problem,) = frames.problems
    assert problem.startswith(f"2 frames are broken and left out: {tmp_path / '1.png'} cannot be read (")
    assert "archive" not in problem


def test_other_sizes_are_resized_to_the_first(tmp_path: Path) -> None:
    _write(tmp_path, ["0.png", "1.png"])
    Image.new("RGB", (80, 60), (200, 10, 10)).save(tmp_path / "2.png")
    with open_frames(tmp_path) as frames:
        found = list(frames)
    assert [frame.pixels.shape for frame in found] == [(30, 40, 3)] * 3
    assert np.array_equal(np.unique(found[2].pixels.reshape(-1, 3), axis=0), [[200, 10, 10]])
    assert frames.notes == ["1 frame has another size than the first and is resized to it (40 x 30 pixels)."]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(fake_frames(1)[0]).save(tmp_path / "0.png", exif=exif)
    (frame,) = open_frames(tmp_path / "0.png")
    assert np.array_equal(frame.pixels, np.rot90(fake_frames(1)[0], -1))


def test_a_folder_without_images_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no images \(\.png, .*\); give a folder of frames, or a video file"):
        open_frames(tmp_path)


def test_where_no_image_can_be_read_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_text("no image")
    with pytest.raises(UserError, match=r"has no frame that can be decoded \(1 are broken: .*0\.png cannot be read"):
        list(open_frames(tmp_path))
