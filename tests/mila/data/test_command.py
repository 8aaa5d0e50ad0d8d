"""The command line `python -m mila.data`: a world exported, prepared, inspected and opened for training."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.grids import GRIDS
from experiments.plan import make_plan
from experiments.profiles import SMOKE
from mila.data import __main__ as command
from mila.data import prepare as prepare_module
from mila.data.clips import ClipSource
from mila.data.packed import PackedClips
from mila.data.readers.cityscapes import Cityscapes
from mila.data.worlds.clips import WorldClips
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2, NYUV2_40
from tests.support.fake_files import open_split, write_plain

SIZES = {"street": (32, 64), "rooms": (36, 48)}  # of the profile `smoke`


def size(world: str) -> list[str]:
    height, width = SIZES[world]
    return ["--height", str(height), "--width", str(width)]


def main(*words: object) -> int:
    return command.main([str(word) for word in words])


def export(world: str, folder: Path, train: int, test: int) -> Path:
    assert main("export", world, folder, "--train", train, "--test", test, *size(world)) == 0
    return folder


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three train snippets and a val snippet of 32 x 64."""
    return export("street", tmp_path_factory.mktemp("data") / "straße 1", 3, 1)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two train clips and a test clip of 36 x 48."""
    return export("rooms", tmp_path_factory.mktemp("data") / "données 2" / "nyu", 2, 1)


def contents(folder: Path) -> dict[str, bytes]:
    """The files that make a packed store; the locks are of no account."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_alike(packed: ClipSource, expected: ClipSource, length: int = 6) -> None:
    """The same clips, to within what packing rounds: half a millimetre, half a step of a PNG, 11 bits of a normal."""
    assert len(packed) == len(expected)
    steps = {"nyuv2": 0.001, "nyuv2-40": 0.001, "cityscapes": 1 / 65535}  # of depth that is stored in whole numbers
    for index in range(len(packed)):
        ours, theirs = packed.clip(index, length), expected.clip(index, length)
        assert np.array_equal(ours.frames, theirs.frames)
        assert set(ours.targets) == set(theirs.targets)
        for name, target in theirs.targets.items():
            if name == "segmentation":
                assert np.array_equal(ours.targets[name], target)
            elif name == "depth" and expected.suite.name in steps:
                atol = 0.51 * steps[expected.suite.name]
                np.testing.assert_allclose(ours.targets[name], target, rtol=0, atol=atol)
            else:
                np.testing.assert_allclose(ours.targets[name], target, rtol=2**-11, atol=1e-7)


# from a world to training ------------------------------------------------------------------------------------------


