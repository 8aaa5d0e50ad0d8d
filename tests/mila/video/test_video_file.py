"""Frames of video files: exact pixels and times, tags, and every fault that a file may have."""

from __future__ import annotations

import gc
import wave
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.video.stream import VideoStream

from mila.errors import UserError
from mila.video import video_file
from mila.video.ahead import Ahead
from mila.video.source import open_frames
from mila.video.video_file import upright
from tests.support.fake_videos import cut, fake_frames, tag_matrix, write_video

TURNS = {  # by what is tagged: how pixels are to be shown, with NumPy's words
    (1, 0, 0, 1): lambda p: p,
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (-1, 0, 0, -1): lambda p: np.rot90(p, 2),
    (0, -1, 1, 0): lambda p: np.rot90(p, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda p: p.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda p: np.rot90(p, 2).transpose(1, 0, 2),
}


def test_every_frame_and_its_time_is_exact_at_a_variable_rate_and_an_odd_size(tmp_path: Path) -> None:
    given = fake_frames(6, 93, 127)
    times = [Fraction(t, 1000) for t in (40, 80, 81, 500, 533, 2000)]
    with open_frames(write_video(tmp_path / "a.mkv", given, times)) as frames:
        found = list(frames)
    assert [frame.time for frame in found] == [time - times[0] for time in times]
    assert [frame.name for frame in found] == [f"{number:06d}" for number in range(6)]
    for frame, pixels in zip(found, given, strict=True):
        assert np.array_equal(frame.pixels, pixels)
    assert frames.is_variable
    assert (frames.problems, frames.notes, frames.read) == ([], [], 6)


@pytest.mark.parametrize("matrix", TURNS, ids=str)
def test_turned_and_mirrored_videos_are_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    given = fake_frames(2)
    path = write_video(tmp_path / "a.mp4", given)
    tag_matrix(path, matrix)
    with open_frames(path) as frames:
        found = list(frames)
    assert np.array_equal(found[1].pixels, TURNS[matrix](given[1]))


def test_a_matrix_that_is_no_right_angle_changes_nothing() -> None:
    pixels = fake_frames(1)[0]
    assert upright(pixels, (1, 1, -1, 1)) is pixels
    assert upright(pixels, (0, 0, 0, 0)) is pixels


def test_pixels_become_square(tmp_path: Path) -> None:
    given = [np.repeat(np.repeat(pixels, 4, 0), 4, 1) for pixels in fake_frames(2)]
    path = write_video(tmp_path / "a.mp4", given, encoder="mpeg4", pixels="yuv420p", shape=Fraction(3, 2))
    with open_frames(path) as frames:
        found = list(frames)
    assert [frame.pixels.shape for frame in found] == [(120, 240, 3)] * 2
    middles = found[0].pixels[2::4, 3::6].astype(int)
    assert np.abs(middles - fake_frames(1)[0]).mean() < 6  # of a lossy codec


def test_broken_packets_are_left_out_and_counted(tmp_path: Path) -> None:
    given = fake_frames(6)
    path = write_video(tmp_path / "a.mp4", given, encoder="png", pixels="rgb24", broken=(2, 3))
    with open_frames(path) as frames:
        found = list(frames)
    assert [frame.time for frame in found] == [Fraction(t, 25) for t in (0, 1, 4, 5)]
    for frame, number in zip(found, (0, 1, 4, 5), strict=True):
        assert np.array_equal(frame.pixels, given[number])
    (problem,) = frames.problems
    assert problem.startswith("2 frames are broken and left out: after frame 2, ")


def test_where_all_is_broken_it_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", fake_frames(3), encoder="png", pixels="rgb24", broken=(0, 1, 2))
    with pytest.raises(UserError, match=r"has no frame that can be decoded \(3 are broken: after frame 0, "):
        list(open_frames(path))


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".avi"])
def test_a_file_that_was_cut_off_gives_what_there_is(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"a{ending}", fake_frames(40, 60, 80))
    if ending == ".mp4":  # its index stands at the end, unless it is moved
        _move_index(path)
    cut(path, 0.6)
    with open_frames(path) as frames:
        found = list(frames)
    assert 10 < len(found) < 40
    said = {".mkv": "ends early, after ", ".mp4": "ends early, after ", ".avi": "1 frame is broken and left out: "}
    assert any(said[ending] in problem for problem in frames.problems)


def _move_index(path: Path) -> None:
    """Copy an MP4 so that its index comes first."""
    other = path.with_name("b.mp4")
    with av.open(str(path)) as source, av.open(str(other), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    other.replace(path)


def test_an_index_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "a.mp4", fake_frames(10)), 0.6)
    with pytest.raises(
        UserError, match="is no video that can be read: it is something else, or was cut off before its"
    ):
        open_frames(path)


def test_a_header_alone_has_no_frames(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "a.mkv", fake_frames(1, 200, 200)), 0.05)
    with pytest.raises(UserError, match="has no frame that can be decoded|is no video that can be read"):
        list(open_frames(path))


