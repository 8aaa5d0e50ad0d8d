"""Faults in the files of each layout: the reader and `prepare` name the file and the remedy; mended, all goes on."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from PIL import Image

from mila.data import prepare
from mila.data.__main__ import main
from mila.data.packed import PackedClips
from mila.data.readers.layouts import recognise
from mila.data.tools.export import export_street
from mila.errors import UserError
from mila.tasks import SUITES
from tests.mila.data.readers import test_nyuv2_official as official
from tests.mila.data.readers.test_mtan_trees import HEIGHT, WIDTH, labels, put, write_nyu
from tests.support.fake_files import ramp, save, write_plain

LENGTH = 3
RESTORE = "restore the file from the data set's archive."
AGAIN = "unpack it again from the archive."
REPLACE = "replace it by the official file."
MAT = "nyu_depth_v2_labeled.mat"
CITY = "train/street/street_000001_0000"

Spoil = Callable[[Path], object]


# the layouts, in order ----------------------------------------------------------------------------------------------


def write_official(root: Path) -> None:
    """Images 1 and 3 for training, 2 for testing; 1 and 2 have a video."""
    (root / "kitchen_0004").mkdir(parents=True)
    official.write_mat(root / MAT)
    official.write_split(root, train=(1, 3), test=(2,))
    for i, (time, stamp) in enumerate(official.KITCHEN):
        Image.fromarray(official.picture(100 + i)).save(root / f"kitchen_0004/r-{time}-{stamp}.ppm")


def write_street(root: Path) -> None:
    """Two train snippets and a val snippet of 24 x 32; of the last frame but one of the second train snippet a JPEG."""
    for split, clips in (("train", 2), ("val", 1)):
        export_street(root, split, clips, height=24, width=32)  # type: ignore[arg-type]
    (root / f"leftImg8bit_sequence/{CITY}18_leftImg8bit.png").unlink()
    save(root / f"leftImg8bit_sequence/{CITY}18_leftImg8bit.jpg", noise())


def write_folders(root: Path) -> None:
    """`write_plain` with 40 classes as well, the depth of image 0 in 16 bits, and a JPEG of image 2."""
    write_plain(root)
    shutil.copytree(root / "labels13", root / "labels40")
    save(root / "depth/0000.png", np.full((48, 64), 2000, np.uint16))
    (root / "rgb/0002.png").unlink()
    save(root / "rgb/0002.jpg", noise(48, 64))


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "cityscapes": write_street,
    "mtan": write_nyu,
    "official": write_official,
    "plain": write_folders,
}


def noise(height: int = 24, width: int = 32) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each layout in a folder of its name."""
    root = tmp_path_factory.mktemp("sound")
    for name, write in LAYOUTS.items():
        write(root / name)
    return root


# the faults ---------------------------------------------------------------------------------------------------------


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


def image_of(name: str, array: Any) -> Spoil:
    return lambda root: save(root / name, array)


def text(name: str, content: str) -> Spoil:
    return lambda root: (root / name).write_text(content, encoding="utf-8")


def gone(*names: str) -> Spoil:
    return lambda root: [(root / name).unlink() for name in names]


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


def array(kind: str, values: Any) -> Spoil:
    return lambda root: put(root, kind, 1, values)


def names(*raw: str) -> Spoil:
    def spoil(root: Path) -> None:
        with h5py.File(root / MAT, "r+") as file:
            official.put_strings(file, "rawRgbFilenames", list(raw))

    return spoil


FRAME, ANNOTATED = f"leftImg8bit_sequence/{CITY}17_leftImg8bit.png", f"leftImg8bit/{CITY}19_leftImg8bit.png"
JPEG = f"leftImg8bit_sequence/{CITY}18_leftImg8bit.jpg"
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
        "does not exist (nor as .jpg), but street_000001_000019_gtFine_labelIds.png annotates it",
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
        names("kitchen.ppm", *official.FILES[1:]),
        "",
        "names the raw file 'kitchen.ppm' in rawRgbFilenames, but SCENE/r-TIME-STAMP.ppm is expected",
        "replace the .mat file by the official one, or choose mode pan or still.",
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
        lambda root: official.write_split(root, train=(1, 9), test=(2,)),
        "splits.mat",
        "names image 9 in trainNdxs",
        "replace both by the official files.",
    ),
}


