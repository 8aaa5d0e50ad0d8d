"""Layouts: what a folder holds is recognised by what lies in it, in the order of the table; what it lacks is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mila.data.clips import ClipSource
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.cityscapes import Cityscapes
from mila.data.readers.layouts import Layout, recognise
from mila.data.readers.mtan_trees import MTANTree
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.data.readers.nyuv2_official import NYUv2Official
from mila.data.tools.export import export_rooms
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, FLOW, NYUV2, NYUV2_40, SUITES, Suite
from tests.support.fake_clips import FakeClips
from tests.support.fake_files import save, write_cities, write_plain
from tests.support.mtan_trees import put, write_cities_tree, write_nyu_tree


def write_packed(root: Path, suite: Suite = CITYSCAPES, splits: tuple[str, ...] = ("train", "val")) -> Path:
    for split in splits:
        pack(FakeClips(2, suite), 2, root / split)
    return root


def open_first(layout: Layout, **how: Any) -> ClipSource:
    """The first split with the first suite and mode, at the size of `FakeClips`, or as `how` says."""
    first: dict[str, Any] = {"suite": layout.suites[0], "mode": layout.modes[0], "height": 4, "width": 6}
    return layout.open(how.pop("split", layout.splits[0]), **{**first, **how})


STILLS = ("pan", "still")
OFFICIAL = ("NYUd v2, official file", "nyuv2", (NYUV2, NYUV2_40))
PLAIN = ("NYUd v2, plain folders", "nyuv2")
CITIES = ("Cityscapes, official folders", "cityscapes", (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES19))


def summary(layout: Layout) -> tuple[object, ...]:
    return layout.title, layout.dataset, layout.suites, layout.modes, layout.splits, layout.scored, layout.packed


# each by itself -----------------------------------------------------------------------------------------------------


def test_the_official_file_of_nyuv2(tmp_path: Path) -> None:
    export_rooms(tmp_path, 2, 1, 0, 6, 8, 2)
    layout = recognise(str(tmp_path))
    assert summary(layout) == (*OFFICIAL, ("video", *STILLS), ("train", "test"), "test", False)
    assert layout.root == tmp_path
    for suite, mode, split in ((NYUV2, "video", "train"), (NYUV2_40, "pan", "test"), (NYUV2_40, "still", "train")):
        source = open_first(layout, suite=suite, mode=mode, split=split, limit=1)
        assert isinstance(source, NYUv2Official)
        assert (source.suite, source.mode, source.split, len(source)) == (suite, mode, split, 1)
    scene = tmp_path / "raw" / "rooms_train_0000"
    scene.rename(tmp_path / "rooms_train_0000")  # scenes beside the file
    shutil.rmtree(tmp_path / "raw")
    assert recognise(tmp_path).modes == ("video", *STILLS)
    for frame in (tmp_path / "rooms_train_0000").glob("r-*.ppm"):
        frame.rename(frame.with_suffix(".txt"))  # no raw frames
    assert summary(recognise(tmp_path)) == (*OFFICIAL, STILLS, ("train", "test"), "test", False)


def test_plain_folders(nyu: Path) -> None:
    layout = recognise(nyu)
    assert summary(layout) == (*PLAIN, (NYUV2,), STILLS, ("train", "test"), "test", False)
    for mode in layout.modes:
        source = open_first(layout, mode=mode, split="test")
        assert isinstance(source, NYUv2Folders)
        assert (source.suite, source.mode, source.split) == (NYUV2, mode, "test")
    (nyu / "test.txt").unlink()
    shutil.copytree(nyu / "labels13", nyu / "labels40")
    assert summary(recognise(nyu)) == (*PLAIN, (NYUV2, NYUV2_40), STILLS, ("train",), "test", False)
    assert open_first(recognise(nyu), suite=NYUV2_40).suite is NYUV2_40
    shutil.rmtree(nyu / "labels13")
    assert recognise(nyu).suites == (NYUV2_40,)
    shutil.rmtree(nyu / "labels40")
    (without,) = recognise(nyu).suites  # what is left
    assert (without.name, without.tasks) == ("nyuv2-depth-normals", NYUV2.tasks[1:])
    assert open_first(recognise(nyu)).suite == without
    shutil.rmtree(nyu / "depth")
    with pytest.raises(UserError, match="depth does not exist, but the NYUd v2 folder depth is expected there"):
        open_first(recognise(nyu))


def test_cityscapes(cities: Path) -> None:
    (cities / "gtFine/val").mkdir()
    layout = recognise(cities)
    assert summary(layout) == (*CITIES, ("video", *STILLS), ("train", "val"), "val", False)
    (cities / "gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png").unlink()  # it has no annotated image
    camera = cities / "camera/train/bochum/bochum_000000_000313_camera.json"
    camera.parent.mkdir(parents=True)
    camera.write_text('{"extrinsic": {"baseline": 0.5}, "intrinsic": {"fx": 2000}}', encoding="utf-8")
    for suite in layout.suites:
        for mode in layout.modes:
            source = open_first(layout, suite=suite, mode=mode)
            assert isinstance(source, Cityscapes)
            assert (source.suite, source.mode) == (suite, mode)
    shutil.rmtree(cities / "leftImg8bit_sequence")
    assert recognise(cities).modes == STILLS


TREES = {
    "nyuv2": (write_nyu_tree, ("MTAN's arrays of NYUd v2", "nyuv2", (NYUV2,), STILLS, ("train", "val"), "val", False)),
    "cityscapes": (
        write_cities_tree,
        ("MTAN's arrays of Cityscapes", "cityscapes", (CITYSCAPES, CITYSCAPES19), STILLS, ("train",), "val", False),
    ),
}


@pytest.mark.parametrize(("write", "expected"), TREES.values(), ids=TREES)
def test_arrays_of_mtan(write: Any, expected: tuple[object, ...], tmp_path: Path) -> None:
    layout = recognise(write(tmp_path))
    assert summary(layout) == expected
    for suite in layout.suites:
        for mode in layout.modes:
            source = open_first(layout, suite=suite, mode=mode)
            assert isinstance(source, MTANTree)
            assert (source.suite, source.mode) == (suite, mode)
    if layout.dataset == "cityscapes":
        shutil.rmtree(tmp_path / "train/label_19")
        assert recognise(tmp_path).suites == (CITYSCAPES,)
        shutil.rmtree(tmp_path / "train/label_7")
    else:
        shutil.rmtree(tmp_path / "val/label")
    with pytest.raises(
        UserError, match="has MTAN's image folders, but no label, label_7, label_19 beside them; unpack"
    ):
        recognise(tmp_path)


@pytest.mark.parametrize("suite", [s for s in SUITES.values() if s != FLOW], ids=lambda suite: suite.name)
def test_packed_stores(suite: Suite, tmp_path: Path) -> None:
    dataset = "nyuv2" if suite in (NYUV2, NYUV2_40) else "cityscapes"
    title = f"packed store of {'NYUd v2' if dataset == 'nyuv2' else 'Cityscapes'}"
    for splits, scored in ((("train",), "test"), (("train", "test"), "test"), (("train", "val"), "val")):
        root = write_packed(tmp_path / scored / splits[-1], suite, splits)
        layout = recognise(root)
        assert summary(layout) == (title, dataset, (suite,), ("video",), splits, scored, True)
        source = open_first(layout, split=splits[-1], limit=1)
        assert isinstance(source, PackedClips)
        assert (source.suite, len(source), source.folder) == (suite, 1, root / splits[-1])


# the order of the table ---------------------------------------------------------------------------------------------


def test_the_first_of_several_counts(tmp_path: Path) -> None:
    """The folders are laid one over the other, from the end of the table to its start."""

    def title() -> str:
        return recognise(tmp_path).title

    write_plain(tmp_path)
    assert title() == "NYUd v2, plain folders"
    write_cities(tmp_path)
    assert title() == "Cityscapes, official folders"
    write_cities_tree(tmp_path)
    assert title() == "MTAN's arrays of Cityscapes"
    write_nyu_tree(tmp_path)  # `train/image` has both `label` and `label_7` beside it; `val/image` has `label` alone
    assert title() == "MTAN's arrays of NYUd v2"
    shutil.copytree(tmp_path / "train", tmp_path / "val", dirs_exist_ok=True)
    assert (title(), recognise(tmp_path).suites) == ("MTAN's arrays of NYUd v2", (NYUV2,))
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"")
    assert title() == "NYUd v2, official file"
    write_packed(tmp_path)
    assert title() == "packed store of Cityscapes"


@pytest.mark.parametrize("name", ["rgb/", "depth/", "labels13/", "labels40/", "train.txt", "test.txt"])
def test_one_sign_of_plain_folders_is_enough_to_tell_what_lacks(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("0\n")
    if name.endswith("/"):
        with pytest.raises(UserError, match=r"looks like NYUd v2, plain folders, but holds no split .* unpack it in"):
            recognise(tmp_path)
    else:
        assert recognise(tmp_path).title == "NYUd v2, plain folders"
        with pytest.raises(UserError, match="rgb does not exist"):
            open_first(recognise(tmp_path))


@pytest.mark.parametrize("name", ["gtFine", "leftImg8bit", "leftImg8bit_sequence"])
def test_one_folder_of_cityscapes_is_enough_to_tell_what_lacks(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="looks like Cityscapes, official folders, but holds no split"):
        recognise(tmp_path)


# what cannot be -----------------------------------------------------------------------------------------------------


def test_folders_that_hold_nothing_known(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "train").mkdir()
    (tmp_path / "image.png").write_bytes(b"")
    with pytest.raises(
        UserError,
        match=r"holds no data set that is known here: no packed store, no nyu_depth_v2_labeled\.mat, none of MTAN's "
        r"train/image and val/image, and none of gtFine, .*, rgb, .*, labels40, .*; correct the path or unpack the",
    ):
        recognise(tmp_path)
    for path, state in ((tmp_path / "image.png", "is not a folder"), (tmp_path / "nowhere é", "does not exist")):
        with pytest.raises(UserError, match=f"{path} {state}, but the folder of a data set is expected there"):
            recognise(path)


@pytest.mark.parametrize("name", ["..", ".", "train", "kitchen_0004"])
def test_folders_that_cannot_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chmod` would not keep root out."""
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"")
    (tmp_path / "kitchen_0004").mkdir()
    closed = (tmp_path / name).resolve()
    iterdir, stat = Path.iterdir, Path.stat

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    def refuse_inside(path: Path, **how: Any) -> os.stat_result:
        if path.parent == closed:
            refuse(path)
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", refuse_inside)
    monkeypatch.setattr(Path, "iterdir", lambda path: refuse(path) if path == closed else iterdir(path))
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\); give this user the right") as caught:
        recognise(tmp_path)
    assert str(caught.value).startswith(str(closed))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"suite": NYUV2},
            "has no tasks 'nyuv2': Cityscapes, official folders has cityscapes, cityscapes-metres, city",
        ),
        ({"suite": FLOW}, "has no tasks 'flow'"),
        ({"mode": "film"}, "has no clips of mode 'film': .* has video, pan, still; choose one of these"),
        ({"split": "val"}, "has no split 'val': Cityscapes, official folders has train; unpack the data set in full"),
        ({"height": 0}, "image size of 6 x 0 is not possible"),
        ({"limit": 0}, "limit of 0"),
    ],
)
def test_what_a_layout_does_not_have(how: dict[str, Any], message: str, cities: Path) -> None:
    with pytest.raises(UserError, match=message):
        open_first(recognise(cities), **how)


