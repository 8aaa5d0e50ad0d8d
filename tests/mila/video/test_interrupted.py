"""`python -m mila predict` that is cut off: what is there is whole, and nothing half-written stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mila import __main__ as command
from mila.video import predict
from mila.video.frames import Frame
from mila.video.predict import Prediction
from mila.video.source import open_frames
from mila.video.video_writer import VideoWriter
from tests.support.fake_videos import fake_file, fake_frames, write_video


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_file(tmp_path_factory.mktemp("model") / "fake.mila")


def _interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ctrl-C was pressed when so many frames were predicted."""
    real = predict.predict_video

    def cut_off(model: Any, frames: Iterable[Frame], *rest: Any) -> Iterator[Prediction]:
        yield from islice(real(model, frames, *rest), count)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "predict_video", cut_off)


def _predict(*words: object) -> int:
    return command.main(["predict", *map(str, words), "--device", "cpu", "--no-optimised"])


@pytest.mark.parametrize("name", ["out.mp4", "out"])
def test_what_was_predicted_is_kept_and_playable(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    video = write_video(tmp_path / "in.mkv", fake_frames(60))
    _interrupt_after(8, monkeypatch)
    assert _predict(model, video, "--out", tmp_path / name) == 130
    assert capsys.readouterr().out.endswith("interrupted; what was predicted until then is kept.\n")
    with open_frames(tmp_path / name) as frames:
        assert len(list(frames)) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", name]


def test_before_the_first_frame_nothing_is_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "in.mkv", fake_frames(3))
    _interrupt_after(0, monkeypatch)
    assert _predict(model, video, "--out", tmp_path / "out.mp4") == 130
    assert capsys.readouterr().out.endswith("no frame was predicted.\ninterrupted; nothing is written.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_a_disk_that_becomes_full_leaves_nothing_and_what_was_there_stays(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "in.mkv", fake_frames(9))
    out = tmp_path / "out.mp4"
    out.write_text("an older video")
    real, written = VideoWriter.write, list[object]()

    def write(self: VideoWriter, *frame: Any) -> None:
        written.append(frame)
        if len(written) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, *frame)

    monkeypatch.setattr(VideoWriter, "write", write)
    assert _predict(model, video, "--out", out, "--force") == 1
    assert capsys.readouterr().err.startswith("error: No space left on device; ")
    assert out.read_text() == "an older video"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_ctrl_c_from_the_keyboard(model: Path, tmp_path: Path) -> None:
    """A process by itself, on more frames than it can be through with."""
    (tmp_path / "in").mkdir()
    Image.fromarray(fake_frames(1, 240, 320)[0]).save(tmp_path / "first.png")
    for number in range(20_000):
        (tmp_path / "in" / f"{number}.png").hardlink_to(tmp_path / "first.png")
    words = [sys.executable, "-m", "mila", "predict", str(model), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen([*words, "--device", "cpu"], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob(".out.*/*.png"))) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("interrupted; what was predicted until then is kept.\n")
    with open_frames(tmp_path / "out") as frames:
        found = list(frames)
    assert 3 <= len(found) < 20_000
    assert frames.problems == []
    assert not list(tmp_path.glob(".out*"))
