"""`python -m mila.data` with bad input: one sentence, and nothing is written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.data_command import main, prepare, size, times
from tests.support.fake_files import write_plain


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
