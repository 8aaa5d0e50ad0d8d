"""Reading and resizing image files, with errors that name the file, and the fingerprint of a list of files."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mila.data.contents import content_digests
from mila.errors import UserError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the original image; fractions of a pixel are allowed."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)  # what Pillow raises on bad files
_GREYSCALE = ("L", "P", "I", "I;16", "I;16L", "I;16B")


def read_rgb(path: Path) -> Image.Image:
    """The whole image at `path` in RGB, decoded; `UserError` where it is missing, truncated or not an image."""
    return _read(path).convert("RGB")


def read_grey(path: Path) -> tuple[npt.NDArray[Any], int]:
    """The stored integers of a one-channel image (labels, depth), `[H, W]`, and their bits (8 or 16).

    A palette image gives its indices. `UserError` where the file is missing, truncated, or has several channels.
    """
    image = _read(path)
    if image.mode not in _GREYSCALE:
        raise UserError(
            f"{path} has pixel format {image.mode}, but an image of one integer channel (8- or 16-bit greyscale) "
            "is expected here; replace it by the data set's own file."
        )
    return np.asarray(image), 8 if image.mode in ("L", "P") else 16


def grey_bits(path: Path) -> int:
    """Bits of a one-channel image, 8 or 16, from its header alone; `UserError` where there is no such header."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return 8 if image.mode in ("L", "P") else 16
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def check_size(path: Path, size: tuple[int, int], like: Path, like_size: tuple[int, int]) -> None:
    """`UserError` where two images of one item differ in size (height, width)."""
    if size != like_size:
        raise UserError(
            f"{path} is {size[1]} x {size[0]} pixels, but {like} is {like_size[1]} x {like_size[0]}; the images of "
            "one item must have one size, so replace both by the data set's own files."
        )


def resize_rgb(image: Image.Image, height: int, width: int, box: Box | None = None) -> npt.NDArray[np.uint8]:
    """`image`, or its part inside `box`, as uint8 `[3, height, width]`: bilinear, antialiased when it shrinks."""
    resized = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))


def nearest(array: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """The last two axes of `array` sampled to `height` x `width`: the value at each new pixel's centre, unmixed."""
    rows = ((np.arange(height) + 0.5) * array.shape[-2] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * array.shape[-1] / width).astype(np.intp)
    return np.ascontiguousarray(array[..., rows[:, None], columns])


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 over the names below `root` and the contents of `files`; it does not depend on where `root` is.

    Each file is read once, see `mila.data.contents`.
    """
    listed = list(files)
    try:
        contents = content_digests(listed)
    except OSError as error:
        raise _unreadable(Path(error.filename or root), error) from error
    digest = hashlib.sha256()
    for path in listed:
        digest.update(f"{path.relative_to(root).as_posix()}\t{contents[path]}\n".encode())
    return digest.hexdigest()


def _read(path: Path) -> Image.Image:
    try:
        with path.open("rb") as file, Image.open(file) as image:
            image.load()
            return image.copy()
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} does not exist; restore it from the data set's archive.")
    reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else str(error).rstrip(".")
    return UserError(f"{path} cannot be read ({reason}); restore the file from the data set's archive.")
