"""Data sets in a user's file: what is wrong with one is a sentence with the file, before anything is made of it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mila.common.user_code import load_file
from mila.data.own import load_data_set, own_layout
from mila.data.own_clips import OwnClips
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.layouts import recognise
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from mila.tasks import Suite, depth_task, normals_task, segmentation_task
from tests.support.camvid import camvid_file, fake_camvid
from tests.support.own_data import own_file

SIZE: dict[str, Any] = {"mode": "video", "height": 20, "width": 28}


@pytest.fixture(autouse=True)
def _anew() -> None:
    load_file.cache_clear()


def open_own(file: Path, split: str = "train") -> OwnClips:
    layout = own_layout(file, file.parent)
    source = layout.open(split, suite=layout.suites[0], **SIZE)
    assert isinstance(source, OwnClips)
    return source


def test_a_file_is_read_like_a_data_set_of_the_suite(tmp_path: Path) -> None:
    source = open_own(own_file(tmp_path))
    tasks = (segmentation_task(["near", "far"]), depth_task(), normals_task())
    assert source.suite == Suite("mine", tasks, height=64, width=96)
    assert (len(source), source.height, source.width) == (4, 20, 28)
    clip, longer = source.clip(1, 2), source.clip(1, 5)
    assert clip.frames.shape == (2, 3, 20, 28)
    assert np.array_equal(clip.frames, longer.frames[-2:])
    manifest = source.manifest()
    assert {name: manifest[name] for name in ("dataset", "suite", "split", "items", "version", "like")} == {
        "dataset": "mine",
        "suite": "mine",
        "split": "train",
        "items": 4,
        "version": 1,
        "like": "rooms",
    }
    assert manifest["file"].startswith("mine.py ")


def test_the_same_file_elsewhere_is_the_same_data_and_another_one_is_not(tmp_path: Path) -> None:
    here, there = open_own(own_file(tmp_path / "here")), open_own(own_file(tmp_path / "there"))
    assert here.manifest() == there.manifest()
    changed = open_own(own_file(tmp_path / "changed", ('"near", "far"', '"far", "near"')))
    assert changed.manifest()["tasks"] != here.manifest()["tasks"]


def test_other_processes_get_the_clips(tmp_path: Path) -> None:
    source = open_own(own_file(tmp_path))
    again = pickle.loads(pickle.dumps(source))
    assert again.manifest() == source.manifest()
    assert np.array_equal(again.clip(3, 2).frames, source.clip(3, 2).frames)


def test_a_packed_store_opens_without_the_file(tmp_path: Path) -> None:
    file = own_file(tmp_path / "code")
    for split in ("train", "test"):
        pack(open_own(file, split), 3, tmp_path / "store" / split)
    source, layout = open_own(file), own_layout(file, tmp_path / "store")
    assert (layout.title, layout.packed, layout.suites) == ("packed store of mine", True, (source.suite,))
    file.unlink()
    found = recognise(tmp_path / "store")
    assert (found.dataset, found.suites, found.scored) == ("mine", (source.suite,), "test")
    packed, clip = PackedClips(tmp_path / "store" / "train").clip(2, 3), source.clip(2, 3)
    assert np.array_equal(packed.frames, clip.frames)
    assert np.array_equal(packed.targets["segmentation"], clip.targets["segmentation"])
    depth = clip.targets["depth"]
    assert depth.max() > 65.535  # beyond millimetres in 16 bits
    np.testing.assert_allclose(packed.targets["depth"], depth, rtol=2**-11)
    assert inspect(tmp_path / "store").ok


def test_a_store_of_other_tasks_or_other_data_is_refused(tmp_path: Path) -> None:
    pack(open_own(own_file(tmp_path / "one"), "test"), 2, tmp_path / "store" / "test")
    other = own_file(tmp_path / "two", ('"near", "far"', '"far", "near"'))
    with pytest.raises(UserError, match=r"was prepared with other tasks, classes or colours than .*two/mine\.py has"):
        own_layout(other, tmp_path / "store")
    renamed = own_file(tmp_path / "three", ('DataSet("mine"', 'DataSet("yours"'))
    with pytest.raises(UserError, match=r"is a packed store of mine, but .*three/mine\.py is of 'yours'"):
        own_layout(renamed, tmp_path / "store")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("DATA_SET = ", "DATA = ", "defines no DATA_SET that is a mila.data.own.DataSet"),
        ("import numpy", "import nothing_like_it, numpy", "line 5 cannot be run as Python (ModuleNotFoundError"),
        ("class Mine:", "class Mine", "cannot be run as Python (SyntaxError"),
        ('DataSet("mine"', 'DataSet("My data"', "the name 'My data' cannot be used; take lower-case letters"),
        ('DataSet("mine"', 'DataSet("rooms"', "the name 'rooms' cannot be used"),
        ("SUITE, Mine,", "SUITE, 7,", "open is no function"),
        ("SUITE, Mine,", '"mine", Mine,', "suite is str, not a mila.tasks.Suite"),
        ('Suite("mine"', 'Suite("nyuv2"', "its suite cannot be called 'nyuv2'"),
        ("height=64", "height=0", "its suite is 0 x 96 pixels"),
        ("TASKS, height", "list(TASKS), height", "its suite needs a tuple of tasks"),
        ("TASKS, height", "(TASKS[0], TASKS[0]), height", "take each of segmentation, depth and normals once at most"),
        ('("near", "far")', '("near", "near")', "cannot be run as Python (ValueError: there are 1 to 128 classes"),
        ('like="rooms"', 'like="forest"', "like is 'forest'; choose street or rooms"),
        ('like="rooms"', 'splits=("train", "dev")', "splits is ('train', 'dev'); give a tuple of some of train, val"),
        ('like="rooms"', 'splits=("train", "val")', "and scored 'test'; there must be train, and another"),
        ('like="rooms"', 'chosen_on="val"', "chosen_on is 'val'; give another of its splits"),
        ('like="rooms"', "modes=()", "modes is (); give a tuple of some of video, pan, still"),
    ],
)
def test_mistakes_in_what_the_file_says_are_named(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    file = own_file(tmp_path, (old, new))
    with pytest.raises(UserError, match=re.escape(sentence)) as raised:
        load_data_set(file)
    assert str(file) in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("def files(", "def file(", "what open gives for train has no files; add what is missing"),
        ("return 4", "return 0", "the split train in"),
        ("return 4", "return 1 // 0", "__len__ ends with ZeroDivisionError: integer division or modulo by zero, line"),
        ("100}[split]", "100}['x']", "open ends with KeyError: 'x', line 17; mend it"),
        ("return Clip(frames", "return (frames", "clip 0 of train"),
        ("dtype=np.uint8", "dtype=np.uint16", "frames is uint16 [2, 3, 20, 28], not uint8 [2, 3, 20, 28]"),
        ("frames[-length:]", "frames[-1:]", "frames is uint8 [1, 3, 20, 28], not uint8 [2, 3, 20, 28]"),
        (
            "in SUITE.tasks}",
            "in TASKS[1:]}",
            "it has the targets depth, normals, but the tasks are depth, normals, segm",
        ),
        ("labels.astype(np.int64)", "labels", "the target segmentation is int32 [20, 28], not int64 [20, 28]"),
        ("labels.astype(np.int64)", "labels.astype(np.int64) + 2", "label 3 is none of 0 to 1, nor -1 for what is not"),
        ("labels.astype(np.int64)", "labels.astype(np.int64) - 3", "label -4 is none of 0 to 1"),
        ("depth[None]", "depth", "the target depth is float32 [20, 28], not float32 [1, 20, 28]"),
        ("depth[None]", "-depth[None]", "write 0 where it is not known"),
        ("depth[None]", "depth[None] / np.float32(0)", "depth holds what is no finite number"),
        ('"normals": normals', '"normals": 2 * normals', "normals are unit vectors, or 0"),
        ('{"version": 1}', '{"version": Path()}', "manifest() gives what is no JSON object"),
    ],
)
def test_mistakes_of_the_reader_are_named_before_anything_is_made(
    old: str, new: str, sentence: str, tmp_path: Path
) -> None:
    file = own_file(tmp_path, (old, new))

    def read() -> None:
        source = open_own(file)
        source.check(2)
        source.manifest()

    with np.errstate(all="ignore"), pytest.raises(UserError, match=re.escape(sentence)) as raised:
        read()
    assert str(raised.value).startswith(f"{file}: ")


def test_there_is_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "mine.py", tmp_path):
        with pytest.raises(UserError, match=re.escape(f"--data {path}: there is no such Python file")):
            load_data_set(path)


def test_a_script_that_starts_itself_again_is_told_so(tmp_path: Path) -> None:
    """Without `if __name__ == "__main__"` it would run for ever."""
    file = tmp_path / "loop.py"
    file.write_text(
        "from pathlib import Path\nfrom mila.data.own import load_data_set\nload_data_set(Path(__file__))\n",
        encoding="utf-8",
    )
    with pytest.raises(UserError, match=r"line 3 cannot be run as Python .*starts itself again when it is read"):
        load_data_set(file)


def test_inspection_lists_what_the_file_s_reader_finds(tmp_path: Path) -> None:
    root, file = fake_camvid(tmp_path / "data"), camvid_file(tmp_path)
    found = inspect(own_layout(file, root), height=45, width=60)
    assert found.ok
    assert [(s.split, s.clips, dict(s.targets)) for s in found.splits] == [
        ("train", 6, {"segmentation": 6}),
        ("val", 8, {"segmentation": 8}),
        ("test", 8, {"segmentation": 8}),
    ]
    assert [s.note for s in found.splits] == [
        f"{n} of {m} images have frames before them" for n, m in ((0, 6), (7, 8), (7, 8))
    ]
    (root / "trainannot" / "0001TP_000090.png").unlink()
    (root / "test" / "Seq05VD_f00014.png").write_bytes(b"not an image")
    found = inspect(own_layout(file, root), height=45, width=60)
    assert [s.clips for s in found.splits] == [5, 8, 8]
    first, second = found.problems
    assert first.startswith(f"{root}/trainannot/0001TP_000090.png does not exist")
    assert second.startswith(f"{root}/test/Seq05VD_f00014.png cannot be read")
