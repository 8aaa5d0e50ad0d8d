"""Inspection: broken data sets written here in each layout; every fault is told, and what is in order is counted."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mila.common import processes
from mila.data.prepare import pack
from mila.data.readers.cityscapes import Cityscapes
from mila.data.tools import integrity
from mila.data.tools.inspection import Inspection, SplitInspection, inspect
from mila.data.tools.inspection_report import print_inspection
from mila.data.worlds.clips import WorldClips
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2
from tests.mila.data.readers import test_nyuv2_official as official
from tests.mila.data.readers.test_mtan_trees import HEIGHT, WIDTH, image, labels, put, room, write_cities, write_nyu
from tests.mila.data.readers.test_nyuv2_official import nyu as official_nyu  # noqa: F401
from tests.support.fake_files import ramp, save

SMALL: dict[str, Any] = {"height": 16, "width": 32, "workers": 1}
RESTORE = "restore the file from the data set's archive."
AGAIN = "unpack it again from the archive."


def told(inspection: Inspection, *expected: str) -> None:
    """These problems in this order and no others; `...` stands for the words of a library."""
    patterns = [re.escape(sentence).replace(r"\.\.\.", ".+") for sentence in expected]
    assert len(inspection.problems) == len(patterns), inspection.problems
    for pattern, sentence in zip(patterns, inspection.problems, strict=True):
        assert re.fullmatch(pattern, sentence), sentence
    assert inspection.ok == (not expected)


def cut(path: Path) -> None:
    """The file as a broken download leaves it."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def noise(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (32, 64, 3), np.uint8)


# Cityscapes ---------------------------------------------------------------------------------------------------------


def city(root: Path, folder: str, item: int, frame: int = 19, ending: str = "leftImg8bit.png") -> Path:
    return root / folder / "train" / "ulm" / f"ulm_{item:06d}_{frame:06d}_{ending}"


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    """Five snippets of 32 x 64 with everything; frames 20 to 29 are left away."""
    root = tmp_path / "städte 1"
    for item in range(5):
        for frame in range(20):
            save(city(root, "leftImg8bit_sequence", item, frame), ramp(32, 64, frame))
        save(city(root, "leftImg8bit", item), noise(item))
        save(city(root, "gtFine", item, ending="gtFine_labelIds.png"), np.full((32, 64), 7 + item, np.uint8))
        save(city(root, "gtFine", item, ending="gtFine_color.png"), ramp(32, 64))
        save(city(root, "disparity", item, ending="disparity.png"), np.full((32, 64), 5000, np.uint16))
        camera = city(root, "camera", item, ending="camera.json")
        camera.parent.mkdir(parents=True, exist_ok=True)
        camera.write_text('{"extrinsic": {"baseline": 0.5}, "intrinsic": {"fx": 2000}}', encoding="utf-8")
    return root


def test_cityscapes_in_order(cities: Path) -> None:
    told_progress: list[tuple[int, int]] = []
    found = inspect(cities, **SMALL, progress=lambda done, total: told_progress.append((done, total)))
    told(found)
    assert (found.layout.title, found.suite, found.mode, found.length) == (
        "Cityscapes, official folders",
        CITYSCAPES,
        "video",
        20,
    )
    # 20 frames each: the annotated one comes from leftImg8bit
    expected = SplitInspection("train", 5, 100, (19, 19), {"segmentation": 5, "depth": 5})
    assert found.splits == (expected,)
    assert (found.strays, found.unlabelled) == ((), 0)
    assert told_progress[-1] == (5, 5)
    assert told_progress == sorted(told_progress)
    still = inspect(cities, mode="still", suite=CITYSCAPES19, **SMALL)
    assert (still.height, still.length) == (16, 1)
    assert still.splits == (SplitInspection("train", 5, 5, None, {"segmentation": 5}),)
    assert inspect(cities, workers=1).height == CITYSCAPES.height


