"""NYUd v2 in its official files, written here: the .mat through h5py, the split through scipy, raw frames as PPM."""

from __future__ import annotations

import csv
import json
import math
import pickle
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from PIL import Image

from mila.data.readers.nyuv2_camera import undistort
from mila.data.readers.nyuv2_classes import class_by_name
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.data.readers.nyuv2_official import NYUv2Official
from mila.data.readers.nyuv2_raw import LONGEST_CLIP
from mila.errors import UserError
from mila.tasks import NYUV2, NYUV2_40, VOID
from tests.support.fake_files import open_split, save
from tests.support.paths import ROOT

HEIGHT, WIDTH = 48, 64
INSIDE = (slice(8, HEIGHT - 8), slice(8, WIDTH - 8))
NAMES = ["wall", "books", "stuffed animal", "floor", "bed"]
CLASSES = ["wall", "books", "objects", "floor", "bed"]
FILES = [  # of the labelled frames 1 to 4; TIME decides the order: neither the text nor the counter would
    "kitchen_0004/r-10.000000-77.ppm",
    "kitchen_0004/r-10.400000-12.ppm",
    "office_0001a/r-1294886363.011060-3118787619.ppm",
    "kitchen_0004/r-99.000000-5.ppm",
]
KITCHEN = [("9.900000", 4294967295), ("9.950000", 4294967000), ("10.000000", 77), ("10.200000", 3), ("10.400000", 12)]


def picture(number: int) -> npt.NDArray[np.uint8]:
    """RGB `[48, 64, 3]`: red counts columns, green rows, blue says which image it is."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([3 * x, 4 * y, np.full_like(x, number)], 2).astype(np.uint8)


def metres(number: int) -> npt.NDArray[np.float32]:
    """Depth `[48, 64]`: a wall, nearer for each image; no two columns alike."""
    return np.broadcast_to(np.arange(WIDTH) * 0.01 + 2.0 - 0.1 * number, (HEIGHT, WIDTH)).astype(np.float32)


def ids(number: int) -> npt.NDArray[np.uint16]:
    """Label ids `[48, 64]`: 0 to 5 in turn, by rows."""
    return np.broadcast_to((np.arange(HEIGHT)[:, None] + number) % 6, (HEIGHT, WIDTH)).astype(np.uint16)


def put_strings(file: h5py.File, name: str, texts: list[str]) -> None:
    """A MATLAB cell array of texts as MATLAB 7.3 writes it."""
    if name in file:
        del file[name]
    cells = file.create_dataset(name, (1, len(texts)), dtype=h5py.ref_dtype)
    for i, text in enumerate(texts):
        units = np.array([ord(c) for c in text], np.uint16)[:, None]
        at = f"#refs#/{name}{i}"
        if at in file:
            del file[at]
        cells[0, i] = file.create_dataset(at, data=units).ref


def write_mat(path: Path, *, names: list[str] = NAMES) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.stack([picture(i).transpose(2, 1, 0) for i in range(4)])
        file["depths"] = np.stack([metres(i).T for i in range(4)])
        file["labels"] = np.stack([ids(i).T for i in range(4)])
        put_strings(file, "names", names)
        put_strings(file, "rawRgbFilenames", FILES)


def write_split(root: Path, train: Any = (1, 2, 3), test: Any = (4,)) -> None:
    columns = {"trainNdxs": np.array(train, np.uint16)[:, None], "testNdxs": np.array(test, np.uint16)[:, None]}
    scipy.io.savemat(root / "splits.mat", columns)


def write_camera(root: Path, **changes: Any) -> None:
    """The camera of NYUd v2 at the images' size as `camera.json`, with changes; None leaves a key out."""
    camera = {"width": WIDTH, "height": HEIGHT, "fx": 51.886, "fy": 51.947, "cx": 32.108, "cy": 24.924}
    stated = {**camera, "undistorted": False, "border": 8, **changes}
    (root / "camera.json").write_text(json.dumps({k: v for k, v in stated.items() if v is not None}), encoding="utf-8")


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    """Labelled frames 1 to 4 of 48 x 64, 1 to 3 for training; 1 and 2 have raw frames, 2 and 4 before them."""
    root = tmp_path / "données NYU"
    scene = root / "kitchen_0004"
    scene.mkdir(parents=True)
    write_mat(root / "nyu_depth_v2_labeled.mat")
    write_split(root)
    for i, (time, stamp) in enumerate(KITCHEN):
        Image.fromarray(picture(100 + i)).save(scene / f"r-{time}-{stamp}.ppm")
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)).save(scene / f"d-{time}-{stamp}.pgm")
        (scene / f"a-{time}-{stamp}.dump").write_bytes(b"\0")
    (scene / "INDEX.txt").write_text("r-1-1.ppm\n", encoding="utf-8")
    return root


