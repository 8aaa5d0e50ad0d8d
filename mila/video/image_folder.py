"""A folder of images as frames, in the natural order of their names: `frame9.png` comes before `frame10.png`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from mila.data.readers.images import read_rgb
from mila.errors import UserError
from mila.video.frames import Frame, Frames

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Of the files that are taken for frames, in small letters."""


class ImageFolder(Frames):
    """The images of a folder, or one image.

    Args:
        path: the folder, or the image.
        rate: frames a second, as images carry no time.

    Raises:
        UserError: the folder cannot be read, or has no images.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._files = _images(path)
        super().__init__(str(path), len(self._files), 1 / rate, 1 / rate)
        stems = [file.stem for file in self._files]
        self._names: list[str | None] = [*stems] if len(set(stems)) == len(stems) else [None for _ in stems]

    def __iter__(self) -> Iterator[Frame]:
        """See `Frames`."""
        for number, (file, name) in enumerate(zip(self._files, self._names, strict=True)):
            try:
                image = read_rgb(file)
            except UserError as error:
                # without its remedy, which is for data sets
                self.lose(str(error).rpartition("; ")[0] or str(error).rstrip("."))
                continue
            yield self.make(image, number * self.step, name)
        self.check_any()


def _images(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}); make it readable for this user."
        ) from error
    if not files:
        raise UserError(f"{path} holds no images ({', '.join(SUFFIXES)}); give a folder of frames, or a video file.")
    return sorted(files, key=lambda file: _natural(file.name))


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that orders numbers inside names by their value."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts], name
