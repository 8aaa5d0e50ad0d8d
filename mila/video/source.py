"""What a user names as input: a video file, a folder of images, an image, a camera, or an address."""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path

import av

from mila.errors import UserError
from mila.video.frames import Frames
from mila.video.image_folder import SUFFIXES, ImageFolder
from mila.video.video_file import VideoFile

RATE = Fraction(25)
"""Frames a second of a folder of images, where nothing else is asked for."""

_CAMERA = re.compile(r"camera(?::(\d+))?")
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""FFmpeg's input format and what it calls a camera, by `sys.platform`."""


def open_frames(source: str | Path, rate: Fraction = RATE) -> Frames:
    """Open a source of frames.

    Args:
        source: a video file, a folder of images, an image, `camera` (the first) or `camera:N`, a device
            (`/dev/video2`), or an address that FFmpeg opens (`rtsp://...`).
        rate: frames a second of a folder, as images carry no time.

    Raises:
        UserError: it cannot be opened, and why.
    """
    text = str(source)
    if camera := _CAMERA.fullmatch(text):
        return _camera(int(camera[1] or 0))
    if text.startswith("/dev/video"):
        return _device("v4l2", text, text)
    if "://" in text:
        return VideoFile(text, live=not text.startswith("file:"))
    path = Path(text)
    if path.is_dir() or (path.is_file() and path.suffix.lower() in SUFFIXES):
        return ImageFolder(path, rate)
    return VideoFile(text)


def _camera(number: int) -> Frames:
    if sys.platform not in _CAMERAS:
        raise UserError(f"on {sys.platform} no camera is known by its number; give an address that FFmpeg opens.")
    kind, device = _CAMERAS[sys.platform]
    if sys.platform == "win32":
        raise UserError("on Windows a camera has no number; record a video first, or give an address.")
    return _device(kind, device.format(number), f"camera {number}")


def _device(kind: str, device: str, title: str) -> Frames:
    if not any(kind in name.split(",") for name in av.formats_available):
        raise UserError(f"{title} cannot be opened, as this PyAV was built without {kind}; give a video file.")
    try:
        return VideoFile(device, kind, live=True)
    except UserError as error:
        why = str(error).split(";")[0]
        raise UserError(f"{title} cannot be used: {why}; connect it, or name another as camera:N.") from error