def command(root: Path, store: Path, suite: str | None = None) -> int:
    words = ["prepare", root, store, "--height", 24, "--width", 32, "--length", LENGTH, "--jobs", 1]
    return main([str(word) for word in (*words, *(() if suite is None else ("--suite", suite)))])


def read(root: Path, suite: str | None) -> None:
    """What `prepare` reads, by the readers."""
    layout = recognise(root)
    for split in layout.splits:
        tasks = layout.suites[0] if suite is None else SUITES[suite]
        source = layout.open(split, suite=tasks, mode=layout.modes[0], height=24, width=32)
        source.check(LENGTH)
        for index in range(len(source)):
            source.clip(index, LENGTH)


def assert_prepared(store: Path) -> None:
    splits = sorted(path for path in store.iterdir())
    assert len(splits) == 2
    for split in splits:
        assert PackedClips(split).verify() == []


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


# folders that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "folder"),
    [
        ("cityscapes", "gtFine/train"),
        ("cityscapes", "gtFine/train/street"),
        ("cityscapes", "leftImg8bit_sequence/train/street"),
        ("mtan", "train/image"),
        ("mtan", "train/label"),
        ("official", "kitchen_0004"),
        ("plain", "rgb"),
        ("plain", "labels13"),
        ("plain", "."),
    ],
)
def test_folders_that_cannot_be_read(
    layout: str,
    folder: str,
    sound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the system says to a user who may neither list the folder nor look into it; root may always."""
    closed, store = sound / layout / folder, tmp_path / "store"

    def guarded(function: Callable[..., Any], *, inside: bool) -> Callable[..., Any]:
        def guard(path: Any, *rest: Any, **how: Any) -> Any:
            if isinstance(path, (str, Path)) and closed == (Path(path).parent if inside else Path(path)):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path, *rest, **how)

        return guard

    monkeypatch.setattr(Path, "stat", guarded(Path.stat, inside=True))
    monkeypatch.setattr(Path, "open", guarded(Path.open, inside=True))
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), inside=False))
    monkeypatch.setattr(Path, "iterdir", guarded(Path.iterdir, inside=False))
    assert command(sound / layout, store) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {closed}")
    assert "Permission denied" in error
    assert len(error.splitlines()) == 1
    assert "give this user the right to read it" in error or "allow reading it" in error
    assert not store.exists()
    monkeypatch.undo()
    assert command(sound / layout, store) == 0
    assert_prepared(store)


# the store ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            (os, "posix_fallocate"),
            r"store/train needs .*, but the disk has .* free; free some space, choose another fold",
        ),
        ((prepare, "write_json"), "the disk of .* is full; free some space and run again: what is done is kept."),
        ((prepare._Journal, "add"), "the disk of .* is full; free some space and run again: what is done is kept."),
    ],
    ids=["at the start", "at the end", "between"],
)
def test_a_full_disk(
    place: tuple[Any, str],
    sentence: str,
    sound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = tmp_path / "store"
    monkeypatch.setattr(*place, full)
    assert command(sound / "plain", store) == 2
    error = capsys.readouterr().err
    assert re.match(f"error: .*{sentence}", error)
    assert len(error.splitlines()) == 1
    assert not list(store.rglob("manifest.json"))
    with pytest.raises(UserError):
        recognise(store)
    monkeypatch.undo()
    assert command(sound / "plain", store) == 0
    assert_prepared(store)


def test_a_store_of_another_version(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(sound / "plain", tmp_path) == 0
    manifest = tmp_path / "train" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    before = manifest.read_bytes()
    capsys.readouterr()
    for words in (["prepare", sound / "plain", tmp_path], ["inspect", tmp_path]):
        assert main([str(word) for word in words]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {manifest} was written by another version of the suite (format 99, ")
        assert error.endswith(f"delete {manifest.parent} and prepare it again.\n")
        assert len(error.splitlines()) == 1
    assert manifest.read_bytes() == before
    shutil.rmtree(manifest.parent)
    assert command(sound / "plain", tmp_path) == 0
    assert_prepared(tmp_path)
