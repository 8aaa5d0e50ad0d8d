"""Cityscapes: both sets of classes, both kinds of depth, broken files, and the exported street world read back."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.clips import frames_needed
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.cityscapes import Cityscapes
from mila.data.readers.cityscapes_labels import UNKNOWN, class_table, label_ids
from mila.data.tools.export import export_street
from mila.data.worlds.clips import WorldClips
from mila.data.worlds.rendering import render
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2, SUITES, VOID
from tests.support.fake_files import CATEGORY_OF_ID, STEM, frame_path, open_cities, ramp, sample, save

TRAIN_IDS = {
    **{7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light"},
    **{20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car"},
    **{27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"},
}
"""Label id and name of the trainIds 0, 1, ..., 18, from the data set's published table of classes."""

DISPARITY = f"disparity/train/bochum/{STEM}_disparity.png"
LABELS = f"gtFine/train/bochum/{STEM}_gtFine_labelIds.png"
ANNOTATED = f"leftImg8bit/train/bochum/{STEM}_leftImg8bit.png"
CAMERA = f"camera/train/bochum/{STEM}_camera.json"


def write_camera(root: Path, text: str = '{"extrinsic": {"baseline": 0.5}, "intrinsic": {"fx": 2000}}') -> None:
    path = root / CAMERA
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def disparity_of(path: Path) -> list[list[int]]:
    with Image.open(path) as image:
        assert image.mode == "I;16"
        return np.asarray(image).tolist()


# classes ------------------------------------------------------------------------------------------------------------


def test_label_ids_become_categories_or_train_ids() -> None:
    seven, nineteen = class_table(CITYSCAPES), class_table(CITYSCAPES19)
    categories = ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]
    train_ids = list(TRAIN_IDS)
    for value in range(256):
        if value == 255:  # the id -1, licence plate
            assert (seven[value], nineteen[value]) == (6, VOID)
        elif value > 33:
            assert seven[value] == nineteen[value] == UNKNOWN
        else:
            category = CATEGORY_OF_ID[value]
            assert seven[value] == (VOID if category == "void" else categories.index(category))
            assert nineteen[value] == (train_ids.index(value) if value in train_ids else VOID)
    assert np.array_equal(class_table(CITYSCAPES_METRES), seven)


def test_the_suites() -> None:
    for suite in (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES19):
        assert SUITES[suite.name] is suite
    assert len(SUITES) == len({suite.name for suite in SUITES.values()})
    (task,) = CITYSCAPES19.tasks
    assert (CITYSCAPES19.height, CITYSCAPES19.width, task.channels) == (1024, 2048, 19)
    assert task.classes == tuple(TRAIN_IDS.values())
    assert task.colours[0] == (128, 64, 128)
    assert task.colours[-1] == (119, 11, 32)
    assert [m.name for m in task.metrics if m.headline] == ["miou"]
    assert CITYSCAPES_METRES.task("segmentation") == CITYSCAPES.task("segmentation")
    assert CITYSCAPES_METRES.task("depth") == NYUV2.task("depth")
    assert CITYSCAPES.task("depth").metrics[0].unit == "disparity / 65535 × 100"


def test_nineteen_classes(cities: Path, tmp_path: Path) -> None:
    (cities / DISPARITY).write_bytes(b"not needed")
    source = open_cities(cities, classes=19)
    assert source.suite is CITYSCAPES19
    clip = source.clip(1, 2)
    assert set(clip.targets) == {"segmentation"}
    labels = clip.targets["segmentation"]
    assert (str(labels.dtype), labels.shape) == ("int64", (32, 64))
    names = [*TRAIN_IDS.values(), None]
    assert [names[i] for i in labels[9]] == [TRAIN_IDS.get(i % 34) for i in range(64)]
    manifest = source.manifest()
    assert (manifest["suite"], manifest["note"]) == ("cityscapes19", "JPEG images")
    assert manifest["targets"] == {"segmentation": 2}
    (cities / DISPARITY).unlink()
    assert open_cities(cities, classes=19).manifest() == manifest
    pack(source, 2, tmp_path / "packed")
    packed = PackedClips(tmp_path / "packed")
    assert packed.suite is CITYSCAPES19
    assert np.array_equal(packed.batch([1], 0, 1)[1]["segmentation"][0].numpy(), labels)


def test_nineteen_classes_know_unknown_labels(cities: Path) -> None:
    save(cities / LABELS, np.full((32, 64), 34, np.uint8))
    with pytest.raises(UserError, match=r"_gtFine_labelIds\.png holds the label id 34"):
        open_cities(cities, classes=19).clip(1, 1)


