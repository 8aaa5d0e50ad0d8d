"""Folders and disks that refuse, and stores of another version: one sentence; mended, all goes on."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mila.data import prepare
from mila.data.__main__ import main
from mila.data.journal import Journal
from mila.data.readers.layouts import recognise
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from tests.support.sound_data import LAYOUTS, LENGTH, assert_prepared, command

# folders that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "folder"),
    [
        ("cityscapes", "gtFine/train"),
        ("cityscapes", "gtFine/train/street"),
        ("cityscapes", "leftImg8bit_sequence/train/street"),
        ("mtan", "train/image"),
        ("mtan", "train/label"),
        ("official", "kitchen_0004"),
        ("plain", "rgb"),
        ("plain", "labels13"),
        ("plain", "."),
    ],
)
def test_folders_that_cannot_be_read(
    layout: str,
    folder: str,
    sound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the system says to a user who may neither list the folder nor look into it; root may always."""
    closed, store = sound / layout / folder, tmp_path / "store"

    def guarded(function: Callable[..., Any], *, inside: bool) -> Callable[..., Any]:
        def guard(path: Any, *rest: Any, **how: Any) -> Any:
            if isinstance(path, (str, Path)) and closed == (Path(path).parent if inside else Path(path)):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path, *rest, **how)

        return guard

    monkeypatch.setattr(Path, "stat", guarded(Path.stat, inside=True))
    monkeypatch.setattr(Path, "open", guarded(Path.open, inside=True))
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), inside=False))
    monkeypatch.setattr(Path, "iterdir", guarded(Path.iterdir, inside=False))
    assert command(sound / layout, store) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {closed}")
    assert "Permission denied" in error
    assert len(error.splitlines()) == 1
    assert "give this user the right to read it" in error or "allow reading it" in error
    assert not store.exists()
    monkeypatch.undo()
    assert command(sound / layout, store) == 0
    assert_prepared(store)


# hidden files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hidden_files_of_macos_are_passed_over(layout: str, sound: Path, tmp_path: Path) -> None:
    """An archive packed on macOS has a `._NAME` beside every file NAME, and `.DS_Store` in folders."""
    root = shutil.copytree(sound / layout, tmp_path / "data")
    before = inspect(root, workers=1, height=24, width=32, length=LENGTH)
    for path in list(root.rglob("*")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        path.with_name(".DS_Store").write_bytes(b"\0")
    (root / ".Trashes").mkdir()
    after = inspect(root, workers=1, height=24, width=32, length=LENGTH)
    assert before.ok
    assert (after.problems, after.strays, after.splits) == (before.problems, before.strays, before.splits)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".DS_Store").write_bytes(b"\0")
    assert command(root, tmp_path / "store") == 0


# the store ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            (os, "posix_fallocate"),
            r"store/train needs .*, but the disk has .* free; free some space, choose another fold",
        ),
        ((prepare, "write_json"), "the disk of .* is full; free some space and run again: what is done is kept."),
        ((Journal, "add"), "the disk of .* is full; free some space and run again: what is done is kept."),
    ],
    ids=["at the start", "at the end", "between"],
)
def test_a_full_disk(
    place: tuple[Any, str],
    sentence: str,
    sound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = tmp_path / "store"
    monkeypatch.setattr(*place, full)
    assert command(sound / "plain", store) == 2
    error = capsys.readouterr().err
    assert re.match(f"error: .*{sentence}", error)
    assert len(error.splitlines()) == 1
    assert not list(store.rglob("manifest.json"))
    with pytest.raises(UserError):
        recognise(store)
    monkeypatch.undo()
    assert command(sound / "plain", store) == 0
    assert_prepared(store)


def test_a_store_of_another_version(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(sound / "plain", tmp_path) == 0
    manifest = tmp_path / "train" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    before = manifest.read_bytes()
    capsys.readouterr()
    for words in (["prepare", sound / "plain", tmp_path], ["inspect", tmp_path]):
        assert main([str(word) for word in words]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {manifest} was written by another version of the suite (format 99, ")
        assert error.endswith(f"delete {manifest.parent} and prepare it again.\n")
        assert len(error.splitlines()) == 1
    assert manifest.read_bytes() == before
    shutil.rmtree(manifest.parent)
    assert command(sound / "plain", tmp_path) == 0
    assert_prepared(tmp_path)