def official(root: Path, mode: str = "video", split: str = "train", **options: Any) -> NYUv2Official:
    return NYUv2Official(root, split, mode=mode, **{"height": HEIGHT, "width": WIDTH, **options})  # type: ignore[arg-type]


# the labelled file --------------------------------------------------------------------------------------------------


def test_values_shapes_and_types(nyu: Path) -> None:
    source = official(nyu, "pan")
    assert source.suite is NYUV2
    assert len(source) == 3
    clip = source.clip(1, 2)
    assert (clip.frames.shape, clip.frames.dtype) == ((2, 3, HEIGHT, WIDTH), np.uint8)
    assert np.array_equal(clip.frames[-1], picture(1).transpose(2, 0, 1))
    labels, depth, normals = (clip.targets[k] for k in ("segmentation", "depth", "normals"))
    assert [str(target.dtype) for target in (labels, depth, normals)] == ["int64", "float32", "float32"]
    assert (labels.shape, depth.shape, normals.shape) == ((48, 64), (1, 48, 64), (3, 48, 64))
    classes = [VOID, *(NYUV2.task("segmentation").classes.index(name) for name in CLASSES)]
    assert [classes[i] for i in ids(1)[8:40, 20]] == labels[8:40, 20].tolist()
    assert np.array_equal(depth[0][INSIDE], metres(1)[INSIDE])
    assert np.allclose(np.linalg.norm(normals[(slice(None), *INSIDE)], axis=0), 1, atol=1e-5)
    outside = np.ones((HEIGHT, WIDTH), np.bool_)
    outside[INSIDE] = False
    assert (labels[outside] == VOID).all()
    assert not depth[0][outside].any()
    assert not normals[:, outside].any()


def test_normals_of_a_slanted_plane(nyu: Path) -> None:
    """1 / Z = a u + c with u = (x - cx) / fx is a plane whose normal towards the camera is -(a, 0, c) / |(a, 0, c)|."""
    fx, cx = 518.86 / 10, (325.58 + 0.5) / 10 - 0.5
    a, c = 0.3, 0.5
    depth = np.broadcast_to(1 / (a * (np.arange(WIDTH) - cx) / fx + c), (HEIGHT, WIDTH)).astype(np.float32)
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["depths"][0] = depth.T
    normals = official(nyu, "still").clip(0, 1).targets["normals"]
    expected = -np.array([a, 0, c]) / math.hypot(a, c)
    assert np.allclose(normals[(slice(None), *INSIDE)], expected[:, None, None], atol=2e-3)


def test_resizing_samples_targets(nyu: Path) -> None:
    targets = official(nyu, "still", height=24, width=32).clip(0, 1).targets
    assert targets["depth"].shape == (1, 24, 32)
    assert np.array_equal(targets["depth"][0][10, 4:28], metres(0)[21, 9:57:2])


def test_labels_go_by_name_and_not_by_number(nyu: Path) -> None:
    before = official(nyu, "still").clip(0, 1).targets["segmentation"]
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        put_strings(file, "names", NAMES[::-1])
        stored = file["labels"][:]
        file["labels"][:] = np.where(stored > 0, 6 - stored, 0)
    assert np.array_equal(official(nyu, "still").clip(0, 1).targets["segmentation"], before)


def test_the_class_table() -> None:
    path = ROOT / "mila" / "data" / "readers" / "nyuv2_classes.csv"
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
    assert [int(row[0]) for row in rows] == list(range(1, 895))
    thirteen, forty = (suite.task("segmentation").classes for suite in (NYUV2, NYUV2_40))
    for _, name, number40, name40, number13, name13 in rows:
        assert thirteen[class_by_name(13)[name]] == thirteen[int(number13) - 1] == name13
        # the field's list has refrigerators misspelt
        assert forty[class_by_name(40)[name]] == forty[int(number40) - 1] == name40.replace("refrid", "refri")
    for classes, table in ((13, class_by_name(13)), (40, class_by_name(40))):
        assert len(table) == 894
        assert set(table.values()) == set(range(classes))
    # what a class of the 40 is among the 13 does not depend on the label
    assert len({(row[2], row[4]) for row in rows}) == 40