def test_problems_are_collected(nyu: Path, cities: Path, tmp_path: Path) -> None:
    (nyu / "depth/0000.png").unlink()
    save(cities / "gtFine/train/bochum/mine_gtFine_labelIds.png", np.zeros((32, 64), np.uint8))
    tree = write_nyu_tree(tmp_path / "tree")
    put(tree, "image", 7, np.zeros((36, 48, 3)))
    for root in (nyu, cities, tree):
        problems: list[str] = []
        with pytest.raises(UserError):
            open_first(recognise(root))
        assert len(open_first(recognise(root), problems=problems)) > 0
        assert problems


# packed stores ------------------------------------------------------------------------------------------------------


def test_stores_that_are_not_finished(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack(FakeClips(9, CITYSCAPES, stops_at=5), 2, tmp_path / "train")
    with pytest.raises(UserError, match=r"train is not a finished packed data set .*an interrupted one is continued"):
        recognise(tmp_path)
    pack(FakeClips(9, CITYSCAPES), 2, tmp_path / "train")
    with pytest.raises(KeyboardInterrupt):
        pack(FakeClips(9, CITYSCAPES, stops_at=5), 2, tmp_path / "val")
    layout = recognise(tmp_path)
    assert len(open_first(layout)) == 9
    with pytest.raises(UserError, match=r"val is not a finished packed data set .*an interrupted one is continued"):
        open_first(layout, split="val")


def edit(manifest: Path, **changes: Any) -> None:
    about = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**about, **changes}))


