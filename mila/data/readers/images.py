"""Reading and resizing image files, with errors that name the file, and the fingerprint of a list of files.

The only place that opens an image: `read_rgb` for frames, `read_labels` and `read_depth` for what is measured. What a
file's pixel format leaves open is decided here, for the readers, `prepare` and `inspect` alike:

| in the file                   | frame                         | labels, depth                                    |
|-------------------------------|-------------------------------|--------------------------------------------------|
| 8-bit RGB                     | taken                         | refused                                          |
| 8-bit grey                    | taken as grey                 | taken                                            |
| grey of 2 or 4 bits           | taken as grey                 | refused: some read them as they are, some scaled |
| palette                       | its colours                   | grey palette: its greys; coloured: the indices   |
| 16-bit grey                   | refused                       | taken                                            |
| alpha channel, transparency   | dropped where all is opaque   | refused; of a palette not looked at              |
| 16-bit colour, CMYK, others   | refused                       | refused                                          |
| EXIF orientation              | turned upright                | turned upright                                   |
| not a PNG                     | taken                         | refused: JPEG and the like change values         |
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from mila.data.contents import content_digests
from mila.errors import UserError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the original image; fractions of a pixel are allowed."""

_BROKEN = (  # what Pillow raises on bad files
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_WIDE = ("I", "I;16", "I;16L", "I;16B")
_ORIENTATION = ExifTags.Base.Orientation
_TURNED = range(5, 9)  # values of the orientation that swap height and width
_MOST = 65535  # of 16 bits


def read_rgb(path: Path) -> Image.Image:
    """The whole frame at `path` in RGB, decoded and upright.

    Raises:
        UserError: it is missing, truncated or not an image, or of a pixel format that is not 8 bits of RGB or grey.
    """
    image, kind, is_wide, _ = _read(path)
    what = None
    if is_wide:
        what = f"16 bits a channel ({image.mode})"
    elif image.mode not in ("RGB", "L", "P", "RGBA", "LA", "PA"):
        what = f"pixel format {image.mode} ({kind})"
    elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] != 255:
            what = "transparent pixels, whose colour is not known"
    if what is not None:
        raise UserError(f"{path} has {what}, but frames are 8-bit RGB or grey; convert it to 8-bit RGB.")
    return image.convert("RGB")


def read_labels(path: Path) -> npt.NDArray[Any]:
    """The stored integers of a label image, `[H, W]`: of a grey palette its greys, of a coloured one the indices.

    Raises:
        UserError: the file is missing, truncated or no PNG, or has several channels.
    """
    return _read_grey(path)[0]


def read_depth(path: Path) -> tuple[npt.NDArray[Any], int]:
    """The stored integers of a depth or disparity image, `[H, W]`, and their bits (8 or 16).

    Raises:
        UserError: as of `read_labels`; or it holds 65535, with which many mark what is missing.
    """
    values, bits = _read_grey(path)
    if bits > 8 and values.size and int(values.max()) >= _MOST:
        raise UserError(
            f"{path} holds {int(values.max())}, the largest value of 16 bits, which stands for missing depth in many "
            "data sets; write 0 where depth is missing."
        )
    return values, bits


def depth_bits(path: Path) -> int:
    """Bits of a depth image, 8 or 16, from its header alone; `UserError` where there is no such header."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return 16 if image.mode in _WIDE else 8
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def check_size(path: Path, size: tuple[int, int], like: Path, like_size: tuple[int, int]) -> None:
    """`UserError` where two images of one item differ in size (height, width)."""
    if size == like_size:
        return
    turned = [f"{file.name} by its EXIF orientation {way}" for file in (path, like) if (way := _turn_of(file))]
    why = f", after turning {' and '.join(turned)}" if turned else ""
    raise UserError(
        f"{path} is {size[1]} x {size[0]} pixels, but {like} is {like_size[1]} x {like_size[0]}{why}; the images of "
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
        digest.update(os.fsencode(path.relative_to(root).as_posix()) + f"\t{contents[path]}\n".encode())
    return digest.hexdigest()


def _read_grey(path: Path) -> tuple[npt.NDArray[Any], int]:
    image, kind, is_wide, is_scaled = _read(path)
    if kind != "PNG":
        raise UserError(
            f"{path} is a {kind} file, but labels and depth are PNG, which keeps every value; replace it by the data "
            "set's own file."
        )
    if is_scaled:
        raise UserError(
            f"{path} has less than 8 bits a pixel, which some programs read as they are and some as shares of 255; "
            "save it as 8-bit greyscale."
        )
    if image.mode == "P":
        return _greys_or_indices(path, image), 8
    if image.mode not in ("L", *_WIDE):
        raise UserError(
            f"{path} has pixel format {image.mode}, but an image of one integer channel (8- or 16-bit greyscale) "
            "is expected here; replace it by the data set's own file."
        )
    return np.asarray(image), 16 if is_wide else 8


def _greys_or_indices(path: Path, image: Image.Image) -> npt.NDArray[np.uint8]:
    """What a palette image stands for: its greys where the palette is one of greys, else its indices."""
    indices = np.asarray(image)
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    if indices.size and int(indices.max()) >= len(palette):
        raise UserError(
            f"{path} has a palette of {len(palette)} colours, but uses number {int(indices.max())}; save it as 8-bit "
            "greyscale."
        )
    is_grey = bool((palette == palette[:, :1]).all())
    return palette[:, 0][indices] if is_grey else indices


class _Decoded(NamedTuple):
    """An image, upright.

    Attributes:
        kind: of its file.
        is_wide: its channels have 16 bits.
        is_scaled: its greys had fewer than 8 bits.
    """

    image: Image.Image
    kind: str
    is_wide: bool
    is_scaled: bool


def _read(path: Path) -> _Decoded:
    try:
        with path.open("rb") as file:
            with Image.open(file) as image:
                if image.format == "PNG":
                    image.verify()  # the checksums, which decoding does not look at
            file.seek(0)
            with Image.open(file) as image:
                kind, is_wide = image.format or "", image.mode in _WIDE or _is_reduced(image)
                is_scaled = any(tile[3] in ("L;2", "L;4") for tile in image.tile)
                image.load()
                upright = image.copy() if _orientation(image) == 1 else ImageOps.exif_transpose(image)
                return _Decoded(upright, kind, is_wide, is_scaled)
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def _is_reduced(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow would make 8 bits of 16 when it decodes `image`: it says so nowhere but in its decoder's order."""
    return any(
        ";16" in str(tile[3]) or (tile[0] == "ppm" and isinstance(tile[3], tuple) and tile[3][-1] > 255)
        for tile in image.tile
    )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation of `image`, 1 for upright; also where there is none, or none that can be read."""
    try:
        way = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1
    return way if way in range(2, 9) else 1


def _turn_of(path: Path) -> int:
    """The EXIF orientation of the image at `path` where it swaps height and width, else 0."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            way = _orientation(image)
    except _BROKEN:  # not an image, as the .mat of NYUd v2
        return 0
    return way if way in _TURNED else 0


def _unreadable(path: Path, error: BaseException) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} does not exist; restore it from the data set's archive.")
    reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else str(error).rstrip(".")
    return UserError(f"{path} cannot be read ({reason}); restore the file from the data set's archive.")