def test_forty_classes(nyu: Path) -> None:
    source = official(nyu, "pan", classes=40)
    assert source.suite is NYUV2_40
    few, many = official(nyu, "pan").clip(1, 2), source.clip(1, 2)
    assert np.array_equal(many.frames, few.frames)
    for task in ("depth", "normals"):
        assert np.array_equal(many.targets[task], few.targets[task])
    names = ["wall", "books", "otherprop", "floor", "bed"]
    classes = [VOID, *(NYUV2_40.task("segmentation").classes.index(name) for name in names)]
    assert [classes[i] for i in ids(1)[8:40, 20]] == many.targets["segmentation"][8:40, 20].tolist()
    ours, theirs = source.manifest(), official(nyu, "pan").manifest()
    assert {key for key in ours if ours[key] != theirs[key]} == {"suite"}
    assert (ours["suite"], theirs["suite"]) == ("nyuv2-40", "nyuv2")
    with pytest.raises(UserError, match="no set of 37 classes here; choose 13 or 40"):
        official(nyu, classes=37)


def test_images_are_read_one_by_one_and_the_source_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """A file of the official size, of which only image 1449 is written: HDF5 does not store the other chunks."""
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        for name, dtype, shape in (("images", "u1", (3, 640, 480)), ("depths", "f4", (640, 480))):
            file.create_dataset(name, (1449, *shape), dtype, chunks=(1, *shape))
        file.create_dataset("labels", (1449, 640, 480), "u2", chunks=(1, 640, 480))
        file["images"][1448], file["depths"][1448], file["labels"][1448] = 200, 2.5, 1
        put_strings(file, "names", NAMES)
    write_split(tmp_path, test=(1449,))
    tracemalloc.start()
    try:
        source = pickle.loads(pickle.dumps(NYUv2Official(tmp_path, "test", height=48, width=64, mode="still")))
        opened = tracemalloc.get_traced_memory()[1]
        clip = source.clip(0, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert opened < 5e6
    assert peak < 150e6  # all images together are 1.3 GB
    assert np.isclose(clip.targets["depth"][0, 20, 20], 2.5)
    assert clip.frames[0, 0, 20, 20] == 200


# raw video ----------------------------------------------------------------------------------------------------------


def slow_undistort(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The toolbox's camera at 48 x 64, pixel by pixel; 255 where the raw image has nothing."""
    s = WIDTH / 640
    fx, fy, cx, cy = 518.86 * s, 519.47 * s, (325.58 + 0.5) * s - 0.5, (253.74 + 0.5) * s - 0.5
    k1, k2, p1, p2, k3 = 2.0796615e-1, -5.8613826e-1, 7.2231363e-4, 1.0479627e-3, 4.9856987e-1
    out = np.full(image.shape, 255.0)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            x, y = (column - cx) / fx, (row - cy) / fy
            r = math.hypot(x, y)
            stretch = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
            u = fx * (x * stretch + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2)) + cx
            v = fy * (y * stretch + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y) + cy
            if 0 <= u <= WIDTH - 1 and 0 <= v <= HEIGHT - 1:
                left, top = min(int(u), WIDTH - 2), min(int(v), HEIGHT - 2)
                a, b = u - left, v - top
                upper = (1 - a) * image[top, left] + a * image[top, left + 1].astype(float)
                lower = (1 - a) * image[top + 1, left] + a * image[top + 1, left + 1].astype(float)
                out[row, column] = (1 - b) * upper + b * lower
    return out


def test_undistorting_is_the_toolbox_s_camera_model() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    fast, slow = undistort(image), slow_undistort(image)
    assert fast.dtype == np.uint8
    assert np.abs(fast - slow).max() <= 0.51
    assert (fast[24, 0] == 255).all()  # the white frame that the labelled images have
    white = (undistort(np.zeros((480, 640, 3), np.uint8)) == 255).all(2)
    # the labelled images' frame at the middle of each side: 7, 8, 5 and 4 pixels (looked up on real ones), to one pixel
    sides = white[240], white[240, ::-1], white[:, 320], white[::-1, 320]
    assert np.abs(np.array([side.argmin() for side in sides]) - [7, 8, 5, 4]).max() <= 1


def test_video_is_the_raw_frames_before_and_ends_at_the_labelled_image(nyu: Path) -> None:
    source = official(nyu)
    long = source.clip(1, 5)
    expected = [np.rint(slow_undistort(picture(100 + i))).transpose(2, 0, 1) for i in range(4)]
    assert np.abs(long.frames[:4] - np.stack(expected)).max() <= 1
    assert np.array_equal(long.frames[4], picture(1).transpose(2, 0, 1))
    assert np.array_equal(source.clip(1, 3).frames, long.frames[-3:])
    assert source.clip(0, 3).frames[:, 2, 24, 32].tolist() == [100, 101, 0]
    for task, target in official(nyu, "still").clip(1, 1).targets.items():
        assert np.array_equal(long.targets[task], target)


def test_raw_frames_that_are_undistorted_already(nyu: Path) -> None:
    write_camera(nyu, undistorted=True)
    frames = official(nyu).clip(1, 3).frames
    assert np.array_equal(frames[0], picture(102).transpose(2, 0, 1))
    assert np.array_equal(frames[1], picture(103).transpose(2, 0, 1))
    assert "raw frames taken as they are" in official(nyu).manifest()["note"]


def test_raw_scenes_may_lie_in_a_folder_of_their_own(nyu: Path) -> None:
    before = official(nyu).clip(1, 4).frames
    (nyu / "raw").mkdir()
    shutil.move(nyu / "kitchen_0004", nyu / "raw" / "kitchen_0004")
    assert np.array_equal(official(nyu).clip(1, 4).frames, before)


def test_frames_without_enough_raw_ones_become_pans(nyu: Path) -> None:
    video, pan = official(nyu), official(nyu, "pan")
    assert np.array_equal(video.clip(2, 3).frames, pan.clip(2, 3).frames)  # its scene is not there
    assert not np.array_equal(video.clip(0, 3).frames, pan.clip(0, 3).frames)
    assert np.array_equal(video.clip(0, 4).frames, pan.clip(0, 4).frames)  # two raw frames before it, three needed
    assert [video.videos(length) for length in (1, 3, 4, 5, 6)] == [2, 2, 1, 1, 0]
    manifest = video.manifest()
    assert manifest["video"] == {"matched": 2, "unmatched": 1, "fewest_before": 2, "median_before": 3}
    assert "2 of 3 items matched to raw video" in manifest["note"]
    assert "raw frames undistorted" in manifest["note"]
    assert "video" not in pan.manifest()
    assert official(nyu, limit=1).manifest()["video"]["matched"] == 1


def test_a_hole_in_the_video_ends_it(nyu: Path) -> None:
    assert official(nyu, max_gap=0.21).manifest()["video"]["fewest_before"] == 2
    assert [official(nyu, max_gap=0.1).videos(length) for length in (1, 2, 3)] == [2, 1, 1]
    (nyu / "kitchen_0004/r-9.950000-4294967000.ppm").rename(nyu / "kitchen_0004/r-9.300000-4294967000.ppm")
    assert official(nyu).clip(0, 2).frames[0, 2, 24, 32] == 100
    assert official(nyu).videos(3) == 1


def test_a_split_without_raw_frames_is_no_video(nyu: Path) -> None:
    with pytest.raises(UserError, match="no raw file of any labelled frame of split test"):
        official(nyu, split="test")
    assert len(official(nyu, "pan", split="test")) == 1
    shutil.rmtree(nyu / "kitchen_0004")
    with pytest.raises(UserError, match="unpack the raw scenes, or choose mode pan or still"):
        official(nyu)


def test_clips_of_a_video_have_an_end(nyu: Path) -> None:
    with pytest.raises(UserError, match=f"clip of {LONGEST_CLIP + 1} frames is longer than the {LONGEST_CLIP}"):
        official(nyu).clip(0, LONGEST_CLIP + 1)
    assert official(nyu, "still").clip(0, LONGEST_CLIP + 1).frames.shape[0] == LONGEST_CLIP + 1
    with pytest.raises(UserError, match="clip of 0 frames"):
        official(nyu).clip(0, 0)
    for index in (-1, 3):
        with pytest.raises(IndexError):
            official(nyu).clip(index, 1)


def test_no_more_than_the_longest_clip_is_taken_of_a_long_video(nyu: Path) -> None:
    for i in range(LONGEST_CLIP + 5):
        (nyu / f"kitchen_0004/r-{9.9 - 0.03 * (i + 1):.6f}-1.ppm").write_bytes(b"P6")
    assert official(nyu).manifest()["video"]["fewest_before"] == LONGEST_CLIP - 1


def test_manifest_follows_the_data_and_not_their_place(nyu: Path, tmp_path: Path) -> None:
    before = official(nyu).manifest()
    assert json.loads(json.dumps(before)) == before
    assert (before["dataset"], before["layout"], before["items"]) == ("nyuv2", "official", 3)
    assert str(tmp_path) not in json.dumps(before)
    moved = tmp_path / "moved"
    shutil.move(nyu, moved)
    assert official(moved).manifest() == before
    Image.fromarray(picture(0)[:40]).save(moved / "kitchen_0004/r-9.900000-4294967295.ppm")
    assert official(moved).manifest()["fingerprint"] != before["fingerprint"]


# the camera file ----------------------------------------------------------------------------------------------------


def test_a_camera_file_that_states_the_camera_of_nyud_changes_nothing_but_the_manifest(nyu: Path) -> None:
    before, manifest = official(nyu).clip(1, 4), official(nyu).manifest()
    assert (manifest["camera"], manifest["border"]) == ("NYUd v2", 8)
    write_camera(nyu)
    clip, stated = official(nyu).clip(1, 4), official(nyu).manifest()
    assert np.abs(clip.frames.astype(int) - before.frames).max() <= 1
    for task, target in before.targets.items():
        assert np.allclose(clip.targets[task], target, atol=1e-5)
    assert stated["camera"] == "camera.json"
    assert stated["note"] == manifest["note"] + ", camera.json at 64 x 48: fx 51.886 fy 51.947 cx 32.108 cy 24.924"


def test_normals_and_undistortion_take_the_stated_camera(nyu: Path) -> None:
    """A camera of twice the focal length sees the same depths as a surface of twice the slant, and bends less."""
    fx, cx = 2 * 51.886, 30.0
    a, c = 0.3, 0.5
    depth = np.broadcast_to(1 / (a * (np.arange(WIDTH) - cx) / fx + c), (HEIGHT, WIDTH)).astype(np.float32)
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["depths"][0] = depth.T
    before = official(nyu).clip(0, 2)
    write_camera(nyu, fx=fx, fy=2 * 51.947, cx=cx)
    expected = -np.array([a, 0, c]) / math.hypot(a, c)
    after = official(nyu).clip(0, 2)
    inside = (slice(None), *INSIDE)
    assert np.allclose(after.targets["normals"][inside], expected[:, None, None], atol=2e-3)
    assert np.abs(before.targets["normals"][inside] - expected[:, None, None]).max() > 0.1
    assert not np.array_equal(after.frames[0], before.frames[0])
    raw = picture(101).transpose(2, 0, 1).astype(int)
    apart = [np.abs(frames[0] - raw)[:, 8:40, 8:56].mean() for frames in (after.frames, before.frames)]
    assert 2 * apart[0] < apart[1]


@pytest.mark.parametrize(("stated", "argument", "width"), [(3, None, 3), (3, 5, 5), (3, 0, 0), (None, None, 8)])
def test_whose_border_counts(nyu: Path, stated: int | None, argument: int | None, width: int) -> None:
    if stated is not None:
        write_camera(nyu, border=stated)
    source = official(nyu, "still", border=argument)
    assert source.manifest()["border"] == width
    depth = source.clip(0, 1).targets["depth"][0]
    assert (depth > 0).sum() == (HEIGHT - 2 * width) * (WIDTH - 2 * width)
    assert depth[HEIGHT // 2, width] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"focal": 1}, "has the unknown key 'focal', but a camera has exactly width, height, fx, fy, cx, cy, undis"),
        ({"fx": None}, "has no 'fx', but a camera has exactly width, height"),
        ({"border": None}, "has no 'border'"),
        ({"undistorted": None}, "has no 'undistorted'"),
        ({"fx": 0}, "has 0 for fx, but a positive number of pixels is expected"),
        ({"fy": -51.9}, "has -51.9 for fy, but a positive number"),
        ({"fx": "51.9"}, 'has "51.9" for fx'),
        ({"fx": True}, "has true for fx"),
        ({"fx": math.nan}, "has NaN for fx"),
        ({"fy": math.inf}, "has Infinity for fy"),
        ({"fy": 10**400}, "has 1000000000000000000000000000000000000000 for fy"),
        ({"cx": math.nan}, "has NaN for cx, but a number of pixels"),
        ({"cy": []}, r"has \[\] for cy"),
        ({"width": 64.0}, r"has 64\.0 for width, but a positive whole number of pixels"),
        ({"height": 0}, "has 0 for height"),
        ({"undistorted": 1}, "has 1 for undistorted, but true or false is expected"),
        ({"border": -1}, "has -1 for border, but a whole number from 0 to less than half the image"),
        ({"border": 24}, "has 24 for border"),
        ({"border": 2.0}, r"has 2\.0 for border"),
        ({"border": False}, "has false for border"),
    ],
)
def test_malformed_camera_files(nyu: Path, changes: dict[str, Any], message: str) -> None:
    write_camera(nyu, **changes)
    with pytest.raises(UserError, match=rf"camera\.json {message}.*; correct it"):
        official(nyu)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_camera_files_that_are_no_json(nyu: Path, content: bytes) -> None:
    (nyu / "camera.json").write_bytes(content)
    with pytest.raises(UserError, match=r"camera\.json cannot be read as JSON \(.*or remove it for the camera of NYUd"):
        official(nyu)