def test_stores_of_another_version(tmp_path: Path) -> None:
    write_packed(tmp_path)
    edit(tmp_path / "val/manifest.json", format=99)
    layout = recognise(tmp_path)
    with pytest.raises(UserError, match=r"val.manifest\.json was written by another version .*; delete .* prepare it"):
        open_first(layout, split="val")
    edit(tmp_path / "train/manifest.json", format=1)
    with pytest.raises(UserError, match=r"train.manifest\.json was written by another version of the suite"):
        recognise(tmp_path)


def test_stores_of_another_size(tmp_path: Path) -> None:
    layout = recognise(write_packed(tmp_path))
    for size in ({"height": 8}, {"width": 8}):
        with pytest.raises(
            UserError, match=r"was prepared at 4 x 6 pixels \(height x width\), but .* are wanted; prep"
        ):
            open_first(layout, **size)


def test_stores_of_another_mode_or_suite(tmp_path: Path) -> None:
    layout = recognise(write_packed(tmp_path))
    with pytest.raises(UserError, match=r"has no clips of mode 'pan': packed store of Cityscapes has video"):
        open_first(layout, mode="pan")
    with pytest.raises(
        UserError, match=r"has no tasks 'cityscapes-metres': packed store of Cityscapes has cityscapes;"
    ):
        open_first(layout, suite=CITYSCAPES_METRES)
    edit(tmp_path / "val/manifest.json", source={"mode": "still"})
    with pytest.raises(UserError, match="val has cityscapes in mode still, unlike the other splits beside it"):
        open_first(layout, split="val")
    shutil.rmtree(tmp_path / "val")
    write_packed(tmp_path, CITYSCAPES_METRES, ("val",))
    with pytest.raises(UserError, match="val has cityscapes-metres in mode video, unlike the other splits beside it"):
        open_first(layout, split="val")
    edit(tmp_path / "train/manifest.json", source={"mode": "pan"})
    assert recognise(tmp_path).modes == ("pan",)