# depth --------------------------------------------------------------------------------------------------------------


def test_depth_in_metres(cities: Path) -> None:
    stored = np.arange(32 * 64).reshape(32, 64) * 31
    stored[0, :4] = [0, 1, 2561, 257]
    save(cities / DISPARITY, stored.astype(np.uint16))
    write_camera(cities)
    source = open_cities(cities, depth="metres")
    assert source.suite is CITYSCAPES_METRES
    depth = source.clip(1, 1).targets["depth"]
    assert (str(depth.dtype), depth.shape) == ("float32", (1, 32, 64))
    # 0.5 m x 2000 px = 1000: disparities of 10 px and of 1 px
    assert depth[0, 0, :4].tolist() == [0, 0, 100, 1000]
    for y, x in ((0, 40), (7, 0), (31, 63)):
        assert depth[0, y, x] == pytest.approx(1000 / ((int(stored[y, x]) - 1) / 256), rel=1e-6)
    half = open_cities(cities, height=16, width=32, depth="metres").clip(1, 1).targets["depth"]
    assert np.array_equal(half[0], depth[0, 1::2, 1::2])
    item_without_disparity = source.clip(0, 1).targets["depth"]
    assert item_without_disparity.shape == (1, 32, 64)
    assert not item_without_disparity.any()


def test_the_manifest_tells_the_kinds_of_depth_apart(cities: Path) -> None:
    write_camera(cities)
    metres, disparity = open_cities(cities, depth="metres").manifest(), open_cities(cities).manifest()
    assert (metres["suite"], disparity["suite"]) == ("cityscapes-metres", "cityscapes")
    assert metres["note"] == "depth is metres, 1 items without disparity, JPEG images"
    assert metres["fingerprint"] != disparity["fingerprint"]  # the camera file counts
    assert open_cities(cities).suite is CITYSCAPES


def test_a_missing_camera_file_is_found_at_once(cities: Path) -> None:
    with pytest.raises(UserError, match=r"bochum_000000_000313_camera\.json does not exist"):
        open_cities(cities, depth="metres")
    assert len(open_cities(cities)) == 2
    assert len(open_cities(cities, depth="metres", limit=1)) == 1  # aachen has no disparity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"_camera\.json cannot be read as JSON"),
        ('{"extrinsic": {', r"_camera\.json cannot be read as JSON"),
        ("[]", r"has no positive number extrinsic\.baseline"),
        ('{"intrinsic": {"fx": 2000}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"x": 1}, "intrinsic": {"fx": 2000}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": 0.2, "intrinsic": {"fx": 2000}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": "0.2"}, "intrinsic": {"fx": 1}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": true}, "intrinsic": {"fx": 1}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": -0.2}, "intrinsic": {"fx": 1}}', r"has no positive number extrinsic\.baseline"),
        ('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 0}}', r"has no positive number intrinsic\.fx"),
        ('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": NaN}}', r"has no positive number intrinsic\.fx"),
        ('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 1' + 400 * "0" + "}}", r"no positive number intrinsic"),
    ],
)
def test_malformed_camera_files(cities: Path, text: str, message: str) -> None:
    write_camera(cities, text)
    source = open_cities(cities, depth="metres")
    with pytest.raises(UserError, match=message) as caught:
        source.clip(1, 1)
    assert str(cities / CAMERA) in str(caught.value)
    assert "restore it" in str(caught.value)


# clips --------------------------------------------------------------------------------------------------------------


def test_every_offset_and_history_has_real_frames(cities: Path) -> None:
    source = open_cities(cities, height=4, width=8)
    for interval in (1, 5, 10):
        for offset in range(interval):
            for history in (0, 1, 10):
                frames = source.clip(1, frames_needed(offset, history)).frames
                # blue is the frame's index in the snippet; the annotated one, index 19, is 200 in leftImg8bit
                key = 19 - offset
                expected = [*range(key - history, 19), 200]
                assert frames[:, 2, 0, 0].tolist() == expected


def test_a_source_survives_pickling(cities: Path) -> None:
    write_camera(cities)
    for options in ({}, {"classes": 19}, {"depth": "metres"}):
        source = open_cities(cities, **options)
        there = pickle.loads(pickle.dumps(source))
        assert there.manifest() == source.manifest()
        here, again = source.clip(1, 2).targets, there.clip(1, 2).targets
        assert set(here) == set(again)
        assert all(np.array_equal(here[task], again[task]) for task in here)


# bad input ----------------------------------------------------------------------------------------------------------