def test_camera_files_that_are_no_camera(nyu: Path) -> None:
    (nyu / "camera.json").write_text("[640, 480]", encoding="utf-8")
    with pytest.raises(UserError, match=r"camera\.json holds no JSON object"):
        official(nyu)
    (nyu / "camera.json").unlink()
    (nyu / "camera.json").mkdir()
    with pytest.raises(UserError, match=r"camera\.json cannot be read as JSON"):
        official(nyu)
    (nyu / "camera.json").rmdir()
    write_camera(nyu, width=640, height=480)
    with pytest.raises(
        UserError, match=r"labeled\.mat is 64 x 48 pixels, but .*camera\.json states a camera of 640 x 480"
    ):
        official(nyu)


# what a check of the data asks for ----------------------------------------------------------------------------------


def test_which_files_a_clip_is_read_from(nyu: Path) -> None:
    both = [nyu / "nyu_depth_v2_labeled.mat", nyu / "splits.mat"]
    kitchen = [nyu / f"kitchen_0004/r-{time}-{stamp}.ppm" for time, stamp in KITCHEN]
    source = official(nyu)
    assert (source.height, source.width) == (HEIGHT, WIDTH)
    assert [source.files(index) for index in range(3)] == [[*both, *kitchen[:3]], [*both, *kitchen], both]
    assert official(nyu, "pan").files(1) == both
    write_camera(nyu)
    assert official(nyu, "still").files(2) == [*both, nyu / "camera.json"]
    for index in (-1, 3):
        with pytest.raises(IndexError):
            source.files(index)


