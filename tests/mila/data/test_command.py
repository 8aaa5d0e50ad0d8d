"""The command line `python -m mila.data`: a world exported, prepared, inspected and opened for training."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.grids import GRIDS
from experiments.plan import make_plan
from experiments.profiles import SMOKE
from mila.common import progress
from mila.data.packed import PackedClips
from mila.data.worlds.clips import WorldClips
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2_40
from tests.support.data_command import assert_alike, main, prepare, size
from tests.support.fake_files import open_split


def test_export_says_at_once_what_it_does_and_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)  # a line as often as there is something to say
    assert main("export", "street", tmp_path / "[a]", "--train", 2, "--test", 1, *size("street")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"street: 2 clips to train on and 1 to score on go into {tmp_path / '[a]'}."
    assert lines[1].startswith("train, frames: 1 of 40, ")
    assert len(lines) == 1 + 40 + 20 + 1
    assert lines[-1].startswith(f"{tmp_path / '[a]'} is ready")


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