def test_what_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nothing\.mp4 does not exist; give a video file, a folder of images, a camera"
    ):
        open_frames(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(UserError, match=r"text\.mp4 is no video that can be read"):
        open_frames(tmp_path / "text.mp4")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 8000, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(UserError, match=r"sound\.wav has no video \(only audio\)"):
        open_frames(tmp_path / "sound.wav")


def test_a_missing_codec_is_one_sentence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", fake_frames(3))
    content = path.read_bytes()
    assert content.count(b"V_FFV1") == 1
    path.write_bytes(content.replace(b"V_FFV1", b"V_NONE"))
    with pytest.raises(UserError, match="is coded in a way that this FFmpeg has no decoder for; convert it to H.264"):
        list(open_frames(path))


def test_two_recordings_behind_each_other_go_on_in_the_first_ones_size(tmp_path: Path) -> None:
    """As a recorder leaves them that was switched off and on: another size, and a clock that starts anew."""
    parts = [
        write_video(tmp_path / f"{height}.ts", fake_frames(8, height, width), encoder="mpeg2video", pixels="yuv420p")
        for height, width in ((48, 64), (32, 96))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_frames(path) as frames:
        found = list(frames)
    assert len(found) > 12
    assert {frame.pixels.shape for frame in found} == {(48, 64, 3)}
    times = [frame.time for frame in found]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert times[-1] < 1
    notes = " ".join(frames.notes)
    assert "another size than the first and are resized to it (64 x 48 pixels)." in notes
    assert f"The clock of {path} goes back once; there, a frame follows the one before it." in notes


def test_a_camera_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(UserError, match=r"^camera 97 cannot be used: .* does not exist; connect it, or name another"):
        open_frames("camera:97")
    with pytest.raises(UserError, match=r"^/dev/video98 cannot be used: "):
        open_frames("/dev/video98")
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(UserError, match="^on Windows a camera has no number"):
        open_frames("camera")
    monkeypatch.setattr("sys.platform", "plan9")
    with pytest.raises(UserError, match="^on plan9 no camera is known by its number"):
        open_frames("camera")


@pytest.mark.skipif("lavfi" not in av.formats_available, reason="this PyAV has no made-up camera")
def test_a_source_without_an_end_goes_on_until_nobody_reads() -> None:
    """FFmpeg's test picture in place of a camera."""
    with video_file.VideoFile("testsrc=size=64x48:rate=10", "lavfi", live=True) as camera, Ahead(camera) as frames:
        found = list(islice(frames, 25))
    assert camera.count is None
    assert [frame.time for frame in found] == [Fraction(n, 10) for n in range(25)]
    assert found[0].pixels.shape == (48, 64, 3)
    assert camera.problems == []


def test_a_build_without_cameras_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(av, "formats_available", {"mp4"})
    with pytest.raises(UserError, match=r"^camera 0 cannot be opened, as this PyAV was built without avfoundation"):
        open_frames("camera")


def test_an_address_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"^tcp://127\.0\.0\.1:1 cannot be opened \(.*\); give a video file"):
        open_frames("tcp://127.0.0.1:1")


def test_how_many_frames_there_are_is_known_before(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv"):
        with open_frames(write_video(tmp_path / name, fake_frames(50))) as frames:
            assert frames.count == 50, name
            assert frames.step == Fraction(1, 25)


def test_the_file_is_let_go_of_where_nobody_reads_on(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", fake_frames(5))
    frames = open_frames(path)
    assert isinstance(frames, video_file.VideoFile)
    iterator = iter(frames)
    next(iterator)
    frames.close()  # while a thread may be reading: nothing happens
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    with pytest.raises((AssertionError, ValueError)):
        list(frames)
    assert frames.ends_early == ""


def test_frames_do_not_stay_in_memory_until_garbage_is_collected(tmp_path: Path) -> None:
    """What a frame's side data is asked for once, by PyAV, ties the frame into a circle."""
    path = write_video(tmp_path / "a.mp4", fake_frames(40))
    tag_matrix(path, (0, 1, -1, 0))
    gc.collect()
    gc.disable()
    try:
        with open_frames(path) as frames:
            assert sum(1 for _ in frames) == 40
        assert gc.collect() < 20
    finally:
        gc.enable()


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi", ".ts"])
def test_no_damage_is_more_than_a_sentence(tmp_path: Path, ending: str) -> None:
    """Bytes that are changed, cut out or cut off, anywhere."""
    encoder = {".avi": "mpeg4", ".ts": "mpeg2video"}.get(ending, "libx264")
    content = write_video(
        tmp_path / f"a{ending}", fake_frames(20, 64, 96), encoder=encoder, pixels="yuv420p"
    ).read_bytes()
    random, path = np.random.default_rng(0), tmp_path / f"b{ending}"
    outcomes = set()
    for number in range(150):
        damaged, place = bytearray(content), random.integers(len(content))
        if number % 3 == 0:
            damaged[place:] = b""
        elif number % 3 == 1:
            damaged[place : place + random.integers(1, 300)] = b""
        else:
            for place in random.integers(0, len(content), 12):
                damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            with open_frames(path) as frames:
                found = list(frames)
        except UserError:
            outcomes.add("refused")
            continue
        assert len({frame.pixels.shape for frame in found}) == 1
        assert all(later.time > earlier.time for earlier, later in pairwise(found))
        outcomes.add("problems" if frames.problems else "whole")
    assert outcomes >= {"refused", "problems"}


class _WithLateStream:
    """A container in which another stream begins after three packets: PyAV fails there, once, with an IndexError."""

    def __init__(self, real: InputContainer) -> None:
        self._real, self._is_first = real, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def demux(self, stream: VideoStream) -> Iterator[Any]:
        for number, packet in enumerate(self._real.demux(stream)):
            yield packet
            if self._is_first and number == 2:
                self._is_first = False
                raise IndexError("list index out of range")


def test_a_stream_that_begins_later_does_not_end_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mkv", fake_frames(8))
    real = av.open
    monkeypatch.setattr(av, "open", lambda *words, **more: _WithLateStream(real(*words, **more)))
    with open_frames(path) as frames:
        assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [5 * t for t in range(8)]
    assert frames.problems == []