def test_which_lengths_can_be_made(nyu: Path) -> None:
    official(nyu).check(LONGEST_CLIP)
    with pytest.raises(UserError, match=f"clip of {LONGEST_CLIP + 1} frames is longer"):
        official(nyu).check(LONGEST_CLIP + 1)
    official(nyu, "pan").check(LONGEST_CLIP + 1)
    for mode in ("video", "still"):
        with pytest.raises(UserError, match="clip of 0 frames"):
            official(nyu, mode).check(0)


def test_problems_are_listed_and_their_items_left_out(nyu: Path) -> None:
    problems: list[str] = []
    assert len(official(nyu, problems=problems)) == 3
    assert problems == []
    write_split(nyu, train=(5, 2, 1, 2, 0, 3))
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        put_strings(file, "rawRgbFilenames", ["kitchen.ppm", *FILES[1:]])
    source = official(nyu, problems=problems)
    assert len(source) == 2
    assert np.array_equal(source.clip(0, 1).frames[0], picture(1).transpose(2, 0, 1))
    assert np.array_equal(source.clip(1, 1).frames[0], picture(2).transpose(2, 0, 1))
    starts = [f"{nyu}/splits.mat names image 5", f"{nyu}/splits.mat names image 2 twice"]
    starts += [f"{nyu}/splits.mat names image 0", f"{nyu} names the raw file 'kitchen.ppm'"]
    assert len(problems) == 4
    assert all(found.startswith(start) for found, start in zip(problems, starts, strict=True))
    assert len(open_split(nyu, "train", height=24, width=32, mode="pan", problems=problems)) == 3
    assert len(problems) == 7
    assert len(official(nyu, limit=1, problems=problems)) == 1
    write_split(nyu, train=(5, 6))
    with pytest.raises(UserError, match=r"splits\.mat names no image in trainNdxs that nyu_depth_v2_labeled\.mat has"):
        official(nyu, problems=problems)
    write_split(nyu, train=(1, 2))
    with pytest.raises(UserError, match="names the raw file of no image of split train rightly"):
        official(nyu, limit=1, problems=problems)


