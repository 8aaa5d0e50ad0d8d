"""NYUd v2 in plain folders: on small files written here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mila.data.colours import NOT_ANNOTATED
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from mila.tasks import NYUV2, NYUV2_40, VOID
from tests.support.fake_files import ramp, save


def test_nyu_values_shapes_and_types(nyu: Path) -> None:
    source = NYUv2Folders(nyu, "train", height=48, width=64)
    assert source.suite is NYUV2
    assert len(source) == 2
    clip = source.clip(1, 3)
    assert clip.frames.shape == (3, 3, 48, 64)
    assert clip.frames.dtype == np.uint8
    assert np.array_equal(clip.frames[-1], ramp(48, 64, 20).transpose(2, 0, 1))
    labels, depth, normals = (clip.targets[k] for k in ("segmentation", "depth", "normals"))
    assert [str(target.dtype) for target in (labels, depth, normals)] == ["int64", "float32", "float32"]
    assert (labels.shape, depth.shape, normals.shape) == ((48, 64), (1, 48, 64), (3, 48, 64))
    inside = (slice(8, 40), slice(8, 56))
    assert np.array_equal(labels[inside], np.broadcast_to((np.arange(64) + 2) % 14 - 1, (48, 64))[inside])
    assert np.allclose(depth[0][inside], 52.5 / 25.5)
    assert np.allclose(normals[(slice(None), *inside)], np.array([0, 0, -1])[:, None, None], atol=1e-3)
    border = np.ones((48, 64), np.bool_)
    border[inside] = False
    assert (labels[border] == VOID).all()
    assert not depth[0][border].any()
    assert not normals[:, border].any()


def test_nyu_without_a_border(nyu: Path) -> None:
    targets = NYUv2Folders(nyu, "test", height=48, width=64, border=0).clip(0, 1).targets
    assert (targets["depth"] > 0).all()
    assert targets["segmentation"][0, 0] == 0


def test_nyu_resizes_targets_without_mixing(nyu: Path) -> None:
    targets = NYUv2Folders(nyu, "train", height=24, width=32).clip(0, 1).targets
    assert targets["segmentation"].shape == (24, 32)
    assert np.array_equal(np.unique(targets["depth"]), np.array([0, 50.5 / 25.5], np.float32))
    assert np.array_equal(targets["segmentation"][10, 5:27], (np.arange(32) * 2 + 1)[5:27] % 14 - 1)


def test_nyu_sixteen_bit_depth_is_millimetres_and_zero_is_missing(nyu: Path) -> None:
    millimetres = np.full((48, 64), 2345, np.uint16)
    millimetres[20:24, 20:24] = 0
    save(nyu / "depth/0000.png", millimetres)
    source = NYUv2Folders(nyu, "train", height=48, width=64, limit=1)
    targets = source.clip(0, 1).targets
    assert np.isclose(targets["depth"][0, 10, 10], 2.345)
    assert not targets["depth"][0, 20:24, 20:24].any()
    assert not targets["normals"][:, 20:24, 20:24].any()
    assert source.manifest()["note"] == "16-bit depth, normals computed from depth"


def test_nyu_forty_classes(nyu: Path) -> None:
    with pytest.raises(UserError, match="labels40 does not exist, but the NYUd v2 folder labels40 is expected there"):
        NYUv2Folders(nyu, "train", height=48, width=64, classes=40)
    for i in range(4):
        save(nyu / f"labels40/{i:04d}.png", np.broadcast_to(np.arange(64, dtype=np.uint8) % 41, (48, 64)))
    few = NYUv2Folders(nyu, "train", height=48, width=64, border=0)
    shutil.rmtree(nyu / "labels13")  # of the two the wanted one is needed
    source = NYUv2Folders(nyu, "train", height=48, width=64, border=0, classes=40)
    assert source.suite is NYUV2_40
    assert source.clip(1, 1).targets["segmentation"][9].tolist() == [*range(VOID, 40), *range(VOID, 22)]
    assert source.files(1)[1:] == [nyu / f"{folder}/0002.png" for folder in ("rgb", "labels40", "depth")]
    assert (source.manifest()["suite"], few.suite.name) == ("nyuv2-40", "nyuv2")
    (nyu / "labels40/0002.png").unlink()
    with pytest.raises(UserError, match=r"labels40.0002\.png does not exist, but train\.txt lists it"):
        NYUv2Folders(nyu, "train", height=48, width=64, classes=40)
    save(nyu / "labels40/0000.png", np.full((48, 64), 41, np.uint8))
    with pytest.raises(
        UserError, match=r"0000\.png holds the label 41, but .* to 40; replace it by the 40-class label"
    ):
        source.clip(0, 1)


def test_the_suite_of_forty_classes() -> None:
    """Beside the colours that PASCAL VOC prints for its 20 classes, aeroplane to television, but for its grey car."""
    task = NYUV2_40.task("segmentation")
    assert (task.channels, len(task.classes), len(set(task.colours))) == (40, 40, 40)
    assert task.colours[:19] == (
        *((128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)),
        *((64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128)),
        *((192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128)),
    )
    apart = np.abs(np.array(task.colours) - np.array(NOT_ANNOTATED)).max(1)
    assert apart.min() > 40
    assert task.classes[0] == "wall"
    assert task.classes[23] == "refrigerator"
    assert task.classes[39] == "otherprop"
    assert NYUV2_40.tasks[1:] == NYUV2.tasks[1:]
    assert (NYUV2_40.height, NYUV2_40.width) == (288, 384)


def test_nyu_clip_does_not_depend_on_history(nyu: Path) -> None:
    first = NYUv2Folders(nyu, "train", height=24, width=32)
    long, again, short = first.clip(1, 6), first.clip(1, 6), first.clip(1, 3)
    assert np.array_equal(long.frames, again.frames)
    assert np.array_equal(long.frames[-3:], short.frames)
    still = NYUv2Folders(nyu, "train", height=24, width=32, mode="still").clip(1, 6)
    assert (still.frames == still.frames[-1]).all()
    assert np.array_equal(still.frames[-1], long.frames[-1])
    assert not np.array_equal(long.frames[-2], long.frames[-1])
    for task, target in long.targets.items():
        assert np.array_equal(target, still.targets[task])


def test_nyu_manifest_follows_the_data_and_not_their_place(nyu: Path, tmp_path: Path) -> None:
    before = NYUv2Folders(nyu, "train", height=24, width=32).manifest()
    assert json.loads(json.dumps(before)) == before
    assert before["items"] == 2
    assert before["targets"] == {"segmentation": 2, "depth": 2, "normals": 2}
    assert str(tmp_path) not in json.dumps(before)
    moved = tmp_path / "moved"
    shutil.move(nyu, moved)
    assert NYUv2Folders(moved, "train", height=24, width=32).manifest() == before
    assert NYUv2Folders(moved, "test", height=24, width=32).manifest() != before
    save(moved / "labels13/0002.png", np.random.default_rng(0).integers(0, 14, (48, 64), np.uint8))
    assert NYUv2Folders(moved, "train", height=24, width=32).manifest()["fingerprint"] != before["fingerprint"]


def test_nyu_note_names_jpeg(nyu: Path) -> None:
    Image.open(nyu / "rgb/0000.png").save(nyu / "rgb/0000.jpg")
    assert NYUv2Folders(nyu, "train", height=24, width=32).manifest()["note"].startswith("8-bit depth, JPEG images")


def test_nyu_takes_the_camera_that_is_stated(nyu: Path) -> None:
    before = NYUv2Folders(nyu, "train", height=48, width=64).manifest()
    assert (before["camera"], before["border"]) == ("NYUd v2", 8)
    fx, cx = 100.0, 20.0
    x = (np.arange(64) - cx) / fx
    millimetres = np.rint(1000 / (0.3 * x + 0.5))
    save(nyu / "depth/0000.png", np.broadcast_to(millimetres, (48, 64)).astype(np.uint16))
    camera = {"width": 64, "height": 48, "fx": fx, "fy": 100, "cx": cx, "cy": 24, "undistorted": True, "border": 2}
    (nyu / "camera.json").write_text(json.dumps(camera), encoding="utf-8")
    source = NYUv2Folders(nyu, "train", height=48, width=64, limit=1)
    targets = source.clip(0, 1).targets
    expected = -np.array([0.3, 0, 0.5]) / np.hypot(0.3, 0.5)
    assert np.allclose(targets["normals"][:, 2:-2, 2:-2], expected[:, None, None], atol=0.02)
    assert (targets["depth"] > 0).sum() == 44 * 60
    manifest = source.manifest()
    assert (manifest["camera"], manifest["border"]) == ("camera.json", 2)
    assert manifest["note"].endswith("camera.json at 64 x 48: fx 100.0 fy 100.0 cx 20.0 cy 24.0")
    assert (NYUv2Folders(nyu, "train", height=48, width=64, border=0).clip(0, 1).targets["depth"] > 0).all()
    save(nyu / "rgb/0000.png", ramp(24, 32))
    with pytest.raises(UserError, match=r"0000\.png is 32 x 24 pixels, but .*camera\.json states a camera of 64 x 48"):
        source.clip(0, 1)
    (nyu / "camera.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"camera\.json has no 'border'"):
        open_nyu(nyu)


def test_nyu_files_and_lengths(nyu: Path) -> None:
    source = open_nyu(nyu)
    assert (source.height, source.width) == (24, 32)
    images = [nyu / f"{folder}/0002.png" for folder in ("rgb", "labels13", "depth")]
    assert source.files(1) == [nyu / "train.txt", *images]
    for index in (-1, 2):
        with pytest.raises(IndexError):
            source.files(index)
    source.check(1000)
    with pytest.raises(UserError, match="clip of 0 frames"):
        source.check(0)


def test_nyu_problems_are_listed_and_their_items_left_out(nyu: Path) -> None:
    (nyu / "train.txt").write_text("0\nkitchen\n2\n1\n0\n9\n", encoding="utf-8")
    (nyu / "depth/0002.png").unlink()
    problems: list[str] = []
    source = NYUv2Folders(nyu, "train", height=24, width=32, problems=problems)
    assert [source.files(index)[1].name for index in range(len(source))] == ["0000.png", "0001.png"]
    listed = "does not exist, but train.txt lists it; restore the file or remove its number."
    assert problems == [
        f"{nyu}/train.txt, line 2: 'kitchen' is no image number; write one number a line.",
        f"{nyu}/train.txt, line 5: image 0 is listed twice; remove one of the two lines.",
        f"{nyu}/depth/0002.png {listed}",
        *(f"{nyu}/{name} {listed}" for name in ("rgb/0009.jpg", "labels13/0009.png", "depth/0009.png")),
    ]
    assert source.manifest()["items"] == 2
    (nyu / "train.txt").write_text("2\n9\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.txt lists no image that is complete"):
        NYUv2Folders(nyu, "train", height=24, width=32, problems=problems)
    shutil.rmtree(nyu / "rgb")
    with pytest.raises(UserError, match="rgb does not exist"):
        NYUv2Folders(nyu, "test", height=24, width=32, problems=problems)


def open_nyu(root: Path) -> NYUv2Folders:
    return NYUv2Folders(root, "train", height=24, width=32)


def test_nyu_missing_things_are_found_at_once(nyu: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_nyu(nyu / "nowhere")
    with pytest.raises(UserError, match=r"train\.txt is not a folder"):
        open_nyu(nyu / "train.txt")
    (nyu / "depth/0002.png").unlink()
    with pytest.raises(UserError, match=r"depth.0002\.png does not exist, but train\.txt lists it"):
        open_nyu(nyu)
    assert len(NYUv2Folders(nyu, "train", height=24, width=32, limit=1)) == 1
    shutil.rmtree(nyu / "labels13")
    with pytest.raises(UserError, match="labels13 does not exist"):
        open_nyu(nyu)
    (nyu / "train.txt").unlink()
    with pytest.raises(UserError, match=r"train\.txt does not exist"):
        open_nyu(nyu)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"train\.txt lists no image"),
        (b"0\nkitchen\n", r"train\.txt, line 2: 'kitchen' is no image number"),
        (b"0\n\n0\n", r"train\.txt, line 3: image 0 is listed twice"),
        (b"\xff\xff", r"train\.txt cannot be read"),
        (b"0\n7\n", r"rgb.0007\.jpg \(and 2 others\) does not exist"),
    ],
)
def test_nyu_bad_split_files(nyu: Path, content: bytes, message: str) -> None:
    (nyu / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        open_nyu(nyu)


def test_nyu_bad_files_are_named_when_read(nyu: Path) -> None:
    source = open_nyu(nyu)
    good = (nyu / "rgb/0002.png").read_bytes()
    (nyu / "rgb/0002.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(UserError, match=r"0002\.png cannot be read"):
        source.clip(1, 1)
    (nyu / "rgb/0002.png").write_bytes(b"a page that says 404")
    with pytest.raises(UserError, match=r"0002\.png cannot be read \(it is not an image\)"):
        source.clip(1, 1)
    (nyu / "rgb/0002.png").unlink()
    with pytest.raises(UserError, match=r"rgb.0002\.png does not exist"):
        source.clip(1, 1)
    with pytest.raises(UserError, match=r"rgb.0002\.png does not exist"):
        source.manifest()
    save(nyu / "rgb/0002.png", ramp(40, 64))
    with pytest.raises(UserError, match=r"labels13.0002\.png is 64 x 48 pixels, but .*0002\.png is 64 x 40"):
        source.clip(1, 1)


def test_nyu_bad_targets_are_named_when_read(nyu: Path) -> None:
    source = open_nyu(nyu)
    save(nyu / "labels13/0000.png", np.full((48, 64), 14, np.uint8))
    with pytest.raises(UserError, match=r"labels13.0000\.png holds the label 14"):
        source.clip(0, 1)
    save(nyu / "labels13/0000.png", ramp(48, 64))
    with pytest.raises(UserError, match=r"labels13.0000\.png has pixel format RGB"):
        source.clip(0, 1)
    save(nyu / "labels13/0000.png", np.zeros((48, 64), np.uint8))
    for bits in (np.uint8, np.uint16):
        save(nyu / "depth/0000.png", np.zeros((48, 64), bits))
        with pytest.raises(UserError, match=r"depth.0000\.png has no depth at any pixel"):
            source.clip(0, 1)
    save(nyu / "depth/0000.png", np.zeros((24, 32), np.uint8))
    with pytest.raises(UserError, match=r"depth.0000\.png is 32 x 24 pixels"):
        source.clip(0, 1)
    (nyu / "depth/0000.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"depth.0000\.png cannot be read"):
        source.manifest()


def test_bad_arguments(nyu: Path) -> None:
    with pytest.raises(UserError, match="no split 'val'"):
        NYUv2Folders(nyu, "val", height=24, width=32)
    with pytest.raises(UserError, match="no clip mode 'video'"):
        NYUv2Folders(nyu, "train", height=24, width=32, mode="video")
    with pytest.raises(UserError, match="32 x 0"):
        NYUv2Folders(nyu, "train", height=0, width=32)
    with pytest.raises(UserError, match="limit of 0"):
        NYUv2Folders(nyu, "train", height=24, width=32, limit=0)
    with pytest.raises(UserError, match="border of -1"):
        NYUv2Folders(nyu, "train", height=24, width=32, border=-1)
    with pytest.raises(UserError, match="clip of 0 frames"):
        open_nyu(nyu).clip(0, 0)
    for index in (-1, 2):
        with pytest.raises(IndexError):
            open_nyu(nyu).clip(index, 1)


def test_depth_of_8_and_16_bits_side_by_side_is_warned_of(nyu: Path) -> None:
    save(nyu / "depth/0002.png", np.full((48, 64), 2000, np.uint16))
    manifest = NYUv2Folders(nyu, "train", height=24, width=32).manifest()
    assert manifest["note"].startswith("8- and 16-bit depth, ")
    (warning,) = manifest["warnings"]
    assert warning.startswith(
        "split train has depth images of 8 bits (1; metres = (q + 0.5) / 25.5) and of 16 (1; milli"
    )
    assert inspect(nyu, workers=1, height=24, width=32).warnings == (warning,)
