"""Images that are named by numbers: found by name or number, never by guess, with those before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mila.data.readers.numbered_images import LONGEST_CLIP, NumberedImages
from mila.errors import UserError


def touch(root: Path, *names: str) -> NumberedImages:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return NumberedImages(root, (".jpg", ".png"))


def test_a_name_is_found_as_it_is_and_else_by_its_number(tmp_path: Path) -> None:
    images = touch(tmp_path, "00012.png", "7.jpg", "0012.jpg", "300.jpg", "300.png", "clip/05.png", ".1.jpg", "x2.jpg")
    assert images.find("00012").name == "00012.png"
    assert images.find("0012").name == "0012.jpg"
    assert images.find("0007").name == "7.jpg"
    assert images.find("300").name == "300.jpg"  # the first ending
    assert images.find("clip/5") == tmp_path / "clip" / "05.png"
    with pytest.raises(UserError, match=r"holds 00012\.png and 0012\.jpg, which are the same number; rename one"):
        images.find("12")
    assert images.find("2") == tmp_path / "0002.jpg"  # not there
    assert images.find("123456") == tmp_path / "123456.jpg"
    assert images.name_of(tmp_path / "clip" / "05.png") == "clip/05"


def test_frames_side_by_side_are_consecutive_by_their_numbers(tmp_path: Path) -> None:
    images = touch(tmp_path, "8.jpg", "10.jpg", "11.jpg", "012.jpg", "13.png")
    assert [path.name for path in images.before(tmp_path / "13.png")] == ["10.jpg", "11.jpg", "012.jpg"]
    assert images.before(tmp_path / "8.jpg") == ()
    assert images.before(tmp_path / "10.jpg") == ()  # 9 is not there
    both = touch(tmp_path, "0011.jpg")
    with pytest.raises(UserError, match=r"0011\.jpg and 11\.jpg, which are the same number"):
        both.before(tmp_path / "13.png")


def test_frames_in_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    images = touch(tmp_path, *(f"clip/{number}.jpg" for number in (5, 100, 20, 15)), "other/101.jpg")
    last = images.last("clip")
    assert last == tmp_path / "clip" / "100.jpg"
    assert [path.name for path in images.before(last)] == ["5.jpg", "15.jpg", "20.jpg"]
    assert images.is_clip("clip")
    assert not images.is_clip("nowhere")
    (tmp_path / "empty").mkdir()
    assert images.last("empty") is None


def test_a_clip_has_no_more_frames_than_are_taken(tmp_path: Path) -> None:
    images = touch(tmp_path, *(f"{number:05d}.jpg" for number in range(100)))
    before = images.before(tmp_path / "00099.jpg")
    assert len(before) == LONGEST_CLIP - 1
    assert before[-1].name == "00098.jpg"