def test_a_scene_that_cannot_be_read_is_one_problem(nyu: Path) -> None:
    shutil.rmtree(nyu / "kitchen_0004")
    (nyu / "kitchen_0004").write_bytes(b"")
    (nyu / "office_0001a").mkdir()
    (nyu / FILES[2]).write_bytes(b"")
    problems: list[str] = []
    assert len(official(nyu, problems=problems)) == 1
    assert len(problems) == 1
    assert "kitchen_0004 cannot be read (Not a directory)" in problems[0]


# both layouts -------------------------------------------------------------------------------------------------------


def test_the_same_labelled_image_is_read_alike_in_both_layouts(nyu: Path, tmp_path: Path) -> None:
    """Labels 1 to 5 of the file are walls, books, objects, floors and beds among 13, and among 40 likewise."""
    plain = tmp_path / "plain"
    save(plain / "rgb/0000.png", picture(0))
    save(plain / "depth/0000.png", np.rint(metres(0) * 1000).astype(np.uint16))
    save(plain / "labels13/0000.png", np.array([0, 12, 2, 7, 5, 1], np.uint8)[ids(0)])
    save(plain / "labels40/0000.png", np.array([0, 1, 23, 40, 2, 4], np.uint8)[ids(0)])
    (plain / "train.txt").write_text("0\n", encoding="utf-8")
    write_split(nyu, train=(1,))
    for suite in (NYUV2, NYUV2_40):
        theirs = open_split(nyu, "train", suite=suite, mode="pan", height=48, width=64)
        ours = open_split(plain, "train", suite=suite, mode="pan", height=48, width=64)
        assert (type(theirs), type(ours)) == (NYUv2Official, NYUv2Folders)
        assert np.array_equal(ours.clip(0, 4).frames, theirs.clip(0, 4).frames)
        ours_0, theirs_0 = ours.clip(0, 1).targets, theirs.clip(0, 1).targets
        assert np.array_equal(ours_0["segmentation"], theirs_0["segmentation"])
        assert len(np.unique(ours_0["segmentation"])) == 6
        np.testing.assert_allclose(ours_0["depth"], theirs_0["depth"], atol=0.00051)


