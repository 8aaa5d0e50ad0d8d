"""The *rooms* world exported as NYUd v2's official files and read back; what both exports share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from mila.data.clips import ClipSource
from mila.data.readers.layouts import recognise
from mila.data.readers.nyuv2_classes import class_by_name
from mila.data.readers.nyuv2_official import NYUv2Official
from mila.data.readers.nyuv2_raw import LONGEST_CLIP
from mila.data.tools.export import LABEL_OF_CLASS, export_rooms, export_street
from mila.data.worlds.clips import WorldClips
from mila.data.worlds.rendering import render
from mila.errors import UserError
from mila.tasks import NYUV2
from tests.support.fake_files import open_split

HEIGHT, WIDTH, LENGTH, SEED = 60, 80, 4, 5
TRAIN, TEST = 2, 1
COUNTS = {"train": TRAIN, "test": TEST}
MAT = "nyu_depth_v2_labeled.mat"

NYUSplit = Literal["train", "test"]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two train clips and one test clip of 60 x 80, 4 frames each."""
    root = tmp_path_factory.mktemp("chambres 1") / "new" / "nyu"
    export_rooms(root, TRAIN, TEST, SEED, HEIGHT, WIDTH, LENGTH)
    return root


def read(
    root: Path, split: NYUSplit, mode: Literal["video", "pan", "still"] = "video", height: int = HEIGHT
) -> ClipSource:
    return open_split(root, split, height=height, width=height * 4 // 3, mode=mode)


def world(split: NYUSplit) -> WorldClips:
    return WorldClips("rooms", split, clips=COUNTS[split], height=HEIGHT, width=WIDTH, seed=SEED)


# rooms read back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_exported_rooms_read_back_as_the_world(rooms: Path, split: NYUSplit) -> None:
    source = read(rooms, split)
    assert isinstance(source, NYUv2Official)
    assert len(source) == COUNTS[split]
    seen: set[int] = set()
    for index in range(len(source)):
        for length in range(1, LENGTH + 1):
            written, got = world(split).clip(index, length), source.clip(index, length)
            assert np.array_equal(got.frames, written.frames)
            for task in ("segmentation", "depth"):
                assert got.targets[task].dtype == written.targets[task].dtype
                assert np.array_equal(got.targets[task], written.targets[task])
        seen |= set(np.unique(got.targets["segmentation"]).tolist())
    assert len(seen) >= 8
    manifest = source.manifest()
    assert manifest["video"] == {
        "matched": COUNTS[split],
        "unmatched": 0,
        "fewest_before": LENGTH - 1,
        "median_before": LENGTH - 1,
    }
    assert (manifest["camera"], manifest["border"]) == ("camera.json", 0)
    assert "raw frames taken as they are" in manifest["note"]


def surroundings(surface: npt.NDArray[np.int32], normals: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Where the 5 x 5 pixels around show one plane of one primitive."""
    same: npt.NDArray[np.bool_] = maximum_filter(surface, 5) == minimum_filter(surface, 5)
    for axis in normals:
        same &= maximum_filter(axis, 5) - minimum_filter(axis, 5) < 1e-3
    return same


def test_normals_from_exported_depth_are_the_worlds(rooms: Path) -> None:
    """Measured over these three clips, degrees: all pixels 0.0000 in the median and 9.4 in the mean, for half of the
    60 x 80 pixels lie at an edge; away from edges 0.0000 in the median, 0.2 in the mean, 5.2 at the 99th percentile.
    """
    angles, flat = [], []
    for split, clips in COUNTS.items():
        for index in range(clips):
            frame = render("rooms", split, SEED, index, 1, HEIGHT, WIDTH)[0]  # type: ignore[arg-type]
            normals = read(rooms, split).clip(index, 1).targets["normals"]  # type: ignore[arg-type]
            assert np.allclose(np.linalg.norm(normals, axis=0), 1, atol=1e-5)
            half_chord = np.linalg.norm(normals - frame.normals, axis=0) / 2
            angles.append(np.degrees(2 * np.arcsin(half_chord.clip(0, 1))))
            flat.append(surroundings(frame.surface, frame.normals))
    every, away = np.stack(angles), np.stack(angles)[np.stack(flat)]
    assert np.median(every) < 0.01
    assert every.mean() < 12
    assert away.size > 0.3 * every.size
    assert np.median(away) < 0.01
    assert away.mean() < 0.5
    assert np.percentile(away, 99) < 7


def test_exported_rooms_at_another_size(rooms: Path) -> None:
    written, got = world("train").clip(1, 3), read(rooms, "train", height=30).clip(1, 3)
    expected = [
        Image.fromarray(f.transpose(1, 2, 0)).resize((40, 30), Image.Resampling.BILINEAR) for f in written.frames
    ]
    assert np.array_equal(got.frames, np.stack([np.asarray(image).transpose(2, 0, 1) for image in expected]))
    for task in ("segmentation", "depth"):
        assert np.array_equal(got.targets[task], written.targets[task][..., 1::2, 1::2])
    assert got.targets["normals"].shape == (3, 30, 40)
    assert read(rooms, "test", height=90).clip(0, 2).frames.shape == (2, 3, 90, 120)


def test_exported_rooms_without_video(rooms: Path) -> None:
    last = world("test").clip(0, 1).frames[0]
    still, pan = read(rooms, "test", "still").clip(0, 3), read(rooms, "test", "pan").clip(0, 3)
    assert np.array_equal(still.frames, np.stack([last] * 3))
    assert np.array_equal(pan.frames[-1], last)
    assert not np.array_equal(pan.frames[0], last)


# the files ----------------------------------------------------------------------------------------------------------


def text(cell: h5py.Dataset) -> str:
    assert (cell.dtype, cell.shape[1]) == (np.uint16, 1)
    assert (cell.attrs["MATLAB_class"], cell.attrs["MATLAB_int_decode"]) == (b"char", 2)
    return "".join(map(chr, cell[:, 0]))


def test_the_labelled_file_is_matlabs(rooms: Path) -> None:
    with (rooms / MAT).open("rb") as stream:
        head = stream.read(128)
        assert head.startswith(b"MATLAB 7.3 MAT-file, ")
        file: Any = stream  # SciPy's stubs know paths alone
        assert scipy.io.matlab.matfile_version(file) == (2, 0)  # the version that means HDF5
    with pytest.raises(NotImplementedError, match=r"v7\.3"):
        scipy.io.loadmat(rooms / MAT)
    clip = world("train").clip(1, 1)
    with h5py.File(rooms / MAT, "r") as file:
        assert file.userblock_size == 512
        assert set(file) == {"#refs#", "images", "depths", "labels", "names", "rawRgbFilenames", "scenes"}
        for name, kind, shape in (
            ("images", "uint8", (3, 3, WIDTH, HEIGHT)),
            ("depths", "float32", (3, WIDTH, HEIGHT)),
            ("labels", "uint16", (3, WIDTH, HEIGHT)),
        ):
            assert (str(file[name].dtype), file[name].shape) == (kind, shape)
            assert file[name].attrs["MATLAB_class"] == (b"single" if kind == "float32" else kind.encode())
        cells = {name: [text(file[ref]) for ref in file[name][0]] for name in ("names", "rawRgbFilenames", "scenes")}
        for name, texts in cells.items():
            assert file[name].shape == (1, len(texts))
            assert file[name].attrs["MATLAB_class"] == b"cell"
        assert cells["names"] == list(class_by_name(13))
        assert file["images"][1, :, 7, 3].tolist() == clip.frames[0, :, 3, 7].tolist()  # width before height
        assert file["depths"][1, 7, 3] == clip.targets["depth"][0, 3, 7]
        label = cells["names"][file["labels"][1, 7, 3] - 1]
        assert class_by_name(13)[label] == clip.targets["segmentation"][3, 7]
    assert cells["scenes"] == ["rooms_train_0000", "rooms_train_0001", "rooms_test_0000"]
    assert cells["rawRgbFilenames"] == [f"{scene}/r-0.100000-3.ppm" for scene in cells["scenes"]]
    splits = scipy.io.loadmat(rooms / "splits.mat")
    assert splits["trainNdxs"].tolist() == [[1], [2]]
    assert splits["testNdxs"].tolist() == [[3]]


def test_which_files_there_are(rooms: Path) -> None:
    frames = ["r-0.000000-0.ppm", "r-0.033333-1.ppm", "r-0.066667-2.ppm", "r-0.100000-3.ppm"]
    scenes = ["rooms_train_0000", "rooms_train_0001", "rooms_test_0000"]
    expected = [f"raw/{scene}/{frame}" for scene in scenes for frame in frames]
    found = [path.relative_to(rooms).as_posix() for path in rooms.rglob("*") if path.is_file()]
    assert sorted(found) == sorted([*expected, MAT, "splits.mat", "camera.json"])
    for index, scene in enumerate(scenes[:2]):
        for frame, written in zip(frames, world("train").clip(index, LENGTH).frames, strict=True):
            with Image.open(rooms / "raw" / scene / frame) as image:
                assert image.format == "PPM"
                assert np.array_equal(np.asarray(image).transpose(2, 0, 1), written)  # the labelled frame's own as well
    camera = json.loads((rooms / "camera.json").read_text(encoding="utf-8"))
    assert camera == {
        **{"width": 80, "height": 60, "fx": 518.86 / 8, "fy": 519.47 / 8, "cx": 39.5, "cy": 29.5},
        **{"undistorted": True, "border": 0},
    }


def test_the_same_export_gives_the_same_labelled_file(rooms: Path, tmp_path: Path) -> None:
    export_rooms(tmp_path, TRAIN, TEST, SEED, HEIGHT, WIDTH, 1)
    with h5py.File(tmp_path / MAT, "r") as once, h5py.File(rooms / MAT, "r") as again:
        for name in ("images", "depths", "labels"):
            assert np.array_equal(once[name][:], again[name][:])  # labelled images are those of every length
    other = tmp_path / "other"
    export_rooms(other, TRAIN, TEST, SEED, HEIGHT, WIDTH, 1)
    assert (other / MAT).read_bytes() == (tmp_path / MAT).read_bytes()


def test_every_class_has_a_label_that_becomes_it() -> None:
    classes = NYUV2.task("segmentation").classes
    assert set(LABEL_OF_CLASS) == set(classes)
    assert [class_by_name(13)[LABEL_OF_CLASS[name]] for name in classes] == list(range(13))


# interrupted, refused -----------------------------------------------------------------------------------------------


def test_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int, bool]] = []

    def note(done: int, total: int) -> None:
        seen.append((done, total, (tmp_path / MAT).exists()))

    export_rooms(tmp_path, 2, 1, 0, 6, 8, 2, progress=note)  # three clips of two frames
    assert seen == [(done, 6, False) for done in range(1, 7)]
    seen.clear()
    export_street(tmp_path, "val", 2, 0, 8, 16, progress=note)  # two snippets of 20 frames
    assert [(done, total) for done, total, _ in seen] == [(done, 40) for done in range(1, 41)]


def stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("what", "how"),
    [("scipy.io.savemat", stop), ("mila.data.tools.export.write_json", full), ("PIL.Image.Image.save", full)],
)
def test_an_interrupted_export_is_no_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, how: Any
) -> None:
    monkeypatch.setattr(what, how)
    with pytest.raises((KeyboardInterrupt, UserError)) as caught:
        export_rooms(tmp_path / "a", 1, 1, 0, 6, 8, 2)
    monkeypatch.undo()
    if how is full:
        assert str(caught.value).endswith(
            "a cannot be written (No space left on device); free space there, or choose a folder that this user may "
            "write to."
        )
    left = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {".ppm", ".mat"}  # raw frames, splits.mat
    assert not list(tmp_path.rglob("*labeled*"))
    if (tmp_path / "a").exists():
        with pytest.raises(UserError, match="a holds no data set that is known here"):
            recognise(tmp_path / "a")
    if left:
        with pytest.raises(UserError, match="is not empty; export to a new folder, or delete what it holds"):
            export_rooms(tmp_path / "a", 1, 1, 0, 6, 8, 2)


def test_an_export_never_mixes_with_what_is_there(rooms: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in rooms.rglob("*"))
    with pytest.raises(UserError, match="nyu is not empty; export to a new folder"):
        export_rooms(rooms, 1, 1, 0, 6, 8, 1)
    assert sorted((path, path.stat().st_mtime_ns) for path in rooms.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "at least 1 clip"),
        ({"test": 0}, "at least 1 clip"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"height": 0}, "resolution must be positive"),
        ({"height": 81}, "Images of 80 x 81 are higher than wide"),
        ({"length": 0}, f"Clips of 0 frames are not read from NYUd v2; choose 1 to {LONGEST_CLIP}"),
        ({"length": LONGEST_CLIP + 1}, f"Clips of {LONGEST_CLIP + 1} frames"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        export_rooms(tmp_path / "a", **{"train": 1, "test": 1, "height": 60, "width": 80, "length": 2, **options})
    assert not (tmp_path / "a").exists()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"file.* cannot be written \(Not a directory\)"):
            export_rooms(root, 1, 1, 0, 6, 8, 1)
