"""Small videos that tests write: lossless, with any times, tags and faults; and an exported model without training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mila.data.colours import Pixels
from mila.model import MILA
from mila.streaming.description import Description, arguments_as_json
from mila.streaming.portable import write_portable
from mila.tasks import NYUV2, Suite
from mila.video.frames import Frame
from tests.support.fake_models import experienced

TICK = Fraction(1, 1000)
HEIGHT, WIDTH = 24, 32
"""Of the frames of `fake_file`'s model."""


def fake_frames(count: int, height: int = 30, width: int = 40) -> list[Pixels]:
    """Frames that differ from each other, and in whose corners no two are alike: a moving gradient."""
    y, x = np.mgrid[0:height, 0:width]
    return [
        np.stack([x * 200 // width + 5 * t, y * 200 // height, (x + y + 9 * t) % 128], 2).astype(np.uint8)
        for t in range(count)
    ]


def as_source(frames: Sequence[Pixels], step: Fraction = Fraction(1, 25)) -> Iterator[Frame]:
    """Frames as a source gives them."""
    for number, pixels in enumerate(frames):
        yield Frame(pixels, number * step, f"{number:06d}")


def write_video(
    path: Path,
    frames: Sequence[Pixels],
    times: Sequence[Fraction] | None = None,
    *,
    encoder: str = "ffv1",
    pixels: str = "bgr0",
    shape: Fraction | None = None,
    broken: Sequence[int] = (),
) -> Path:
    """Write frames into a video; `ffv1` and `png` keep every value.

    Args:
        path: its ending decides the container.
        frames: RGB `[H, W, 3]`.
        times: of the frames, seconds, multiples of `TICK`; 25 a second by default.
        encoder: FFmpeg's name.
        pixels: FFmpeg's name of the pixel format that is coded.
        shape: width by height of a pixel.
        broken: frames whose packets are replaced by noise.
    """
    times = [Fraction(number, 25) for number in range(len(frames))] if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = stream.time_base = TICK if encoder != "mpeg2video" else Fraction(1, 25)
        if shape is not None:
            stream.codec_context.sample_aspect_ratio = shape
        number = 0
        for content, time in [*zip(frames, times, strict=True), (None, None)]:
            coded = None
            if content is not None and time is not None:
                coded = VideoFrame.from_ndarray(content, format="rgb24").reformat(format=pixels)
                coded.time_base = stream.codec_context.time_base
                coded.pts = round(time / coded.time_base)
            for packet in stream.encode(coded):
                container.mux(_noise(packet) if number in broken else packet)
                number += 1
    return path


def _noise(packet: Any) -> Any:
    """A packet of the same place and length that no decoder takes."""
    noise = av.Packet(np.random.default_rng(0).integers(0, 256, packet.size, np.uint8).tobytes())
    noise.stream, noise.pts, noise.dts, noise.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
    return noise


def tag_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write (a, b, c, d) of a display matrix into an MP4's track header, as a telephone does that was held upright."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    content[place : place + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(content)


def cut(path: Path, share: float) -> Path:
    """Cut a file off after a share of its bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


def fake_model_of(suite: Suite = NYUV2, keyframe_interval: int = 3) -> MILA:
    """A small model of the suite, untrained; always the same."""
    torch.manual_seed(0)
    model = experienced(MILA(suite, slow=18, fast=18, width=0.0625, keyframe_interval=keyframe_interval))
    model.for_inference()
    return model


def fake_file(path: Path, suite: Suite = NYUV2) -> Path:
    """`fake_model_of` as `mila export` writes it, for frames of `HEIGHT` x `WIDTH`."""
    model = fake_model_of(suite)
    arguments = arguments_as_json({"slow": 18, "fast": 18, "width": 0.0625, "keyframe_interval": 3}.items())
    about = Description("fake MILA", "mila.model", "MILA", arguments, suite, HEIGHT, WIDTH, 3)
    write_portable(path, model, about)
    return path