# bad input ----------------------------------------------------------------------------------------------------------


def test_labelled_files_that_cannot_be_read(nyu: Path) -> None:
    mat = nyu / "nyu_depth_v2_labeled.mat"
    good = mat.read_bytes()
    for content in (good[: len(good) // 2], b"a page that says 404", b""):
        mat.write_bytes(content)
        with pytest.raises(UserError, match=r"labeled\.mat cannot be read as HDF5 \(.*download it again"):
            official(nyu)
    mat.unlink()
    with pytest.raises(UserError, match=r"labeled\.mat does not exist"):
        official(nyu)
    mat.mkdir()
    with pytest.raises(UserError, match=r"labeled\.mat cannot be read as HDF5"):
        official(nyu)


def test_a_damaged_image_is_named(nyu: Path) -> None:
    """Compressed chunks, as MATLAB writes them, with one overwritten."""
    mat = nyu / "nyu_depth_v2_labeled.mat"
    with h5py.File(mat, "r+") as file:
        stored = file["images"][:]
        del file["images"]
        file.create_dataset("images", data=stored, chunks=(1, *stored.shape[1:]), compression="gzip")
        place = file["images"].id.get_chunk_info(1)
    with mat.open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(b"\xff" * place.size)
    source = official(nyu, "still")
    source.clip(0, 1)
    with pytest.raises(UserError, match=r"labeled\.mat: images, image 2, cannot be read"):
        source.clip(1, 1)


@pytest.mark.parametrize("name", ["images", "depths", "labels", "names", "rawRgbFilenames"])
def test_missing_datasets_are_named(nyu: Path, name: str) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        del file[name]
    with pytest.raises(UserError, match=f"has no dataset '{name}'"):
        official(nyu)
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file.create_group(name)
    with pytest.raises(UserError, match=f"has no dataset '{name}'"):
        official(nyu)


def test_raw_names_are_not_needed_without_video(nyu: Path) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        del file["rawRgbFilenames"]
    assert len(official(nyu, "pan")) == 3


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("images", np.zeros((4, 48, 64, 3), np.uint8), r"images of uint8 \[4, 48, 64, 3\], but uint8 \[N, 3, width"),
        ("images", np.zeros((4, 3, 48, 64), np.uint8), r"images of uint8 \[4, 3, 48, 64\]"),
        ("images", np.zeros((4, 3, 64, 48), np.float32), r"images of float32"),
        ("images", np.zeros((0, 3, 64, 48), np.uint8), r"images of uint8 \[0, 3, 64, 48\]"),
        ("depths", np.zeros((4, 48, 64), np.float32), r"depths of float32 \[4, 48, 64\], but floating-point .*\[4, 64"),
        ("depths", np.zeros((4, 64, 48), np.uint16), "depths of uint16"),
        ("labels", np.zeros((3, 64, 48), np.uint16), r"labels of uint16 \[3, 64, 48\], but whole numbers \[4, 64, 48"),
        ("labels", np.zeros((4, 64, 48), np.float32), "labels of float32"),
        ("names", np.zeros(5), "names cannot be read"),
    ],
)
def test_wrong_shapes_and_types(nyu: Path, name: str, array: npt.NDArray[Any], message: str) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        del file[name]
        file[name] = array
    with pytest.raises(UserError, match=message):
        official(nyu)


