"""Videos that are written: playable, every frame at its time, colours as they were."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.codec import UnknownCodecError

from mila.data.colours import Pixels
from mila.errors import UserError
from mila.video.source import open_frames
from mila.video.video_writer import SUFFIXES, VideoWriter, find_encoder, keeps_times

STEP = Fraction(1, 25)
TIMES = [Fraction(t, 1000) for t in (0, 40, 41, 500, 533, 2000)]


def _colours(count: int) -> list[Pixels]:
    """Plain frames of different colours, which every codec keeps."""
    return [np.full((48, 64, 3), (40 * t, 200 - 30 * t, 90), np.uint8) for t in range(count)]


def _write(path: Path, times: list[Fraction], tick: Fraction = Fraction(1, 1000)) -> Path:
    writer = VideoWriter(path, (48, 64), STEP, tick)
    for pixels, time in zip(_colours(len(times)), times, strict=True):
        writer.write(pixels, time)
    writer.close()
    return path


@pytest.mark.parametrize("ending", [ending for ending in SUFFIXES if keeps_times(ending)])
def test_every_frame_keeps_its_time_and_colour(tmp_path: Path, ending: str) -> None:
    with open_frames(_write(tmp_path / f"a{ending}", TIMES)) as frames:
        found = list(frames)
    assert [frame.time for frame in found] == TIMES
    assert frames.problems == []
    for frame, expected in zip(found, _colours(6), strict=True):
        assert np.abs(frame.pixels.astype(int) - expected).max() <= 8


@pytest.mark.parametrize("tick", [Fraction(1, 15360), Fraction(1, 90000), Fraction(1001, 30000)])
def test_times_are_exact_by_the_sources_own_clock(tmp_path: Path, tick: Fraction) -> None:
    times = [n * tick for n in (0, 1, 5, 600, 601, 1300)]
    with open_frames(_write(tmp_path / "a.mp4", times, tick)) as frames:
        assert [frame.time for frame in frames] == times


def test_where_the_container_counts_coarser_frames_stay_apart(tmp_path: Path) -> None:
    times = [n * Fraction(1, 90000) for n in (0, 1, 2, 9000)]
    with open_frames(_write(tmp_path / "a.mkv", times, Fraction(1, 90000))) as frames:
        assert [frame.time for frame in frames] == [Fraction(t, 1000) for t in (0, 1, 2, 100)]


def test_avi_has_one_rate_and_every_frame(tmp_path: Path) -> None:
    with open_frames(_write(tmp_path / "a.avi", TIMES)) as frames:
        found = list(frames)
    assert len(found) == 6
    assert all(frame.time.denominator in (1, 5, 25) for frame in found)


def test_a_video_without_any_frame_can_be_closed(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "a.mp4", (48, 64), STEP, STEP).close()


def _without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    real = av.codec.Codec

    def codec(name: str, mode: str) -> object:
        if name in missing:
            raise UnknownCodecError(name)
        return real(name, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(av.codec, "Codec", codec)


def test_h264_comes_first_and_another_takes_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_encoder(".mp4") == "libx264"
    _without(monkeypatch, "libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
    assert find_encoder(".mp4") == "mpeg4"
    with open_frames(_write(tmp_path / "a.mp4", TIMES, Fraction(1, 90000))) as frames:
        assert [round(frame.time, 3) for frame in frames] == TIMES


def test_no_encoder_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "libvpx-vp9", "libvpx", "libsvtav1")
    with pytest.raises(UserError, match=r"this PyAV has no encoder for \.webm \(libvpx-vp9, .*; write a folder of PNG"):
        find_encoder(".webm")


def test_a_size_that_no_encoder_takes_is_one_sentence(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", (2, 20_000), STEP, STEP)
    with pytest.raises(UserError, match=r"the encoder libx264 does not take a video of 20000 x 2 pixels"):
        writer.write(np.zeros((2, 20_000, 3), np.uint8), Fraction(0))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_an_error_of_the_machine() -> None:
    writer = VideoWriter(Path("/dev/full"), (48, 64), STEP, STEP, ".mkv")

    def write_all() -> None:
        for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), np.uint8)):
            writer.write(pixels, number * STEP)
        writer.close()

    with pytest.raises(OSError, match="No space left"):
        write_all()