def test_cityscapes_with_every_fault(cities: Path) -> None:
    annotated, ids = city(cities, "leftImg8bit", 0), city(cities, "gtFine", 0, ending="gtFine_labelIds.png")
    for path in (annotated, ids):  # two files of one item
        cut(path)
    save(wrong := city(cities, "gtFine", 1, ending="gtFine_labelIds.png"), np.full((32, 64), 34, np.uint8))
    broken = city(cities, "leftImg8bit_sequence", 1, 7)
    broken.unlink()
    broken = broken.with_suffix(".jpg")
    save(broken, noise(1))
    cut(broken)
    save(small := city(cities, "disparity", 2, ending="disparity.png"), np.full((16, 64), 5000, np.uint16))
    city(cities, "leftImg8bit_sequence", 3, 5).unlink()
    city(cities, "disparity", 3, ending="disparity.png").unlink()
    misnamed = cities / "gtFine/train/ulm/ulm_04_000019_gtFine_labelIds.png"
    city(cities, "gtFine", 4, ending="gtFine_labelIds.png").rename(misnamed)
    (cities / "disparity/train/ulm/notes.txt").write_text("")
    (cities / "camera/.DS_Store").write_text("")
    for name in "cab":
        (cities / f"leftImg8bit/{name}.png").write_text("")

    found = inspect(cities, **SMALL)
    annotated_2 = city(cities, "leftImg8bit", 2)
    told(
        found,
        f"{misnamed} is not named CITY_SSSSSS_FFFFFF_gtFine_labelIds.png with six digits each; restore its name.",
        f"{city(cities, 'leftImg8bit_sequence', 3, 5)} does not exist (nor as .jpg), but a clip of 20 frames to "
        "ulm_000003_000019 needs it; unpack leftImg8bit_sequence in full, ask for a shorter clip, or choose mode pan "
        "or still.",
        f"{annotated} cannot be read (...); {RESTORE}",
        f"{ids} cannot be read (...); {RESTORE}",
        f"{broken} cannot be read (...); {RESTORE}",
        f"{small} is 64 x 16 pixels, but {annotated_2} is 64 x 32; the images of one item must have one size, so "
        "replace both by the data set's own files.",
    )
    # the four that are there by name, one of them with frames 6 to 19 alone and without disparity
    expected = SplitInspection("train", 4, 3 * 20 + 14, (13, 19), {"segmentation": 4, "depth": 3})
    assert found.splits == (expected,)
    assert found.strays == (
        "camera/.DS_Store",
        "disparity/train/ulm/notes.txt",
        *(f"leftImg8bit/{name}.png" for name in "abc"),
    )
    assert found.unlabelled == 1

    save(broken, noise(1))  # now the next fault of this item comes to light
    assert [sentence for sentence in inspect(cities, **SMALL).problems if str(wrong) in sentence] == [
        f"{wrong} holds the label id 34, but Cityscapes has the ids 0 to 33; replace it by the official labelIds image."
    ]
    short = inspect(cities, length=14, **SMALL)
    assert not any("a clip of" in sentence for sentence in short.problems)
    assert len(short.problems) == len(found.problems) - 1


def test_both_faults_of_an_item_are_told_where_one_is_no_broken_file(cities: Path) -> None:
    save(wrong := city(cities, "gtFine", 1, ending="gtFine_labelIds.png"), np.full((32, 64), 34, np.uint8))
    cut(disparity := city(cities, "disparity", 1, ending="disparity.png"))
    told(
        inspect(cities, **SMALL),
        f"{disparity} cannot be read (...); {RESTORE}",
        f"{wrong} holds the label id 34, but Cityscapes has the ids 0 to 33; replace it by the official labelIds "
        "image.",
    )


def test_cameras_are_read_where_metres_are_wanted(cities: Path) -> None:
    first, second = (city(cities, "camera", item, ending="camera.json") for item in (0, 1))
    first.write_text("{")
    second.unlink()
    found = inspect(cities, suite=CITYSCAPES_METRES, **SMALL)
    told(
        found,
        f"{second} does not exist, but depth in metres needs it for ulm_000001_000019_disparity.png; unpack the camera "
        "files, or take disparity as depth.",
        f"{first} cannot be read as JSON (...); restore it from the data set's archive of camera files.",
    )
    assert found.splits[0].clips == 4
    told(inspect(cities, **SMALL))
    cut(disparity := city(cities, "disparity", 0, ending="disparity.png"))
    both = [sentence for sentence in inspect(cities, suite=CITYSCAPES_METRES, **SMALL).problems if "000000" in sentence]
    assert [sentence.split(" cannot be read")[0] for sentence in both] == [str(disparity), str(first)]


def test_a_folder_that_is_missing_as_a_whole(cities: Path) -> None:
    (cities / "gtFine/val/bonn").mkdir(parents=True)
    found = inspect(cities, **SMALL)
    told(
        found,
        f"{cities}/leftImg8bit_sequence/val does not exist, but the images that mode video takes, of split val, is "
        "expected there; correct the path or unpack the data set.",
    )
    assert [split.split for split in found.splits] == ["train"]


