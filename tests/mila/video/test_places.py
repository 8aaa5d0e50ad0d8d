"""Outputs come to be as a whole, and replace only what they may."""

from __future__ import annotations

from pathlib import Path

import pytest

from mila.errors import UserError
from mila.tasks import FLOW, NYUV2
from mila.video.outputs import Wanted
from mila.video.places import DESCRIPTION, Place

OURS = '{"made_by": "mila predict"}'


def test_a_place_is_filled_at_the_end_and_nothing_else_is_left(tmp_path: Path) -> None:
    for path in (tmp_path / "new" / "a.mp4", tmp_path / "b"):
        place = Place(path)
        assert not path.exists()
        if path.suffix:
            place.unfinished.write_text("new")
        else:
            place.unfinished.mkdir()
            (place.unfinished / "0.png").write_text("new")
            path.mkdir()
            (path / "old.png").write_text("old")
        place.finish()
        place.drop()
    assert (tmp_path / "new" / "a.mp4").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "new"]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["0.png"]


def test_a_place_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    for name in ("a.mp4", "b", "c"):
        place = Place(tmp_path / name)
        if name == "a.mp4":
            place.unfinished.write_text("half")
        elif name == "b":
            place.unfinished.mkdir()
        place.drop()
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "large disk" / "old.png").write_text("old")
    (tmp_path / "out").symlink_to(tmp_path / "large disk")
    place = Place(tmp_path / "out")
    place.unfinished.mkdir()
    (place.unfinished / "new.png").write_text("new")
    place.finish()
    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in (tmp_path / "large disk").iterdir()] == ["new.png"]


def _refused(wanted: Wanted, source: Path = Path("camera")) -> str:
    with pytest.raises(UserError) as refused:
        wanted.check(NYUV2, source)
    return str(refused.value)


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert _refused(Wanted(tmp_path / "file" / "a.mp4")).endswith("(Not a directory); give another place.")


def test_what_is_there_is_replaced_by_force_alone(tmp_path: Path) -> None:
    video, folder, strange = tmp_path / "a.mp4", tmp_path / "ours", tmp_path / "strange"
    video.write_text("a video")
    folder.mkdir()
    Wanted(folder).check(NYUV2, Path("camera"))  # an empty one may be filled
    (folder / DESCRIPTION).write_text(OURS)
    strange.mkdir()
    (strange / "thesis.tex").write_text("of years")
    for path in (video, folder):
        assert _refused(Wanted(path)) == f"{path} exists; choose another name, or give --force to replace it."
        Wanted(path, force=True).check(NYUV2, Path("camera"))
    for force in (False, True):
        assert "holds files that `predict` did not write" in _refused(Wanted(strange, force=force))
    (strange / DESCRIPTION).write_text('["not ours"]')
    assert "holds files that `predict` did not write" in _refused(Wanted(strange, force=True))


def test_every_file_that_would_be_written_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a-depth.mp4").write_text("a video")
    Wanted(tmp_path / "a.mp4").check(NYUV2, Path("camera"))
    assert "a-depth.mp4 exists" in _refused(Wanted(tmp_path / "a.mp4", layout="apart"))
    (tmp_path / "a-raw").write_text("a file")
    assert "a-raw is a file" in _refused(Wanted(tmp_path / "a.mp4", raw="png"))
    (tmp_path / "b.mp4").mkdir()
    assert "b.mp4 is a folder" in _refused(Wanted(tmp_path / "b.mp4", force=True))


def test_the_input_is_never_replaced(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_text("a video")
    assert _refused(Wanted(video, force=True), video).startswith(f"{video} would replace the input {video}")
    frames = tmp_path / "all" / "frames"
    frames.mkdir(parents=True)
    (tmp_path / "all" / DESCRIPTION).write_text(OURS)
    assert "would replace the input" in _refused(Wanted(tmp_path / "all", force=True), frames)


def test_what_cannot_be_written_is_said_before(tmp_path: Path) -> None:
    assert _refused(Wanted(tmp_path / "a.mpg")).endswith(
        "videos end in .mp4, .m4v, .mov, .mkv, .webm, .avi; anything else is a folder's name."
    )
    assert _refused(Wanted(tmp_path / "a.png")).startswith("--out ")
    assert _refused(Wanted(tmp_path / "a", layout="none")).startswith(
        "--layout none leaves nothing to write; add --raw"
    )
    Wanted(tmp_path / "a", layout="none", raw="npz").check(NYUV2, Path("camera"))
    with pytest.raises(UserError, match="a model of flow has no pictures; predict shows segmentation, depth, normals"):
        Wanted(tmp_path / "a").check(FLOW, Path("camera"))
