"""`python -m mila predict` from an exported model and a video to pictures, videos and raw values."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mila import __main__ as command
from mila.tasks import CITYSCAPES19
from mila.video import predict
from mila.video.composer import KEYFRAME
from mila.video.source import open_frames
from tests.support.fake_videos import HEIGHT, WIDTH, cut, fake_file, fake_frames, write_video

TIMES = [Fraction(t, 1000) for t in (0, 40, 81, 500, 533, 900, 2000)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_file(tmp_path_factory.mktemp("model") / "fake.mila")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Seven frames at a variable rate, in a folder whose name has a space."""
    (tmp_path / "my videos").mkdir()
    return write_video(tmp_path / "my videos" / "drive [1].mkv", fake_frames(7, 93, 127), TIMES)


def _predict(*words: object) -> int:
    return command.main(["predict", *map(str, words), "--device", "cpu", "--no-optimised"])


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "frames.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_video_becomes_a_video(model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "out.mp4"
    assert _predict(model, video, "--out", out) == 0
    with open_frames(out) as frames:
        found = list(frames)
    assert [frame.time for frame in found] == TIMES
    badges = [(np.abs(frame.pixels[:36].astype(int) - KEYFRAME).max(2) < 12).sum() for frame in found]
    assert [bool(pixels > 500) for pixels in badges] == [True, False, False, True, False, False, True]
    assert list(out.parent.iterdir()) == [out]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"fake MILA: {HEIGHT} x {WIDTH} pixels (height x width), keyframe interval 3; on cpu, as trained."
    )
    assert lines[1].startswith(f"{video}: about ")
    assert lines[-2].startswith("7 frames in ")
    assert " frames a second; the model alone " in lines[-2]
    assert lines[-1] == f"written: {out}"


