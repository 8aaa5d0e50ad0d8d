"""Writing a video through PyAV: every frame at its time, so that a variable frame rate stays one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.codec.codec import UnknownCodecError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mila.data.colours import Pixels
from mila.errors import UserError

_H264 = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
_FORMATS = {
    ".mp4": ("mp4", (*_H264, "mpeg4")),
    ".m4v": ("mp4", (*_H264, "mpeg4")),
    ".mov": ("mov", (*_H264, "mpeg4")),
    ".mkv": ("matroska", (*_H264, "mpeg4", "libvpx-vp9")),
    ".webm": ("webm", ("libvpx-vp9", "libvpx", "libsvtav1")),
    ".avi": ("avi", (*_H264, "mpeg4")),
}
"""FFmpeg's name of the container and the encoders to try, by the end of the file's name."""

SUFFIXES = tuple(_FORMATS)
"""Ends of the names of videos that can be written."""

_OPTIONS = {
    "libx264": {"crf": "18", "preset": "veryfast", "bf": "0"},  # no frame waits for a later one: times stay exact
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
    "mpeg4": {"qscale": "3", "bf": "0"},
}
_CONSTANT_RATE = (".avi",)
_MICROSECOND = Fraction(1, 1_000_000)
_FINEST = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000), "mpeg4": Fraction(1, 60_000)}
"""Seconds that times are multiples of, where a container or an encoder counts no finer."""

_BT709, _LIMITED = 1, 1
"""FFmpeg's numbers of the colour space of high definition, and of its range of brightness."""


class VideoWriter:
    """Writes one video; `close` makes it playable, also where it was cut off.

    Args:
        path: where; what is there is overwritten.
        size: height and width of its frames, even.
        step: seconds from a frame to the next, on average.
        tick: what times are multiples of, where the source says so.
        kind: one of `SUFFIXES`; by default the path's.

    Raises:
        UserError: no encoder for such a file is there.
        OSError: the file cannot be written.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], step: Fraction, tick: Fraction, kind: str | None = None
    ) -> None:
        kind = (kind or path.suffix).lower()
        container, _ = _FORMATS[kind]
        encoder = find_encoder(kind)
        self._step = step
        finest = max(_FINEST.get(container, _MICROSECOND), _FINEST.get(encoder, _MICROSECOND))
        self._tick = step if kind in _CONSTANT_RATE else max(tick, finest)
        self._last = -1
        options = {"movflags": "+faststart"} if container in ("mp4", "mov") else {}
        self._container = av.open(str(path), "w", format=container, options=options)
        stream = self._container.add_stream(encoder, rate=1 / step, options=_OPTIONS.get(encoder, {}))
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        coding = self._stream.codec_context
        coding.time_base = self._stream.time_base = self._tick
        coding.colorspace = coding.color_primaries = coding.color_trc = _BT709
        coding.color_range = _LIMITED

    def write(self, pixels: Pixels, time: Fraction) -> None:
        """Add a frame `[H, W, 3]` at a time in seconds, which is later than that of the frame before.

        Raises:
            UserError: the encoder does not take such frames.
            OSError: the file cannot be written.
        """
        with self._naming_errors():
            frame = VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
            self._last = max(round(time / self._tick), self._last + 1)
            frame.pts, frame.time_base = self._last, self._tick
            frame.duration = max(round(self._step / self._tick), 1)
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is left, and the end.

        Raises:
            OSError: the file cannot be written.
        """
        with self._naming_errors():
            if self._last >= 0:
                self._container.mux(self._stream.encode(None))
            self._container.close()

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            size = f"{self._stream.width} x {self._stream.height} pixels"
            raise UserError(
                f"the encoder {self._stream.codec_context.name} does not take a video of {size} ({error}); write a "
                "folder of PNG files."
            ) from error


def keeps_times(kind: str) -> bool:
    """Whether a video whose name ends in `kind` can have a variable frame rate."""
    return kind.lower() not in _CONSTANT_RATE


def find_encoder(kind: str) -> str:
    """The best encoder here for a video whose name ends in `kind`.

    Raises:
        UserError: there is none.
    """
    wanted = _FORMATS[kind.lower()][1]
    for name in wanted:
        try:
            av.codec.Codec(name, "w")
        except UnknownCodecError:
            continue
        return name
    raise UserError(
        f"this PyAV has no encoder for {kind} ({', '.join(wanted)}); write a folder of PNG files, or install PyAV from "
        "its wheel (`pip install --force-reinstall --no-binary :none: av`)."
    )