def test_street_to_training(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "lager ü 1"
    assert main("prepare", street, store, *size("street")) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == f"{street}: Cityscapes, official folders; cityscapes; frames of a video."
    assert [line.split()[:6] for line in lines if line.startswith(" train")] == [["train", "3", "6", "32", "x", "64"]]
    assert lines[-1] == f"{store} is ready: give it to experiments/run.py as --data-root."
    for split, clips in (("train", 3), ("val", 1)):
        packed = PackedClips(store / split)
        assert_alike(packed, WorldClips("street", split, clips=clips, height=32, width=64))  # type: ignore[arg-type]
        assert (packed.length, packed.mode) == (6, "video")

    assert main("inspect", store, "--no-sheet") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Everything that the splits name is there and reads well."

    plan = make_plan(GRIDS["table2"], SMOKE, "cityscapes", mode="video", root=store)
    train, scored = plan.train_data.source.open(), plan.test_data.source.open()
    assert isinstance(train, PackedClips)
    assert isinstance(scored, PackedClips)
    assert (train.folder, scored.folder) == (store / "train", store / "val")
    with pytest.raises(UserError, match="its val split is the one that is scored"):
        make_plan(GRIDS["table2"], SMOKE, "cityscapes", mode="video", root=store, split="val")
    with pytest.raises(UserError, match="holds packed store of Cityscapes, but --data is 'nyuv2'; correct one of the"):
        make_plan(GRIDS["table1"], SMOKE, "nyuv2", mode="video", root=store)


def test_rooms_to_training(rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert main("prepare", rooms, store, *size("rooms")) == 0
    for split, clips in (("train", 2), ("test", 1)):
        packed = PackedClips(store / split)
        world = WorldClips("rooms", split, clips=clips, height=36, width=48)  # type: ignore[arg-type]
        assert_alike(packed, open_split(rooms, split, mode="video", height=36, width=48))
        for index in range(clips):
            ours, theirs = packed.clip(index, 6), world.clip(index, 6)
            assert np.array_equal(ours.frames, theirs.frames)
            assert np.array_equal(ours.targets["segmentation"], theirs.targets["segmentation"])
            np.testing.assert_allclose(ours.targets["depth"], theirs.targets["depth"], atol=0.00051)
    capsys.readouterr()
    assert main("inspect", rooms, "--no-sheet", *size("rooms")) == 0
    assert "train: 2 clips with raw video, 0 without (pans)." in capsys.readouterr().out
    assert main("inspect", store, "--no-sheet") == 0
    plan = make_plan(GRIDS["table1"], SMOKE, "nyuv2", mode="video", root=store)
    assert plan.test_data.source.open().folder == store / "test"  # type: ignore[attr-defined]


def test_forty_classes_to_training(rooms: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert main("prepare", rooms, store, "--suite", "nyuv2-40", "--mode", "still", *size("rooms")) == 0
    assert_alike(
        PackedClips(store / "train"),
        open_split(rooms, "train", suite=NYUV2_40, mode="still", height=36, width=48),
    )
    plan = make_plan(GRIDS["table1"], SMOKE, "nyuv2", mode="still", suite=NYUV2_40, root=store)
    assert plan.suite is NYUV2_40
    assert plan.test_data.source.open().suite is NYUV2_40
    with pytest.raises(UserError, match="has no tasks 'nyuv2': packed store of NYUd v2 has nyuv2-40"):
        make_plan(GRIDS["table1"], SMOKE, "nyuv2", mode="still", root=store)


# options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "clips", "suite", "mode", "length"),
    [
        (["--limit", "2"], {"train": 2, "val": 1}, CITYSCAPES, "video", 6),
        (["--splits", "val"], {"val": 1}, CITYSCAPES, "video", 6),
        (["--splits", "val", "train", "--limit", "1"], {"train": 1, "val": 1}, CITYSCAPES, "video", 6),
        (["--suite", "cityscapes19", "--limit", "1"], {"train": 1, "val": 1}, CITYSCAPES19, "video", 6),
        (["--suite", "cityscapes-metres", "--mode", "pan"], {"train": 3, "val": 1}, CITYSCAPES_METRES, "pan", 6),
        (["--mode", "still", "--length", "21", "--jobs", "1"], {"train": 3, "val": 1}, CITYSCAPES, "still", 21),
        (["--length", "1"], {"train": 3, "val": 1}, CITYSCAPES, "video", 1),
    ],
)
def test_options(
    words: list[str], clips: dict[str, int], suite: Any, mode: str, length: int, street: Path, tmp_path: Path
) -> None:
    assert main("prepare", street, tmp_path, *size("street"), *words) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(clips)
    for split, count in clips.items():
        packed = PackedClips(tmp_path / split)
        assert (len(packed), packed.suite, packed.mode, packed.length) == (count, suite, mode, length)
        source = open_split(street, split, suite=suite, mode=mode, height=32, width=64, limit=count)
        assert_alike(packed, source, length)


def test_the_paper_s_size_is_the_default(street: Path, tmp_path: Path) -> None:
    assert main("prepare", street, tmp_path, "--limit", 1, "--splits", "val", "--length", 1) == 0
    packed = PackedClips(tmp_path / "val")
    assert (packed.height, packed.width) == (CITYSCAPES.height, CITYSCAPES.width)


# again, otherwise, interrupted --------------------------------------------------------------------------------------


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}


def prepare(street: Path, store: Path, *words: object) -> int:
    return main("prepare", street, store, *size("street"), *words)


def test_what_is_prepared_is_not_prepared_again(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(street, tmp_path) == 0
    before = times(tmp_path)

    def fail(*_: object) -> None:
        raise AssertionError("a clip was read again")

    monkeypatch.setattr(Cityscapes, "clip", fail)
    capsys.readouterr()
    assert prepare(street, tmp_path) == 0
    assert times(tmp_path) == before
    assert "0 bytes are needed" in capsys.readouterr().out
    assert prepare(street, tmp_path, "--length", 4) == 0  # longer clips will do
    assert times(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [["--height", "16"], ["--length", "7"], ["--suite", "cityscapes19"], ["--mode", "pan"], ["--limit", "1"]],
)
def test_something_else_does_not_go_into_the_same_store(
    words: list[str], street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(street, tmp_path, "--length", 6) == 0
    before = times(tmp_path)
    capsys.readouterr()
    assert prepare(street, tmp_path, *words) == 2
    assert re.fullmatch(
        r"error: .*train holds another data set already, or this one from other files, at another size or with shorter "
        r"clips; delete it or choose another folder\.\n",
        capsys.readouterr().err,
    )
    assert times(tmp_path) == before


def test_interrupted_is_continued(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert prepare(street, whole) == 0
    read, asked = Cityscapes.clip, list[int]()

    def stop(source: Cityscapes, index: int, length: int) -> Any:
        if index == 2:
            raise KeyboardInterrupt
        return read(source, index, length)

    monkeypatch.setattr(Cityscapes, "clip", stop)
    capsys.readouterr()
    assert prepare(street, part, "--jobs", 1) == 130
    assert capsys.readouterr().err == "\ninterrupted; the same command continues.\n"
    assert not list(part.rglob("manifest.json"))

    def count(source: Cityscapes, index: int, length: int) -> Any:
        asked.append(index)
        return read(source, index, length)

    monkeypatch.setattr(Cityscapes, "clip", count)
    assert prepare(street, part, "--jobs", 1) == 0
    assert asked in ([2, 0], [1, 2, 0])  # the last part of train that was not seen to its end; val
    assert contents(part) == contents(whole)


# space --------------------------------------------------------------------------------------------------------------


def test_the_space_is_stated_before_anything_is_written(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    printed: list[str] = []

    def check(*_: object, **__: object) -> None:
        printed.append(capsys.readouterr().out)
        assert not store.exists()

    monkeypatch.setattr(prepare_module, "pack", check)
    assert prepare(street, store) == 0
    # 3 and 1 clips of 6 frames, labels and 16-bit depth: 6 * 3 + 1 + 2 bytes a pixel
    assert f"172.0 kB are needed in {store}" in printed[0]
    assert re.search(r"train +3 +6 +32 x 64 +129\.0 kB +110\.6 kB", printed[0])


def test_too_little_space_is_said_before_anything_is_written(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=170_000))
    assert prepare(street, tmp_path / "store") == 2
    assert re.fullmatch(
        r"error: .*store needs 172\.0 kB, but the disk has 170\.0 kB free; free some space, or choose another folder, "
        r"shorter clips \(--length\) or smaller frames\.\n",
        capsys.readouterr().err,
    )
    assert not (tmp_path / "store").exists()


# inspect ------------------------------------------------------------------------------------------------------------


def test_inspect_says_what_is_wrong(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "kaputt ß"
    shutil.copytree(street, root)
    labels = root / "gtFine/train/street/street_000001_000019_gtFine_labelIds.png"
    labels.write_bytes(labels.read_bytes()[:60])
    (root / "gtFine/test").mkdir()
    capsys.readouterr()
    assert main("inspect", root, *size("street"), "--sheet", tmp_path / "sheet.png", "--jobs", 1) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{labels} cannot be read" in out
    assert f"{root}/leftImg8bit_sequence/test does not exist" in out
    assert "2 problems, listed above." in out
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["sheet-train.png", "sheet-val.png"]
    assert main("inspect", root, *size("street"), "--suite", "cityscapes19", "--mode", "still", "--no-sheet") == 1
    assert "cityscapes19 (labels)" in capsys.readouterr().out


def test_inspect_finds_damage_in_a_store(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(street, tmp_path / "store") == 0
    frames = tmp_path / "store/train/frames.npy"
    with frames.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([frames.read_bytes()[-1] ^ 1]))
    capsys.readouterr()
    assert main("inspect", tmp_path / "store", "--no-sheet") == 1
    assert f"{frames} is damaged at clip 2; delete {frames.parent} and prepare it again." in capsys.readouterr().out


# bad input ----------------------------------------------------------------------------------------------------------


def nothing(root: Path) -> None:
    """Leave the street as it is."""


def without_annotated_image(root: Path) -> None:
    for folder in ("leftImg8bit", "leftImg8bit_sequence"):
        (root / f"{folder}/train/street/street_000002_000019_leftImg8bit.png").unlink()


@pytest.mark.parametrize(
    ("words", "spoil", "sentence"),
    [
        (
            ["no/such folder", "STORE"],
            nothing,
            "no/such folder does not exist, but the folder of a data set is expecte",
        ),
        (["EMPTY", "STORE"], nothing, "holds no data set that is known here"),
        (["FILE", "STORE"], nothing, "file is not a folder"),
        (["ROOT", "FILE"], nothing, "file cannot be used (Not a directory); choose another folder"),
        (["ROOT", "FILE/below"], nothing, "cannot be written (Not a directory); choose a folder that this user may w"),
        (["ROOT", "ROOT"], nothing, "which is no packed split; choose an empty or a new folder"),
        (["PACKED", "STORE"], nothing, "packed is a packed store already; train from it, or prepare the data set its"),
        (
            ["ROOT", "STORE", "--suite", "nyuv2"],
            nothing,
            "has no tasks 'nyuv2'; choose one of cityscapes, cityscapes-m",
        ),
        (["ROOT", "STORE", "--suite", ""], nothing, "has no tasks ''"),
        (["PLAIN", "STORE", "--mode", "video"], nothing, "has no clips of mode 'video'; choose one of pan, still"),
        (["PLAIN", "STORE", "--suite", "nyuv2-40"], nothing, "has no tasks 'nyuv2-40'; choose one of nyuv2"),
        (["ROOT", "STORE", "--splits", "test"], nothing, "has no split 'test': Cityscapes, official folders has train"),
        (["ROOT", "STORE", "--limit", "0"], nothing, "A limit of 0 leaves no item"),
        (["ROOT", "STORE", "--height", "0"], nothing, "An image size of 64 x 0 is not possible"),
        (["ROOT", "STORE", "--width", "-8"], nothing, "An image size of -8 x 32 is not possible"),
        (["ROOT", "STORE", "--jobs", "0"], nothing, "--jobs takes a number from 1 up"),
        (["ROOT", "STORE", "--length", "0"], nothing, "A clip of 0 frames"),
        (["ROOT", "STORE", "--length", "21"], nothing, "A clip of 21 frames is longer than the 20 frames"),
        (["ROOT", "STORE"], without_annotated_image, "street_000002_000019_leftImg8bit.png does not exist (nor as .jp"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: list[str],
    spoil: Callable[[Path], None],
    sentence: str,
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = {name: str(tmp_path / name.lower()) for name in ("ROOT", "STORE", "EMPTY", "FILE", "PACKED", "PLAIN")}
    shutil.copytree(street, named["ROOT"])
    spoil(tmp_path / "root")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    write_plain(tmp_path / "plain")
    if "PACKED" in words:
        assert prepare(street, tmp_path / "packed") == 0
    before = times(tmp_path)
    capsys.readouterr()
    how = [] if words[0] == "PLAIN" else size("street")
    filled = [re.sub("^[A-Z]+", lambda found: named[found[0]], word) for word in words]
    assert main("prepare", *how, *filled) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert error.endswith(".\n")
    assert times(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["inspect", "no/such folder"], "no/such folder does not exist"),
        (["inspect", "ROOT", "--suite", "nyuv2"], "has no tasks 'nyuv2'"),
        (["inspect", "ROOT", "--jobs", "-1"], "--jobs takes a number from 1 up"),
        (["inspect", "ROOT", "--height", "0"], "An image size of 64 x 0 is not possible"),
        (
            ["inspect", "ROOT", "--width", "64", "--height", "32", "--sheet", "FILE/x.png"],
            "x-train.png cannot be written (",
        ),
        (["export", "street", "ROOT"], "holds labels already; export to an empty folder"),
        (["export", "rooms", "ROOT"], "is not empty; export to a new folder"),
        (["export", "street", "NEW", "--train", "0"], "at least 1 clip"),
        (["export", "rooms", "NEW", "--test", "0"], "at least 1 clip"),
        (["export", "rooms", "NEW", "--height", "0"], "resolution must be positive"),
        (["export", "rooms", "FILE"], "file cannot be written (Not a directory)"),
    ],
)
def test_bad_input_of_the_other_commands(
    words: list[str], sentence: str, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    places = {"ROOT": str(street), "FILE": str(tmp_path / "file"), "NEW": str(tmp_path / "new")}
    filled = [re.sub("^[A-Z]+", lambda found: places[found[0]], word) for word in words]
    filled += [] if words[0] == "export" or "--height" in words else ["--height", "32"]
    filled += [] if words[0] == "export" or "--width" in words else ["--width", "64"]
    before = times(street)
    assert main(*filled) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert times(street) == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("words", [[], ["pack"], ["prepare", "a"], ["prepare", "a", "b", "--mode", "film"]])
def test_words_that_are_no_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(*words)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


# a process of its own -----------------------------------------------------------------------------------------------


def test_the_command_by_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mila.data", "prepare", "no such ü", tmp_path / "store"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: no such ü does not exist, but the folder of a data set is expected there; correct the path or unpack "
        "the data set.\n"
    )
    assert not (tmp_path / "store").exists()


def test_ctrl_c_in_earnest(nyu: Path, tmp_path: Path) -> None:
    """200 images; the signal comes once some are done."""
    for name in ("rgb", "depth", "labels13"):
        for number in range(4, 200):
            os.link(nyu / f"{name}/0000.png", nyu / f"{name}/{number:04d}.png")
    (nyu / "train.txt").write_text("\n".join(map(str, range(200))))
    store = tmp_path / "store"
    words = ["prepare", str(nyu), str(store), "--height", "24", "--width", "32", "--length", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mila.data", *words],
        stderr=subprocess.PIPE,
        text=True,
        # a caller in the background of a script ignores Ctrl-C, and would hand that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal = store / "train" / "unfinished.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_text().count("\n") > 20):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "\ninterrupted; the same command continues.\n")
    assert not list(store.rglob("manifest.json"))
    assert journal.read_text().count("\n") > 20
    assert main(*words) == 0
    assert (len(PackedClips(store / "train")), len(PackedClips(store / "test"))) == (200, 2)
    assert PackedClips(store / "train").verify() == []
    assert PackedClips(store / "train").suite is NYUV2