def cut_png(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def cut_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    jpeg = path.with_suffix(".jpg")
    Image.fromarray(noise).save(jpeg)
    path.unlink()
    cut_png(jpeg)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        (ANNOTATED, cut_png),
        (ANNOTATED, cut_jpeg),
        (LABELS, cut_png),
        (DISPARITY, cut_png),
        (f"leftImg8bit_sequence/train/bochum/{STEM[:-3]}312_leftImg8bit.png", cut_png),
        (f"leftImg8bit_sequence/train/bochum/{STEM[:-3]}312_leftImg8bit.png", cut_jpeg),
    ],
)
def test_truncated_images(cities: Path, name: str, cut: Callable[[Path], None]) -> None:
    cut(cities / name)
    with pytest.raises(UserError, match=r"cannot be read \(.*; restore the file from the data set's archive") as caught:
        open_cities(cities).clip(1, 2)
    assert str((cities / name).with_suffix("")) in str(caught.value)  # spaces and letters of the path as they are


@pytest.mark.parametrize("folder", ["gtFine/train", "gtFine/train/aachen", "leftImg8bit/train/bochum"])
def test_unreadable_folders(cities: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if Path(path) == cities / folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(UserError, match=rf"{folder} cannot be read \(Permission denied\); give this user the right"):
        open_cities(cities)


def test_stray_files_between_the_cities_are_passed_over(cities: Path) -> None:
    before = open_cities(cities).manifest()
    (cities / "gtFine/train/.DS_Store").write_bytes(b"")
    (cities / "gtFine/train/bochum/notes.txt").write_bytes(b"")
    save(cities / f"gtFine/train/bochum/{STEM}_gtFine_color.png", ramp(32, 64))
    assert open_cities(cities).manifest() == before


def test_a_frame_that_is_a_folder(cities: Path) -> None:
    frame_path(cities, 312).unlink()
    frame_path(cities, 312).mkdir()
    with pytest.raises(UserError, match=r"000312_leftImg8bit\.png cannot be read"):
        open_cities(cities).clip(1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 8}, "no set of 8 classes here; choose 7 or 19"),
        ({"depth": "feet"}, "no depth in 'feet'"),
        ({"classes": 19, "depth": "metres"}, "come without depth"),
    ],
)
def test_bad_options(cities: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_cities(cities, **options)


# the exported street world ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two exported clips of 32 x 64, seed 3, split val."""
    root = tmp_path_factory.mktemp("straße 1")
    export_street(root, "val", 2, 3, 32, 64)
    return root


def test_an_exported_street_reads_back_as_the_world(street: Path) -> None:
    world = WorldClips("street", "val", clips=2, height=32, width=64, seed=3)
    source = Cityscapes(street, "val", height=32, width=64)
    assert len(source) == 2
    assert source.suite is world.suite
    seen: set[int] = set()
    for index in range(2):
        written, read = world.clip(index, 20), source.clip(index, 20)
        assert np.array_equal(read.frames, written.frames)
        assert np.array_equal(read.targets["segmentation"], written.targets["segmentation"])
        seen |= set(np.unique(read.targets["segmentation"]).tolist())
        exact, stored = written.targets["depth"], read.targets["depth"]
        whole = np.rint(exact.astype(np.float64) * 65535)
        assert np.array_equal(stored, (whole / 65535).astype(np.float32))
        assert np.abs(stored.astype(np.float64) - exact).max() <= 0.5 / 65535 + 1e-7
        assert np.array_equal(stored > 0, exact > 0)
    assert len(seen) >= 5


def test_exported_depth_in_metres_is_the_depth_that_was_cast(street: Path) -> None:
    source = Cityscapes(street, "val", height=32, width=64, depth="metres")
    for index in range(2):
        cast = render("street", "val", 3, index, 1, 32, 64)[0].depth.astype(np.float64)
        read = source.clip(index, 1).targets["depth"][0].astype(np.float64)
        sky = np.isinf(cast)
        assert sky.any()
        assert np.array_equal(read == 0, sky)
        # one step of the 16 bits is 1/256 px of disparity; 65535 of them end at 1.85 m
        apart = np.abs(0.209313 * 2262.52 * (1 / read[~sky] - 1 / np.maximum(cast[~sky], 1.85)))
        assert apart.max() <= 0.51 / 256


def test_exported_labels_have_train_ids(street: Path) -> None:
    assert [TRAIN_IDS[int(i)] for i in label_ids(CITYSCAPES)] == [
        *("road", "building", "pole", "vegetation", "sky", "person", "car")
    ]
    assert [TRAIN_IDS[int(i)] for i in label_ids(CITYSCAPES19)] == list(TRAIN_IDS.values())
    fine = Cityscapes(street, "val", height=32, width=64, classes=19).clip(0, 1).targets["segmentation"]
    coarse = Cityscapes(street, "val", height=32, width=64).clip(0, 1).targets["segmentation"]
    assert (fine >= 0).all()
    names = {"flat": "road", "construction": "building", "object": "pole", "nature": "vegetation"}
    names |= {"sky": "sky", "human": "person", "vehicle": "car"}
    for index, category in enumerate(CITYSCAPES.task("segmentation").classes):
        assert np.array_equal(coarse == index, fine == CITYSCAPES19.task("segmentation").classes.index(names[category]))


def test_exported_files_have_the_official_names_and_formats(street: Path) -> None:
    names = sorted(path.relative_to(street).as_posix() for path in street.rglob("*") if path.is_file())
    expected = [
        f"leftImg8bit_sequence/val/street/street_{i:06d}_{t:06d}_leftImg8bit.png" for i in (0, 1) for t in range(20)
    ]
    for i in (0, 1):
        stem = f"val/street/street_{i:06d}_000019_"
        expected += [f"leftImg8bit/{stem}leftImg8bit.png", f"gtFine/{stem}gtFine_labelIds.png"]
        expected += [f"disparity/{stem}disparity.png", f"camera/{stem}camera.json"]
    assert names == sorted(expected)
    for name in names:
        if name.endswith(".png"):
            with Image.open(street / name) as image:
                assert image.size == (64, 32)
                mode = {"leftImg8bit": "RGB", "gtFine": "L", "disparity": "I;16"}[re.split("[/_]", name)[0]]
                assert image.mode == mode
    camera = json.loads((street / "camera/val/street/street_000000_000019_camera.json").read_text())
    assert camera["extrinsic"] == {"baseline": 0.209313}
    assert camera["intrinsic"] == {"fx": 2262.52, "fy": 2262.52, "u0": 1023.5, "v0": 511.5}


def test_export_never_mixes_with_labels_that_are_there(street: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(street, root)
    with pytest.raises(UserError, match=r"gtFine.val holds labels already; export to an empty folder"):
        export_street(root, "val", 1, 0, 8, 16)
    export_street(root, "train", 1, 0, 8, 16)
    assert len(Cityscapes(root, "train", height=8, width=16)) == 1


def test_an_interrupted_export_is_readable_and_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image = Image.Image.save
    left = 35  # in the second clip: a clip has 23 images

    def fill_the_disk(image: Image.Image, file: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        file.write(b"half of it")
        if left == 0:
            raise OSError(28, "No space left on device")
        file.seek(0)
        save_image(image, file, **options)

    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); free space there"):
        export_street(tmp_path, "val", 3, 0, 8, 16)
    monkeypatch.undo()
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"street_00000[01]_0000\d\d_\w+\.(png|json)", name) for name in files)
    source = Cityscapes(tmp_path, "val", height=8, width=16)
    assert len(source) == 1
    assert np.array_equal(
        source.clip(0, 20).frames, WorldClips("street", "val", clips=1, height=8, width=16).clip(0, 20).frames
    )