def test_bad_names(nyu: Path) -> None:
    mat = nyu / "nyu_depth_v2_labeled.mat"
    with h5py.File(mat, "r+") as file:
        put_strings(file, "names", ["wall", "unobtainium", "vibranium"])
    with pytest.raises(UserError, match=r"names the label 'unobtainium' \(and 1 others\), which is none of the 894"):
        official(nyu)
    with h5py.File(mat, "r+") as file:
        put_strings(file, "names", NAMES)
        put_strings(file, "rawRgbFilenames", FILES[:3])
    with pytest.raises(UserError, match="has 4 images, but 3 rawRgbFilenames"):
        official(nyu)
    for bad in ("kitchen_0004.ppm", "../r-1.0-1.ppm", "a/b/r-1.0-1.ppm", "kitchen_0004/d-1.0-1.pgm"):
        with h5py.File(mat, "r+") as file:
            put_strings(file, "rawRgbFilenames", [bad, *FILES[1:]])
        with pytest.raises(UserError, match=r"the raw file .* in rawRgbFilenames, but SCENE/r-TIME-STAMP\.ppm"):
            official(nyu)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, 5], r"splits\.mat names image 5 in trainNdxs, but .* has the images 1 to 4"),
        ([0, 1], "names image 0 in trainNdxs"),
        ([1, 2, 2], "names image 2 twice in trainNdxs"),
        ([1.5], "has no list of image numbers trainNdxs"),
        ([np.nan], "has no list of image numbers trainNdxs"),
        ([], "has no list of image numbers trainNdxs"),
        ("kitchen", "has no list of image numbers trainNdxs"),
    ],
)
def test_bad_splits(nyu: Path, column: Any, message: str) -> None:
    scipy.io.savemat(nyu / "splits.mat", {"trainNdxs": column, "testNdxs": [[4]]})
    with pytest.raises(UserError, match=message):
        official(nyu)


def test_split_files_that_cannot_be_read(nyu: Path) -> None:
    splits = nyu / "splits.mat"
    good = splits.read_bytes()
    for content in (good[: len(good) // 2], b"a page that says 404", b""):
        splits.write_bytes(content)
        with pytest.raises(UserError, match=r"splits\.mat (cannot be read as a MATLAB file|has no list)"):
            official(nyu)
    splits.unlink()
    with pytest.raises(UserError, match=r"splits\.mat does not exist"):
        official(nyu)
    scipy.io.savemat(splits, {"testNdxs": [[4]]})
    with pytest.raises(UserError, match="has no list of image numbers trainNdxs"):
        official(nyu)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depths", np.nan, "image 2, holds depth that is not finite"),
        ("depths", np.inf, "image 2, holds depth that is not finite"),
        ("depths", -0.5, "image 2, holds the negative depth -0.5"),
        ("labels", 6, "image 2, holds the label id 6, but the file names the labels 1 to 5"),
    ],
)
def test_bad_values_name_the_image(nyu: Path, name: str, value: float, message: str) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file[name][1, 3, 3] = value
    source = official(nyu)
    source.clip(0, 1)
    with pytest.raises(UserError, match=message):
        source.clip(1, 1)


def test_depth_of_nothing(nyu: Path) -> None:
    with h5py.File(nyu / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["depths"][1] = 0
    with pytest.raises(UserError, match="image 2, holds no depth at any pixel"):
        official(nyu).clip(1, 1)


def test_bad_raw_frames_are_named(nyu: Path) -> None:
    source = official(nyu)
    frame = nyu / "kitchen_0004/r-10.200000-3.ppm"
    frame.write_bytes(frame.read_bytes()[:500])
    with pytest.raises(UserError, match=r"r-10\.200000-3\.ppm cannot be read"):
        source.clip(1, 2)
    Image.fromarray(picture(0)[:40]).save(frame)
    with pytest.raises(UserError, match=r"r-10\.200000-3\.ppm is 64 x 40 pixels, but .*labeled\.mat is 64 x 48"):
        source.clip(1, 2)
    frame.unlink()
    with pytest.raises(UserError, match=r"r-10\.200000-3\.ppm does not exist"):
        source.clip(1, 2)


def test_scenes_that_cannot_be_read(nyu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Path.iterdir

    def refuse(path: Path) -> Any:
        if path.name == "kitchen_0004":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"kitchen_0004 cannot be read \(Permission denied\); allow reading it"):
        official(nyu)
    monkeypatch.undo()
    shutil.rmtree(nyu / "kitchen_0004")
    (nyu / "kitchen_0004").write_bytes(b"")
    with pytest.raises(UserError, match=r"kitchen_0004 cannot be read \(Not a directory\)"):
        official(nyu)


def test_bad_arguments(nyu: Path) -> None:
    with pytest.raises(UserError, match="no split 'val'"):
        official(nyu, split="val")
    with pytest.raises(UserError, match="no clip mode 'film' for this data set; choose one of video, pan, still"):
        official(nyu, "film")
    with pytest.raises(UserError, match="limit of 0"):
        official(nyu, limit=0)
    with pytest.raises(UserError, match="border of -1"):
        official(nyu, border=-1)
    with pytest.raises(UserError, match="nowhere does not exist"):
        official(nyu / "nowhere")
