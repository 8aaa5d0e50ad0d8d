"""Faults in the files of each layout: the reader and `prepare` name the file and the remedy; mended, all goes on."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mila.data.readers.layouts import recognise
from mila.errors import UserError
from mila.tasks import SUITES
from tests.support import nyuv2_official
from tests.support.fake_files import ramp, save
from tests.support.mtan_trees import HEIGHT, WIDTH, labels, put
from tests.support.sound_data import CITY, LENGTH, MAT, assert_prepared, command

RESTORE = "restore the file from the data set's archive."
AGAIN = "unpack it again from the archive."
REPLACE = "replace it by the official file."
Spoil = Callable[[Path], object]


class Fault(NamedTuple):
    """What is done to the data set, and the file and the remedy of the sentence about it."""

    layout: str
    spoil: Spoil
    file: str
    what: str
    remedy: str
    suite: str | None = None


def cut(name: str) -> Spoil:
    """The file as a broken download leaves it."""

    def spoil(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) * 2 // 3])

    return spoil


def rotten(name: str) -> Spoil:
    """A PNG that decodes, but whose pixels do not have its checksum, as after a flipped bit."""

    def spoil(root: Path) -> None:
        content = bytearray((root / name).read_bytes())
        start = content.index(b"IDAT")
        (length,) = struct.unpack(">I", content[start - 4 : start])
        content[start + 4 + length] ^= 1
        (root / name).write_bytes(content)

    return spoil


def grey_of_4_bits(name: str, height: int, width: int) -> Spoil:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def spoil(root: Path) -> None:
        header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
        rows = (b"\x00" + b"\x12" * (width // 2)) * height
        parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
        (root / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))

    return spoil


def bytes_in(name: str, old: bytes, new: bytes) -> Spoil:
    def spoil(root: Path) -> None:
        content = (root / name).read_bytes()
        assert old in content
        (root / name).write_bytes(content.replace(old, new, 1))

    return spoil


def unmounted(name: str) -> Spoil:
    """A folder that is a link to where nothing is."""

    def spoil(root: Path) -> None:
        shutil.rmtree(root / name)
        (root / name).symlink_to("/nowhere/at/all")

    return spoil


def folder_for_file(name: str) -> Spoil:
    def spoil(root: Path) -> None:
        (root / name).unlink()
        (root / name).mkdir()

    return spoil


def image_of(name: str, array: Any) -> Spoil:
    return lambda root: save(root / name, array)


def text(name: str, content: str) -> Spoil:
    return lambda root: (root / name).write_text(content, encoding="utf-8")


def gone(*names: str) -> Spoil:
    def spoil(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return spoil


def renamed(name: str, other: str) -> Spoil:
    return lambda root: (root / name).rename(root / other)


def mat(name: str, value: Any, place: Any = (2, 5, 5)) -> Spoil:
    """Values of image 3 of the labelled file."""

    def spoil(root: Path) -> None:
        with h5py.File(root / MAT, "r+") as file:
            file[name][place] = value

    return spoil


def mat_replaced(name: str, array: Any) -> Spoil:
    def spoil(root: Path) -> None:
        with h5py.File(root / MAT, "r+") as file:
            del file[name]
            file[name] = array

    return spoil


def image_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.height, image.width


def array(kind: str, values: Any) -> Spoil:
    return lambda root: put(root, kind, 1, values)


def names(*raw: str) -> Spoil:
    def spoil(root: Path) -> None:
        with h5py.File(root / MAT, "r+") as file:
            nyuv2_official.put_strings(file, "rawRgbFilenames", list(raw))

    return spoil


FRAME, ANNOTATED = f"leftImg8bit_sequence/{CITY}17_leftImg8bit.png", f"leftImg8bit/{CITY}19_leftImg8bit.png"
JPEG = f"leftImg8bit_sequence/{CITY}18_leftImg8bit.jpg"
CAMERA = f"camera/{CITY}19_camera.json"
IDS, DISPARITY = f"gtFine/{CITY}19_gtFine_labelIds.png", f"disparity/{CITY}19_disparity.png"
RAW = "kitchen_0004/r-9.950000-4294967000.ppm"
ONES = np.ones((HEIGHT, WIDTH, 1), np.float32)
LARGE = np.zeros((30, 40), np.uint8)

FAULTS = {
    "truncated PNG, frame": Fault("cityscapes", cut(FRAME), FRAME, "cannot be read (", RESTORE),
    "truncated PNG, annotated": Fault("cityscapes", cut(ANNOTATED), ANNOTATED, "cannot be read (", RESTORE),
    "truncated PNG, labels": Fault("cityscapes", cut(IDS), IDS, "cannot be read (", RESTORE),
    "truncated PNG, disparity": Fault("cityscapes", cut(DISPARITY), DISPARITY, "cannot be read (", RESTORE),
    "truncated PNG, plain image": Fault("plain", cut("rgb/0000.png"), "rgb/0000.png", "cannot be read (", RESTORE),
    "truncated PNG, plain depth": Fault("plain", cut("depth/0002.png"), "depth/0002.png", "cannot be read (", RESTORE),
    "truncated JPEG, frame": Fault("cityscapes", cut(JPEG), JPEG, "cannot be read (", RESTORE),
    "truncated JPEG, plain image": Fault("plain", cut("rgb/0002.jpg"), "rgb/0002.jpg", "cannot be read (", RESTORE),
    "truncated .mat": Fault(
        "official", cut(MAT), MAT, "cannot be read as HDF5 (", "it is cut off or another file, so download it again."
    ),
    "truncated splits.mat": Fault(
        "official", cut("splits.mat"), "splits.mat", "cannot be read as", "download it again."
    ),
    "truncated raw frame": Fault("official", cut(RAW), RAW, "cannot be read (", RESTORE),
    "truncated .npy": Fault("mtan", cut("train/depth/1.npy"), "train/depth/1.npy", "cannot be read (", AGAIN),
    "size of a frame": Fault(
        "cityscapes", image_of(FRAME, ramp(30, 40)), FRAME, "is 40 x 30 pixels, but", "by the data set's own files."
    ),
    "size of labels": Fault(
        "cityscapes", image_of(IDS, LARGE), IDS, "is 40 x 30 pixels, but", "by the data set's own files."
    ),
    "size of disparity": Fault(
        "cityscapes",
        image_of(DISPARITY, LARGE.astype(np.uint16)),
        DISPARITY,
        "is 40 x 30 pixels, but",
        "by the data set's own files.",
    ),
    "size of plain labels": Fault(
        "plain", image_of("labels13/0002.png", LARGE), "labels13/0002.png", "is 40 x 30 pixels", "data set's own files."
    ),
    "size of plain depth": Fault(
        "plain", image_of("depth/0002.png", LARGE + 9), "depth/0002.png", "is 40 x 30 pixels", "data set's own files."
    ),
    "size of a raw frame": Fault(
        "official", image_of(RAW, ramp(30, 40)), RAW, "is 40 x 30 pixels, but", "by the data set's own files."
    ),
    "size of depth, .mat": Fault(
        "official", mat_replaced("depths", np.ones((4, 48, 64))), MAT, "has depths of float64 [4, 48, 64]", REPLACE
    ),
    "size of depth, .npy": Fault("mtan", array("depth", ONES[1:]), "train/depth/1.npy", "holds float32 [35, ", AGAIN),
    "label 34": Fault(
        "cityscapes",
        image_of(IDS, np.full((24, 32), 34, np.uint8)),
        IDS,
        "holds the label id 34, but Cityscapes has the ids 0 to 33",
        "replace it by the official labelIds image.",
    ),
    "label 14 of 13": Fault(
        "plain",
        image_of("labels13/0002.png", np.full((48, 64), 14, np.uint8)),
        "labels13/0002.png",
        "holds the label 14",
        "replace it by the 13-class label image.",
    ),
    "label 41 of 40": Fault(
        "plain",
        image_of("labels40/0002.png", np.full((48, 64), 41, np.uint8)),
        "labels40/0002.png",
        "holds the label 41",
        "replace it by the 40-class label image.",
        "nyuv2-40",
    ),
    "label 6 of 5": Fault("official", mat("labels", 6), MAT, ", image 3, holds the label id 6", REPLACE),
    "label 6 of 5 in 40": Fault(
        "official", mat("labels", 6), MAT, ", image 3, holds the label id 6", REPLACE, "nyuv2-40"
    ),
    "label 13 of .npy": Fault(
        "mtan", array("label", labels(1, 13) + 1), "train/label/1.npy", "holds the label 13", AGAIN
    ),
    "depth NaN, .mat": Fault(
        "official", mat("depths", np.nan), MAT, ", image 3, holds depth that is not finite", REPLACE
    ),
    "depth negative, .mat": Fault("official", mat("depths", -0.5), MAT, ", image 3, holds the negative depth", REPLACE),
    "depth 0, .mat": Fault("official", mat("depths", 0, 2), MAT, ", image 3, holds no depth at any pixel", REPLACE),
    "depth NaN, .npy": Fault("mtan", array("depth", ONES * np.nan), "train/depth/1.npy", "that is not finite", AGAIN),
    "depth negative, .npy": Fault("mtan", array("depth", -ONES), "train/depth/1.npy", "the negative depth -1", AGAIN),
    "depth 0, .npy": Fault("mtan", array("depth", 0 * ONES), "train/depth/1.npy", "no depth at any pixel", AGAIN),
    "depth 0, 8 bits": Fault(
        "plain",
        image_of("depth/0002.png", np.zeros((48, 64), np.uint8)),
        "depth/0002.png",
        "has no depth at any pixel",
        "restore it, or remove its number from train.txt.",
    ),
    "depth 0, 16 bits": Fault(
        "plain",
        image_of("depth/0000.png", np.zeros((48, 64), np.uint16)),
        "depth/0000.png",
        "has no depth at any pixel",
        "restore it, or remove its number from train.txt.",
    ),
    "frames missing": Fault(
        "cityscapes",
        gone(FRAME),
        FRAME,
        "does not exist (nor as .jpg), but a clip of 3 frames",
        "or choose mode pan or still.",
    ),
    "annotated image missing": Fault(
        "cityscapes",
        gone(ANNOTATED, ANNOTATED.replace("leftImg8bit/", "leftImg8bit_sequence/")),
        ANNOTATED.replace("leftImg8bit/", "leftImg8bit_sequence/"),
        "does not exist (nor as .jpg, nor in leftImg8bit), but street_000001_000019_gtFine_labelIds.png annotates it",
        "restore the image or remove its labels.",
    ),
    "name of labels": Fault(
        "cityscapes",
        renamed(IDS, "gtFine/train/street/street_1_000019_gtFine_labelIds.png"),
        "gtFine/train/street/street_1_000019_gtFine_labelIds.png",
        "is not named CITY_SSSSSS_FFFFFF_gtFine_labelIds.png",
        "restore its name.",
    ),
    "name of an array": Fault(
        "mtan",
        renamed("train/image/2.npy", "train/image/last.npy"),
        "train/image/last.npy",
        "is not named by a number",
        "rename or remove it.",
    ),
    "name of a raw frame": Fault(
        "official",
        names("kitchen.ppm", *nyuv2_official.FILES[1:]),
        "",
        "names the raw file 'kitchen.ppm' in rawRgbFilenames, but SCENE/r-TIME-STAMP.ppm is expected",
        "replace the .mat file by the official one, or choose mode pan or still.",
    ),
    "checksum of a PNG, frame": Fault("cityscapes", rotten(FRAME), FRAME, "cannot be read (", RESTORE),
    "checksum of a PNG, labels": Fault("cityscapes", rotten(IDS), IDS, "cannot be read (", RESTORE),
    "checksum of a PNG, depth": Fault("plain", rotten("depth/0002.png"), "depth/0002.png", "cannot be read (", RESTORE),
    "labels of 4 bits": Fault(
        "plain",
        grey_of_4_bits("labels13/0002.png", 24, 32),
        "labels13/0002.png",
        "has less than 8 bits a pixel",
        "save it as 8-bit greyscale.",
    ),
    "header of an array": Fault(
        "mtan", bytes_in("train/depth/1.npy", b"(", b")"), "train/depth/1.npy", "cannot be read (", AGAIN
    ),
    "folder that is not mounted": Fault(
        "plain",
        unmounted("depth"),
        "depth",
        "is a link to /nowhere/at/all, where there is none; a folder is expected there",
        "mount or restore it, or remove the name.",
    ),
    "folder of a layout that is not mounted": Fault(
        "cityscapes",
        unmounted("disparity"),
        "disparity",
        "is a link to /nowhere/at/all, where there is nothing",
        "mount or restore it, or remove the link.",
    ),
    "array folder that is not mounted": Fault(
        "mtan",
        unmounted("train/depth"),
        "train/depth",
        "is a link to /nowhere/at/all, where there is nothing",
        "mount or restore it, or remove the link.",
    ),
    "folder in place of a list": Fault(
        "plain",
        folder_for_file("train.txt"),
        "train.txt",
        "is no file; a file is expected there",
        "mount or restore it, or remove the name.",
    ),
    "camera in shares of the image": Fault(
        "plain",
        text(
            "camera.json",
            '{"width": 640, "height": 480, "fx": 0.81, "fy": 1.08, "cx": 0.5, "cy": 0.5, "undistorted": true, '
            '"border": 0}',
        ),
        "camera.json",
        "has 0.81 for fx, but a focal length in pixels of an image of 640 x 480 is expected",
        "correct it.",
    ),
    "disparity of 0": Fault(
        "cityscapes",
        lambda root: save(root / DISPARITY, np.zeros(image_size(root / DISPARITY), np.uint16)),
        DISPARITY,
        "is 0 everywhere",
        "restore the official image.",
    ),
    "camera of no car": Fault(
        "cityscapes",
        text(CAMERA, '{"extrinsic": {"baseline": 209.3}, "intrinsic": {"fx": 2262.5}}'),
        CAMERA,
        "has a baseline of 209.3 metres",
        "restore it from the data set's archive of camera files.",
        "cityscapes-metres",
    ),
    "camera that is nested without end": Fault(
        "cityscapes",
        text(CAMERA, "[" * 200_000),
        CAMERA,
        "cannot be read as JSON",
        "restore it from the data set's archive of camera files.",
        "cityscapes-metres",
    ),
    "splits.mat with infinity": Fault(
        "official",
        lambda root: savemat(root / "splits.mat", {"trainNdxs": [[1.0], [np.inf]], "testNdxs": [[2.0]]}),
        "splits.mat",
        "has no list of image numbers trainNdxs",
        "replace it by the official splits.mat.",
    ),
    "all images in one line": Fault(
        "plain",
        text("train.txt", "0\n" + "2 " * 300),
        "train.txt",
        ", line 2: '2 2 2",
        "one number a line.",
    ),
    "number of an image": Fault(
        "plain",
        text("train.txt", "0\nkitchen\n"),
        "train.txt",
        ", line 2: 'kitchen' is no image number",
        "one number a line.",
    ),
    "split with an absent image": Fault(
        "plain",
        text("test.txt", "1\n9\n"),
        "rgb/0009.jpg",
        "does not exist, but test.txt lists it",
        "remove its number.",
    ),
    "splits.mat with an absent image": Fault(
        "official",
        lambda root: nyuv2_official.write_split(root, train=(1, 9), test=(2,)),
        "splits.mat",
        "names image 9 in trainNdxs",
        "replace both by the official files.",
    ),
}


def read(root: Path, suite: str | None) -> None:
    """What `prepare` reads, by the readers."""
    layout = recognise(root)
    for split in layout.splits:
        tasks = layout.suites[0] if suite is None else SUITES[suite]
        source = layout.open(split, suite=tasks, mode=layout.modes[0], height=24, width=32)
        source.check(LENGTH)
        for index in range(len(source)):
            source.clip(index, LENGTH)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_one_sentence_and_its_repair_is_enough(
    fault: Fault, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, store = tmp_path / "mit Fehlern ß", tmp_path / "store"
    shutil.copytree(sound / fault.layout, root)
    fault.spoil(root)
    assert command(root, store, fault.suite) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {root / fault.file}")
    assert fault.what in error
    assert error.endswith(f"{fault.remedy}\n")
    assert len(error.splitlines()) == 1
    assert not list(store.rglob("manifest.json"))
    with pytest.raises(UserError) as caught:
        read(root, fault.suite)
    assert f"error: {caught.value}\n" == error

    shutil.rmtree(root)
    shutil.copytree(sound / fault.layout, root)
    assert command(root, store, fault.suite) == 0
    assert_prepared(store)