def test_folders_that_cannot_be_read(cities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == cities / "camera/train":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    told(
        inspect(cities, **SMALL),
        f"{cities}/camera/train cannot be read (Permission denied); give this user the right to read it.",
    )


# NYUd v2, plain folders ---------------------------------------------------------------------------------------------


def test_plain_folders_in_order(nyu: Path) -> None:
    found = inspect(nyu, **SMALL)
    told(found)
    targets = {"segmentation": 2, "depth": 2, "normals": 2}
    assert found.splits == (SplitInspection("train", 2, 2, None, targets), SplitInspection("test", 2, 2, None, targets))
    assert (found.suite, found.mode, found.length, found.layout.dataset) == (NYUV2, "pan", 1, "nyuv2")


def test_plain_folders_with_every_fault(nyu: Path) -> None:
    (nyu / "train.txt").write_text("0\n2\n4\n5\n6\n7\nseven\n", encoding="utf-8")
    for number in (4, 5, 6, 7):
        for folder, like in (("rgb", 0), ("depth", 0), ("labels13", 0)):
            shutil.copy(nyu / f"{folder}/{like:04d}.png", nyu / f"{folder}/{number:04d}.png")
    for name in ("rgb/0005.png", "depth/0005.png"):
        (nyu / name).unlink()
    (nyu / "rgb/0000.png").unlink()
    save(nyu / "rgb/0000.jpg", np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    for name in ("rgb/0000.jpg", "labels13/0000.png", "depth/0000.png"):
        cut(nyu / name)
    save(nyu / "labels13/0002.png", np.full((48, 64), 14, np.uint8))
    save(nyu / "depth/0004.png", np.zeros((48, 64), np.uint8))
    save(nyu / "labels13/0006.png", np.zeros((48, 65), np.uint8))
    save(nyu / "depth/0007.png", ramp(48, 64))
    save(nyu / "rgb/8.png", ramp(48, 64))
    (nyu / "labels13/0001.png").unlink()
    found = inspect(nyu, **SMALL)
    lists = "lists it; restore the file or remove its number."
    told(
        found,
        f"{nyu}/train.txt, line 7: 'seven' is no image number; write one number a line.",
        f"{nyu}/rgb/0005.jpg does not exist, but train.txt {lists}",
        f"{nyu}/depth/0005.png does not exist, but train.txt {lists}",
        f"{nyu}/labels13/0001.png does not exist, but test.txt {lists}",
        f"{nyu}/rgb/0000.jpg cannot be read (...); {RESTORE}",
        f"{nyu}/labels13/0000.png cannot be read (...); {RESTORE}",
        f"{nyu}/depth/0000.png cannot be read (...); {RESTORE}",
        f"{nyu}/labels13/0002.png holds the label 14, but the labels here are 0 (unlabelled) to 13; replace it by the "
        "13-class label image.",
        f"{nyu}/depth/0004.png has no depth at any pixel; restore it, or remove its number from train.txt.",
        f"{nyu}/labels13/0006.png is 65 x 48 pixels, but {nyu}/rgb/0006.png is 64 x 48; the images of one item must "
        "have one size, so replace both by the data set's own files.",
        f"{nyu}/depth/0007.png has pixel format RGB, but ...; replace it by the data set's own file.",
    )
    assert [(split.split, split.clips, split.frames) for split in found.splits] == [("train", 5, 5), ("test", 1, 1)]
    assert found.strays == ("rgb/8.png",)
    assert found.unlabelled == 1


# NYUd v2, official file ---------------------------------------------------------------------------------------------


def test_the_official_file_in_order(official_nyu: Path) -> None:  # noqa: F811
    official.write_split(official_nyu, train=(1, 3), test=(2,))
    (official_nyu / "toolbox").mkdir()
    (official_nyu / "toolbox/fill.m").write_text("")
    found = inspect(official_nyu, **SMALL)
    told(found)
    # frame 1 has two before it and its own, frame 2 all four; frame 3 has no raw file: it is a frame all the same
    targets = {"segmentation": 2, "depth": 2, "normals": 2}
    assert found.splits == (
        SplitInspection("train", 2, 3 + 1, (0, 1), targets, matched=1),
        SplitInspection("test", 1, 5, (4, 4), dict.fromkeys(targets, 1), matched=1),
    )
    assert found.strays == ()
    still = inspect(official_nyu, mode="still", **SMALL)
    told(still)
    assert still.splits[0] == SplitInspection("train", 2, 2, None, targets)


def test_the_official_file_with_faults(official_nyu: Path) -> None:  # noqa: F811
    scene = official_nyu / "kitchen_0004"
    official.write_split(official_nyu, train=(1, 2, 3), test=(4,))
    first, third = (scene / f"r-{time}-{stamp}.ppm" for time, stamp in (official.KITCHEN[0], official.KITCHEN[3]))
    cut(first)
    Image.fromarray(official.picture(0)[:, :60]).save(third)
    (scene / "r-yesterday.ppm").write_bytes(b"")
    mat = official_nyu / "nyu_depth_v2_labeled.mat"
    with h5py.File(mat, "r+") as file:
        file["depths"][2, 5, 5] = np.nan
    found = inspect(official_nyu, **SMALL)
    told(
        found,
        f"{official_nyu} holds no raw file of any labelled frame of split test (SCENE/r-*.ppm there or in raw/), but "
        "mode video takes them; unpack the raw scenes, or choose mode pan or still.",
        f"{first} cannot be read (...); {RESTORE}",
        f"{mat}, image 3, holds depth that is not finite; replace it by the official file.",
    )
    assert [(split.split, split.clips, split.matched) for split in found.splits] == [("train", 3, 2)]
    assert found.strays == ("kitchen_0004/r-yesterday.ppm",)
    shutil.copy(scene / "r-9.950000-4294967000.ppm", first)
    assert [sentence for sentence in inspect(official_nyu, **SMALL).problems if str(third) in sentence] == [
        f"{third} is 60 x 48 pixels, but {mat} is 64 x 48; the images of one item must have one size, so replace both "
        "by the data set's own files."
    ]


# MTAN's arrays ------------------------------------------------------------------------------------------------------


def test_mtan_trees_in_order(tmp_path: Path) -> None:
    cityscapes = inspect(write_cities(tmp_path / "c"), **SMALL)
    told(cityscapes)
    assert cityscapes.splits == (SplitInspection("train", 11, 11, None, {"segmentation": 11, "depth": 11}),)
    tree = inspect(write_nyu(tmp_path / "n"), **SMALL)
    told(tree)
    targets = dict.fromkeys(("segmentation", "depth", "normals"), 3)
    assert tree.splits[0] == SplitInspection("train", 3, 3, None, targets)
    assert [split.split for split in tree.splits] == ["train", "val"]


def test_mtan_trees_with_every_fault(tmp_path: Path) -> None:
    root = write_cities(tmp_path / "arbre é")
    depth = np.ones((HEIGHT, WIDTH, 1), np.float32)
    for number, factor in enumerate((np.nan, -1, 0)):
        put(root, "depth", number, depth * factor)
    for kind in ("label_7", "depth"):
        cut(root / f"train/{kind}/3.npy")
    put(root, "label_7", 4, labels(4, 7) + 1)
    put(root, "image", 5, image(5)[1:])
    (root / "train/depth/6.npy").unlink()
    put(root, "depth", 12, depth)
    (root / "train/image/readme.md").write_text("")
    folder = root / "train"
    found = inspect(root, **SMALL)
    told(
        found,
        f"{folder}/depth/6.npy does not exist, but image/6.npy does; unpack the archive in full.",
        f"{folder}/depth/0.npy holds depth that is not finite; {AGAIN}",
        f"{folder}/depth/1.npy holds the negative depth -1; {AGAIN}",
        f"{folder}/depth/2.npy holds no depth at any pixel; {AGAIN}",
        f"{folder}/label_7/3.npy cannot be read (...); {AGAIN}",
        f"{folder}/depth/3.npy cannot be read (...); {AGAIN}",
        f"{folder}/label_7/4.npy holds the label 7, but labels here are -1 to 6; {AGAIN}",
        f"{folder}/label_7/5.npy holds int64 [36, 48], but ... numbers [35, 48] are expected there; {AGAIN}",
    )
    assert found.splits[0].clips == 10
    assert found.strays == ("train/image/readme.md",)


def test_broken_normals_of_a_tree(tmp_path: Path) -> None:
    root = write_nyu(tmp_path, count=12)
    for kind in ("depth", "normal"):  # image 4 is none of the eight that tell the normals' directions
        cut(root / f"train/{kind}/4.npy")
    found = inspect(root, **SMALL)
    told(found, *(f"{root}/train/{kind}/4.npy cannot be read (...); {AGAIN}" for kind in ("depth", "normal")))
    assert room(4)[0].shape == (HEIGHT, WIDTH)
    assert [split.clips for split in found.splits] == [12, 12]


# packed stores ------------------------------------------------------------------------------------------------------


def test_packed_stores(tmp_path: Path) -> None:
    for split, clips in (("train", 3), ("val", 2)):
        pack(WorldClips("street", "train", clips=clips, height=16, width=32), 4, tmp_path / split, workers=1)
    steps: list[tuple[int, int]] = []
    found = inspect(tmp_path, progress=lambda done, total: steps.append((done, total)))
    told(found)
    assert (found.height, found.width, found.suite) == (16, 32, CITYSCAPES)
    assert found.splits[0] == SplitInspection("train", 3, 12, (3, 3), {"segmentation": 3, "depth": 3})
    assert steps == [(done, 5) for done in range(1, 6)]
    array = np.load(tmp_path / "val/depth.npy", mmap_mode="r+")
    array[1, 0, 3, 3] += 1
    array.flush()
    told(
        inspect(tmp_path), f"{tmp_path}/val/depth.npy is damaged at clip 1; delete {tmp_path}/val and prepare it again."
    )


# how it is done -----------------------------------------------------------------------------------------------------


def test_workers_change_nothing(cities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "POOL_FROM", 0.0)
    monkeypatch.setattr(integrity, "LARGEST_PART", 1)
    for item in (1, 3, 4):
        cut(city(cities, "leftImg8bit", item))
    steps: list[int] = []
    how = {**SMALL, "workers": 2}
    found = inspect(cities, **how, progress=lambda done, _: steps.append(done))
    assert steps == [1, 2, 3, 4, 5]
    assert len(found.problems) == 3
    assert replace(found, layout=None) == replace(inspect(cities, **SMALL), layout=None)  # type: ignore[arg-type]

    in_parts = processes.in_parts
    monkeypatch.setattr(integrity, "in_parts", lambda *how, **more: (part for part in [*in_parts(*how, **more)][::-1]))
    assert inspect(cities, **SMALL).problems == found.problems  # whichever part is done first
    monkeypatch.setattr(integrity, "in_parts", in_parts)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect(cities, **how, progress=stop)
    assert multiprocessing.active_children() == []


def test_a_bug_is_no_problem_of_the_data(cities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Cityscapes, "clip", fail)
    with pytest.raises(ZeroDivisionError):
        inspect(cities, **SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": NYUV2}, r"has no tasks 'nyuv2'; choose one of cityscapes, cityscapes-metres, cityscapes19"),
        ({"mode": "film"}, "no clip mode 'film'"),
        ({"height": 0}, "image size of 32 x 0 is not possible"),
        ({"length": 0}, "clip of 0 frames"),
        ({"workers": 0}, "Reading with 0 processes"),
    ],
)
def test_bad_arguments(cities: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        inspect(cities, **{**SMALL, **options})


def printed(inspection: Inspection, width: int = 80, **options: Any) -> list[str]:
    file = io.StringIO()
    print_inspection(inspection, Console(file=file, width=width), **options)
    return file.getvalue().splitlines()


def test_the_summary(cities: Path) -> None:
    lines = printed(inspect(cities, **SMALL))
    assert lines[:2] == ["Cityscapes, official folders", str(cities)]
    assert "tasks  cityscapes (labels, depth); there are also cityscapes-metres, cityscapes19" in lines
    assert "clips  video; there are also pan, still" in lines
    assert [line.split() for line in lines if line.startswith("train")] == [["train", "5", "100", "19", "19", "5", "5"]]
    assert lines[-1] == "Everything that the splits name is there and reads well."


def test_the_summary_of_what_is_wrong(cities: Path) -> None:
    sound = inspect(cities, **SMALL)
    problems = tuple(f"{cities}/[red]file {i:03d}.png{'x' * 90} is broken; mend it." for i in range(60))
    strays = tuple(f"disparity/{i:02d}.txt" for i in range(12))
    split = replace(sound.splits[0], matched=3)
    found = replace(sound, problems=problems, strays=strays, unlabelled=1, splits=(split,))
    lines = printed(found)
    assert [line for line in lines if "broken" in line] == list(problems[:50])  # whole, and as they are
    assert "... and 10 more; --all lists them." in lines
    assert [line for line in lines if line.startswith("disparity/")] == list(strays[:10])
    assert "12 files have no official name and are not read:" in lines
    assert "1 image without labels: not used." in lines
    assert "train: 3 clips with raw video, 2 without (pans)." in lines
    assert lines[-1] == "60 problems, listed above."
    everything = printed(found, every=True)
    assert [line for line in everything if "broken" in line] == list(problems)
    assert [line for line in everything if line.startswith("disparity/")] == list(strays)
    assert not any("more;" in line for line in everything)
    assert printed(replace(found, problems=problems[:1]))[-1] == "1 problem, listed above."
