"""`python -m mila.data prepare` again, otherwise, interrupted, and where space is short."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mila.data import prepare as prepare_module
from mila.data.packed import PackedClips
from mila.data.readers.cityscapes import Cityscapes
from mila.tasks import NYUV2
from tests.support.data_command import contents, main, prepare, times


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
        r"error: .*train holds another data set already, or this one from other or changed files, at another size or "
        r"with shorter clips; delete it or choose another folder\.\n",
        capsys.readouterr().err,
    )
    assert times(tmp_path) == before


def rewrite(path: Path) -> None:
    """Another content of the same size."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_changed_contents_do_not_pass_for_what_was_prepared(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, store = tmp_path / "changed", tmp_path / "store"
    shutil.copytree(street, root)
    assert prepare(root, store) == 0
    before = times(store)
    rewrite(next(root.rglob("train/**/*_labelIds.png")))
    capsys.readouterr()
    assert prepare(root, store) == 2
    assert "this one from other or changed files" in capsys.readouterr().err
    assert times(store) == before


def test_data_that_change_while_they_are_prepared_are_refused(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, read = tmp_path / "changing", Cityscapes.clip
    shutil.copytree(street, root)

    def change(source: Cityscapes, index: int, length: int) -> Any:
        clip = read(source, index, length)
        if index == 0:
            rewrite(source.files(0)[-2])
        return clip

    monkeypatch.setattr(Cityscapes, "clip", change)
    assert prepare(root, tmp_path / "store", "--jobs", 1) == 2
    assert "the data changed while" in capsys.readouterr().err
    assert not list((tmp_path / "store").rglob("manifest.json"))
    monkeypatch.setattr(Cityscapes, "clip", read)
    assert prepare(root, tmp_path / "store") == 0
    assert prepare(root, tmp_path / "anew") == 0
    assert contents(tmp_path / "store") == contents(tmp_path / "anew")  # also the clip that had changed


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


# a process of its own -----------------------------------------------------------------------------------------------


@pytest.mark.slow
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
