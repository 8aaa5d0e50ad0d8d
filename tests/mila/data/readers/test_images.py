"""Images as people's programs write them: palettes, 16 bits, alpha, CMYK, EXIF, JPEG under the name of a PNG."""

from __future__ import annotations

import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.readers.images import depth_bits, fingerprint, read_depth, read_labels, read_rgb
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from tests.support.fake_files import open_split, ramp
from tests.support.sound_data import CITY, assert_prepared, command

LABELS = (np.arange(48 * 64).reshape(48, 64) // 7 % 14).astype(np.uint8)
ORIENTATION = 0x0112
Save = Callable[[Path], object]


def quantized(values: Any) -> Image.Image:
    """As an editor exports "indexed": the greys in an order of its own."""
    image = Image.fromarray(values).quantize(256)
    assert image.mode == "P"
    assert not np.array_equal(np.asarray(image), values)
    return image


def coloured(values: Any) -> Image.Image:
    """A palette of colours, as label images of other data sets have."""
    image = Image.fromarray(values).convert("P")
    image.putpalette([channel for index in range(256) for channel in (index, 255 - index, index * 7 % 256)])
    return image


def png(colour: int, pixels: Any) -> bytes:
    """A 16-bit PNG of a colour type that Pillow cannot write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


# values -------------------------------------------------------------------------------------------------------------


def test_grey_palettes_mean_their_greys_and_coloured_ones_their_indices(tmp_path: Path) -> None:
    path = tmp_path / "labels.png"
    quantized(LABELS).save(path)
    assert np.array_equal(read_labels(path), LABELS)
    coloured(LABELS).save(path)
    assert np.array_equal(read_labels(path), LABELS)
    depth = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) % 256
    quantized(depth.astype(np.uint8)).save(path)
    values, bits = read_depth(path)
    assert np.array_equal(values, depth)
    assert (bits, depth_bits(path)) == (8, 8)
    Image.fromarray(depth * 200).save(path)
    values, bits = read_depth(path)
    assert np.array_equal(values, depth * 200)
    assert (bits, depth_bits(path)) == (16, 16)


def test_an_index_without_a_colour_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.png"
    coloured(LABELS).save(path)
    content = path.read_bytes()
    start = content.index(b"PLTE") - 4
    (size,) = struct.unpack(">I", content[start : start + 4])
    body = b"PLTE" + content[start + 8 : start + 8 + 9]
    short = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(content[:start] + short + content[start + 12 + size :])
    with pytest.raises(UserError, match=r"labels\.png has a palette of 3 colours, but uses number 13; save it as"):
        read_labels(path)


@pytest.mark.parametrize(("mode", "alpha"), [("L", None), ("RGBA", 255), ("LA", 255), ("P", None)])
def test_frames_that_lose_nothing_are_taken(mode: str, alpha: int | None, tmp_path: Path) -> None:
    image = Image.fromarray(ramp(48, 64)).convert("L")
    expected = np.asarray(image.convert("RGB"))
    other = image.convert(mode)
    if alpha is not None:
        other.putalpha(alpha)
    other.save(path := tmp_path / "frame.png")
    assert np.array_equal(np.asarray(read_rgb(path)), expected)


GREY16 = np.linspace(0, 65534, 48 * 64).astype(np.uint16).reshape(48, 64)
CMYK = Image.fromarray(ramp(48, 64)).convert("CMYK")
CLEAR = Image.fromarray(ramp(48, 64)).convert("RGBA")
CLEAR.putalpha(Image.fromarray(np.where(LABELS > 5, 255, 0).astype(np.uint8)))


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (Image.fromarray(GREY16).save, r"16 bits a channel \(I(;16)?\)"),
        (lambda path: path.write_bytes(png(2, np.repeat(GREY16[..., None], 3, 2))), r"16 bits a channel \(RGB\)"),
        (lambda path: path.write_bytes(png(6, np.repeat(GREY16[..., None], 4, 2))), r"16 bits a channel \(RGBA\)"),
        (lambda path: CMYK.save(path, "JPEG"), r"pixel format CMYK \(JPEG\)"),
        (Image.fromarray(LABELS > 3).save, r"pixel format 1 \(PNG\)"),
        (CLEAR.save, "transparent pixels, whose colour is not known"),
        (lambda path: Image.fromarray(ramp(48, 64)).save(path, transparency=(0, 0, 0)), "transparent pixels"),
    ],
    ids=["I;16", "RGB;16", "RGBA;16", "CMYK", "1", "RGBA", "tRNS"],
)
def test_frames_whose_colours_would_change_are_refused(write: Save, what: str, tmp_path: Path) -> None:
    write(path := tmp_path / "frame.png")
    with pytest.raises(UserError, match=rf"frame\.png has {what}.*convert it to 8-bit RGB\."):
        read_rgb(path)


@pytest.mark.parametrize("read", [read_labels, read_depth])
def test_labels_and_depth_that_could_be_other_values_are_refused(read: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "0000.png"
    for mode in ("RGB", "RGBA", "LA", "1"):
        Image.fromarray(LABELS).convert(mode).save(path)
        with pytest.raises(UserError, match=rf"0000\.png has pixel format {mode}, but an image of one integer channel"):
            read(path)
    Image.fromarray(LABELS).save(path, "JPEG")
    with pytest.raises(UserError, match=r"0000\.png is a JPEG file, but labels and depth are PNG, which keeps every"):
        read(path)


def test_depth_of_65535_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1, 65535]], np.uint16)).save(path := tmp_path / "depth.png")
    with pytest.raises(UserError, match=r"depth\.png holds 65535, .* write 0 where depth is missing\."):
        read_depth(path)


# orientation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", range(1, 9))
def test_images_are_turned_upright(way: int, tmp_path: Path) -> None:
    """The stored pixels as the tag says (EXIF 2.32, 4.6.4): where row 0 and column 0 belong."""
    upright = ramp(48, 64)
    turns: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: np.rot90,  # shown by a quarter turn to the right, so stored a quarter to the left
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[ORIENTATION] = way
    for array, read in ((upright, read_rgb), (LABELS, read_labels)):
        stored = np.ascontiguousarray(turns[way](array))
        Image.fromarray(stored).save(path := tmp_path / "turned.png", exif=exif)
        assert np.array_equal(np.asarray(read(path)), array)


def test_a_size_that_the_orientation_explains_says_so(nyu: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(ramp(48, 64)).save(nyu / "rgb/0000.png", exif=exif)
    source = open_split(nyu, "train", mode="still", height=48, width=64)
    with pytest.raises(UserError, match=r"48 x 64, after turning 0000\.png by its EXIF orientation 6; the images of"):
        source.clip(0, 1)


def test_a_damaged_exif_counts_as_none(tmp_path: Path) -> None:
    Image.fromarray(ramp(48, 64)).save(path := tmp_path / "frame.png", exif=b"Exif\0\0nonsense")
    assert np.array_equal(np.asarray(read_rgb(path)), ramp(48, 64))


# the same for all who read ------------------------------------------------------------------------------------------

FRAME = f"leftImg8bit_sequence/{CITY}17_leftImg8bit.png"
LABEL, DISPARITY = f"gtFine/{CITY}19_gtFine_labelIds.png", f"disparity/{CITY}19_disparity.png"


def test_cityscapes_with_grey_palettes_prepares_to_the_same(sound: Path, tmp_path: Path) -> None:
    root = shutil.copytree(sound / "cityscapes", tmp_path / "data")
    before = open_split(root, "train", height=24, width=32, mode="still").clip(0, 1).targets["segmentation"]
    labels = np.asarray(Image.open(root / LABEL))
    quantized(labels).save(root / LABEL)
    after = open_split(root, "train", height=24, width=32, mode="still").clip(0, 1).targets["segmentation"]
    assert np.array_equal(before, after)
    assert inspect(root, workers=1, height=24, width=32, length=3).ok
    assert command(root, tmp_path / "store") == 0
    assert_prepared(tmp_path / "store")


@pytest.mark.parametrize(
    ("layout", "name", "image", "sentence"),
    [
        ("cityscapes", FRAME, Image.fromarray(GREY16[:24, :32].copy()), "16 bits a channel"),
        ("cityscapes", LABEL, Image.fromarray(ramp(24, 32)).convert("RGBA"), "has pixel format RGBA"),
        ("cityscapes", DISPARITY, Image.fromarray(np.full((24, 32), 65535, np.uint16)), "holds 65535"),
        ("plain", "rgb/0000.png", CLEAR, "transparent pixels"),
        ("plain", "labels13/0000.png", Image.fromarray(LABELS).convert("LA"), "has pixel format LA"),
        ("plain", "depth/0000.png", Image.fromarray(np.full((48, 64), 65535, np.uint16)), "holds 65535"),
    ],
)
def test_inspect_and_prepare_refuse_alike(
    layout: str,
    name: str,
    image: Image.Image,
    sentence: str,
    sound: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = shutil.copytree(sound / layout, tmp_path / "data")
    image.save(root / name)
    (problem,) = inspect(root, workers=1, height=24, width=32, length=1 if layout == "plain" else 3).problems
    assert problem.startswith(f"{root / name} ")
    assert sentence in problem
    assert command(root, tmp_path / "store") == 2
    assert problem in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_fingerprint_of_names_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"k\xf6ln.png")
    path.write_bytes(b"1")
    before = fingerprint(tmp_path, [path])
    assert before == fingerprint(tmp_path, [path])
    path.write_bytes(b"22")
    assert before != fingerprint(tmp_path, [path])
