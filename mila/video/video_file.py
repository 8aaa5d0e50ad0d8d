"""Frames of anything that FFmpeg opens, through PyAV: video files, addresses, cameras.

Rotation and mirroring by the display matrix, and pixels that are not square, are evened out. Time stamps are kept, so a
variable frame rate stays one. A packet that cannot be decoded, and a frame that the decoder marks as damaged, are left
out and counted; the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from mila.data.colours import Pixels
from mila.errors import UserError
from mila.video.frames import Frame, Frames

_RATE = Fraction(25)
"""Frames a second where a source has none that can be true."""

_RATES = (Fraction(1, 10), Fraction(1000))
_PIXEL_SHAPES = (Fraction(1, 4), Fraction(4))
_PATIENCE = (20.0, 20.0)
"""Seconds to open a source, and to wait for what it gives next."""

_HELP = "give a video file, a folder of images, a camera (`camera`), or an address that FFmpeg opens"


class VideoFile(Frames):
    """Frames of a file, an address or a device.

    Args:
        place: path, address or device, as FFmpeg takes it.
        kind: FFmpeg's name of the input format; None to recognise it.
        options: FFmpeg's options of that format.
        live: whether it has no end, as a camera.

    Raises:
        UserError: it cannot be opened, has no video, or is coded in a way that this FFmpeg cannot decode.
    """

    def __init__(
        self, place: str, kind: str | None = None, options: Mapping[str, str] | None = None, *, live: bool = False
    ) -> None:
        self._container = _open(place, kind, dict(options or {}))
        try:
            self._stream = _video_stream(self._container, place)
        except UserError:
            self._container.close()
            raise
        rate = _rate(self._stream)
        tick = self._stream.time_base or 1 / rate
        self._duration = None if live else _duration(self._container, self._stream)
        count = None if live else self._stream.frames or (round(self._duration * rate) if self._duration else None)
        super().__init__(place, count or None, 1 / rate, tick)
        self._iterating = False
        self._matrices: dict[int, tuple[int, int, int, int]] = {}

    def __iter__(self) -> Iterator[Frame]:
        """See `Frames`."""
        self._iterating, end = True, Fraction(0)
        try:
            for decoded in self._decoded():
                try:
                    image = self._image(decoded)
                except av.error.FFmpegError as error:  # its header asks for what no conversion does
                    self.lose(f"after frame {self.read}, {error.strerror or error}")
                    continue
                frame = self.make(image, _stamp(decoded))
                end = frame.time + max(_length(decoded), self.step)
                yield frame
            self.check_any()
            if not self.ends_early and self._duration and end + max(2 * self.step, Fraction(1, 10)) < self._duration:
                self.ends_early = f"ends early, after {float(end):.2f} of {float(self._duration):.2f} seconds"
        finally:
            self._iterating = False
            self.close()

    def close(self) -> None:
        """See `Frames`; what another thread reads just now is closed there, at its end."""
        if not self._iterating:
            self._container.close()

    def _decoded(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self.ends_early = f"cannot be read further after {self.read} frames ({error.strerror or error})"
                return
            except IndexError:  # PyAV met a stream that begins in the middle of the file, which is not ours
                packets = self._container.demux(self._stream)
                continue
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                self.lose(f"after frame {self.read}, {error.strerror or error}")
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.lose(f"after frame {self.read}, the decoder found damage in it")
                else:
                    yield frame

    def _image(self, frame: VideoFrame) -> Image.Image:
        """RGB, with square pixels, upright."""
        pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
        shape = self._stream.sample_aspect_ratio
        if shape and shape != 1 and _PIXEL_SHAPES[0] <= shape <= _PIXEL_SHAPES[1]:
            size = (max(round(pixels.shape[1] * shape), 1), pixels.shape[0])
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        # A frame whose side data is looked at stays in memory until Python's garbage is collected: seldom done.
        if frame.rotation not in self._matrices:
            self._matrices[frame.rotation] = _display_matrix(frame)
        return Image.fromarray(np.ascontiguousarray(upright(pixels, self._matrices[frame.rotation])))


def _open(place: str, kind: str | None, options: dict[str, str]) -> InputContainer:
    try:
        return av.open(place, "r", format=kind, options=options, timeout=_PATIENCE, metadata_errors="replace")
    except av.error.FileNotFoundError as error:
        raise UserError(f"{place} does not exist; {_HELP}.") from error
    except av.error.InvalidDataError as error:
        raise UserError(
            f"{place} is no video that can be read: it is something else, or was cut off before its index was written; "
            f"{_HELP}."
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{place} cannot be opened ({why}); {_HELP}.") from error


def _video_stream(container: InputContainer, place: str) -> VideoStream:
    """The first video that is not a cover picture."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise UserError(f"{place} has no video (only {', '.join(kinds) or 'nothing'}); {_HELP}.")
    stream = streams[0]
    if stream.codec_context is None:
        raise UserError(
            f"{place} is coded in a way that this FFmpeg has no decoder for; convert it to H.264, as with "
            "`ffmpeg -i IN -c:v libx264 OUT.mp4` of an FFmpeg that has one."
        )
    stream.thread_type = "SLICE"  # threads by frames lose frames beside a broken one, and the count of what is broken
    return stream


def _rate(stream: VideoStream) -> Fraction:
    rates = (stream.average_rate, stream.guessed_rate)
    return next((rate for rate in rates if rate and _RATES[0] <= rate <= _RATES[1]), _RATE)


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds of the video, as the file says; None where it does not."""
    if "DURATION" in stream.metadata:  # of Matroska, HH:MM:SS.FRACTION
        parts = stream.metadata["DURATION"].split(":")
        try:
            return sum((Fraction(part) * 60**place for place, part in enumerate(reversed(parts))), Fraction(0))
        except ValueError:
            return None
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    alone = len(container.streams) == 1 and container.duration
    return Fraction(container.duration or 0, 1_000_000) if alone else None


def _stamp(frame: VideoFrame) -> Fraction | None:
    return frame.pts * frame.time_base if frame.pts is not None and frame.time_base else None


def _length(frame: VideoFrame) -> Fraction:
    return frame.duration * frame.time_base if frame.duration and frame.time_base else Fraction(0)


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Signs of (a, b, c, d): a pixel at (x, y) is shown at (a x + c y, b x + d y)."""
    side_data = cast(Mapping[str, Any], frame.side_data)  # PyAV types one of its keys alone
    if (data := side_data.get("DISPLAYMATRIX")) is None:
        return 1, 0, 0, 1
    values = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]] / 65536
    a, b, c, d = (int(sign) for sign in np.sign(values) * (np.abs(values) > 0.5))
    return a, b, c, d


def upright(pixels: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """`[H, W, 3]` as a display matrix of right angles shows it; others leave it as it is.

    Args:
        pixels: as they are coded.
        matrix: (a, b, c, d) of -1, 0 or 1: a pixel at (x, y) is shown at (a x + c y, b x + d y).
    """
    a, b, c, d = matrix
    if abs(a * d - b * c) != 1:
        return pixels
    if b and c:  # x becomes y
        pixels = pixels.transpose(1, 0, 2)
    across, down = (c, b) if b and c else (a, d)
    return pixels[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1]