def test_a_folder_of_pictures_and_raw_values(model: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _predict(model, video, "--out", out, "--raw", "npz", "--max-frames", 4) == 0
    names = [f"{number:06d}" for number in range(4)]
    assert sorted(p.name for p in out.iterdir()) == [
        *(f"{n}.png" for n in names),
        "description.json",
        "frames.csv",
        "raw",
    ]
    assert [(row["frame"], row["offset"]) for row in _rows(out)] == list(zip(names, "0120", strict=True))
    assert [Fraction(row["seconds"]) for row in _rows(out)] == TIMES[:4]
    about = json.loads((out / "description.json").read_text())
    assert (about["made_by"], about["height"], about["width"]) == ("mila predict", 93, 127)
    assert about["raw"]["depth"]["files"] == "raw/FRAME.npz, array 'depth'"
    with open_frames(video) as frames:
        expected = list(predict.predict_video(command_model(model), frames, HEIGHT, WIDTH))
    for name, prediction in zip(names, expected, strict=False):
        with np.load(out / "raw" / f"{name}.npz") as found:
            for task, values in prediction.tasks.items():
                assert np.array_equal(found[task], values)


def command_model(path: Path):  # type: ignore[no-untyped-def]
    """The model as the command opens it."""
    from mila.streaming.saved import open_model

    return open_model(path)[0]


def test_tasks_apart(model: Path, video: Path, tmp_path: Path) -> None:
    assert _predict(model, video, "--out", tmp_path / "a.mkv", "--layout", "apart", "--raw", "png") == 0
    tasks = ["depth", "normals", "segmentation"]
    written = sorted(path.name for path in tmp_path.glob("a-*"))
    assert written == ["a-depth.mkv", "a-normals.mkv", "a-raw", "a-segmentation.mkv"]
    assert sorted(p.name for p in (tmp_path / "a-raw").iterdir() if p.is_dir()) == tasks
    assert _predict(model, video, "--out", tmp_path / "b", "--layout", "apart") == 0
    assert sorted(p.name for p in (tmp_path / "b").iterdir() if p.is_dir()) == tasks
    assert len(list((tmp_path / "b" / "depth").glob("*.png"))) == 7


def test_raw_values_alone_of_images_have_the_images_names(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(fake_frames(3)):
        Image.fromarray(pixels).save(tmp_path / "in" / f"left_{number}.jpg")
    assert (
        _predict(model, tmp_path / "in", "--out", tmp_path / "out", "--layout", "none", "--raw", "png", "--fps", 10)
        == 0
    )
    files = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png"))
    assert files == [f"raw/{task}/left_{n}.png" for task in ("depth", "normals", "segmentation") for n in range(3)]
    assert [row["seconds"] for row in _rows(tmp_path / "out")] == ["0.000000", "0.100000", "0.200000"]


def test_broken_and_missing_frames_are_said_and_the_exit_code_is_1(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write_video(tmp_path / "broken.mp4", fake_frames(7), encoder="png", pixels="rgb24", broken=(3,))
    assert _predict(model, broken, "--out", tmp_path / "a.mp4") == 1
    assert "Warning: 1 frame is broken and left out: after frame 3, " in capsys.readouterr().out
    with open_frames(tmp_path / "a.mp4") as frames:
        assert len(list(frames)) == 6
    short = cut(write_video(tmp_path / "short.mkv", fake_frames(40, 60, 80)), 0.6)
    assert _predict(model, short, "--out", tmp_path / "b") == 1
    assert f"Warning: {short} ends early, after " in capsys.readouterr().out
    assert len(_rows(tmp_path / "b")) > 10


def test_what_is_evened_out_is_noted(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tall = write_video(tmp_path / "tall.mkv", fake_frames(3, 80, 20))
    assert _predict(model, tall, "--out", tmp_path / "a", "--raw", "png") == 0
    said = capsys.readouterr().out
    assert "Note: Frames of 20 x 80 pixels are resized to the 32 x 24 that the model was trained on, which " in said
    assert _predict(model, video, "--out", tmp_path / "a.avi") == 0
    said = capsys.readouterr().out
    assert "Note: The frame rate varies, but .avi has one for all; write .mp4 or .mkv to keep it." in said
    assert "proportions" not in said  # 127 x 93 is nearly 4 by 3


def test_a_suite_without_depth(video: Path, tmp_path: Path) -> None:
    model = fake_file(tmp_path / "m.mila", CITYSCAPES19)
    assert _predict(model, video, "--out", tmp_path / "a.webm", "--max-frames", 2) == 0
    assert (tmp_path / "a.webm").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-frames", 0), "--max-frames takes a number from 1 up."),
        (("--fps", 0), "--fps takes a number above 0, up to 1000."),
        (("--depth-range", 5, 1), "--depth-range takes two numbers from 0 up, the nearer first."),
        (("--layout", "none"), "--layout none leaves nothing to write; add --raw png or --raw npz."),
    ],
)
def test_bad_options_are_one_sentence(
    model: Path,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[object, ...],
    said: str,
) -> None:
    assert _predict(model, video, "--out", tmp_path / "a", *words) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not (tmp_path / "a").exists()


def test_a_video_that_cannot_be_read_leaves_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = write_video(tmp_path / "e.mp4", fake_frames(2), encoder="png", pixels="rgb24", broken=(0, 1))
    assert _predict(model, empty, "--out", tmp_path / "a.mp4") == 2
    assert "e.mp4 has no frame that can be decoded (2 are broken: " in capsys.readouterr().err
    assert _predict(model, tmp_path / "no.mp4", "--out", tmp_path / "a.mp4") == 2
    assert "no.mp4 does not exist; " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["e.mp4"]


def test_force_replaces_and_nothing_else_does(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (tmp_path / "a.mp4", tmp_path / "a"):
        assert _predict(model, video, "--out", out) == 0
        before = out.stat().st_ino
        assert _predict(model, video, "--out", out) == 2
        assert f"error: {out} exists; choose another name, or give --force" in capsys.readouterr().err
        assert out.stat().st_ino == before
        assert _predict(model, video, "--out", out, "--force", "--max-frames", 2) == 0
        assert out.stat().st_ino != before
    assert len(_rows(tmp_path / "a")) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