def test_export_checks_its_arguments(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'dev'"):
        export_street(tmp_path, "dev", 1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least 1 clip"):
        export_street(tmp_path, "val", 0)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"file.* cannot be written"):
        export_street(tmp_path / "file", "val", 1, 0, 8, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# the real sample ----------------------------------------------------------------------------------------------------


def test_real_cityscapes_in_metres_and_nineteen_classes() -> None:
    root = sample("cityscapes")
    depth = Cityscapes(root, "train", height=128, width=256, depth="metres", limit=1).clip(0, 1).targets["depth"][0]
    stored = disparity_of(root / "disparity/train/aachen/aachen_000001_000019_disparity.png")
    for y, x in ((100, 128), (70, 40), (5, 250), (60, 200)):
        p = stored[y * 8 + 4][x * 8 + 4]
        assert depth[y, x] == (0 if p < 2 else pytest.approx(0.209313 * 2262.52 * 256 / (p - 1), rel=1e-6))
    assert 2 < np.median(depth[depth > 0]) < 60
    fine, coarse = (
        Cityscapes(root, "train", height=128, width=256, classes=n).clip(0, 1).targets["segmentation"] for n in (19, 7)
    )
    assert ((fine == 0) <= (coarse == 0)).all()  # road is flat
    assert ((fine >= 13) <= (coarse == 6)).all()  # car to bicycle are vehicles
    assert (fine == 0).mean() > 0.2
