"""The benchmark of rendering: what it prints and records, small, and what it says of bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from experiments.benchmarks.rendering import main
from tests.support.paths import ROOT

TINY = ["--repeats", "1", "--clips", "2", "--sizes", "12x24", "--lengths", "1", "2"]


@pytest.mark.slow
def test_it_times_two_checkouts_and_compares_their_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "mila", other / "mila", ignore=shutil.ignore_patterns("__pycache__"))
    street = other / "mila" / "data" / "worlds" / "street.py"
    changed = street.read_text(encoding="utf-8").replace("CAMERA_HEIGHT = 1.22", "CAMERA_HEIGHT = 1.3")
    street.write_text(changed, encoding="utf-8")
    assert main([*TINY, "--against", str(other), "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "OTHERS" in printed
    record = json.loads((tmp_path / "benchmarks" / "rendering.json").read_text())
    rows = record["rows"]
    assert [(row["world"], row["length"]) for row in rows] == [
        ("street", 1),
        ("street", 2),
        ("rooms", 1),
        ("rooms", 2),
    ]
    for row in rows:
        assert set(row["ms"]) == {"here", "against"}
        assert all(len(times) == 2 and min(times) > 0 for times in row["all_ms"].values())
        assert row["same_pixels"] == (row["world"] == "rooms")
        assert f"{row['ms']['here']:.2f}" in printed
    assert record["environment"]["threads"] == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--repeats", "0"], "--repeats takes a number from 1 up."),
        (["--clips", "-1"], "--clips takes a number from 1 up."),
        (["--lengths", "2", "0"], "--lengths takes numbers from 1 up."),
        (["--sizes", "64"], "--sizes takes heights and widths in pixels such as 256x512, not '64'."),
        (["--sizes", "0x9"], "--sizes takes heights and widths in pixels such as 256x512, not '0x9'."),
        (["--against", "nowhere"], "no checkout of this suite; name a folder that holds mila/."),
    ],
)
def test_bad_input_is_said_in_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--results", str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.rstrip().endswith(sentence)
    assert said.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_code_that_renders_nothing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = tmp_path / "broken" / "mila" / "data" / "worlds" / "clips.py"
    clips.parent.mkdir(parents=True)
    for folder in (clips.parent, clips.parents[1], clips.parents[2]):
        (folder / "__init__.py").touch()
    clips.write_text("raise RuntimeError('broken here')\n", encoding="utf-8")
    assert main([*TINY, "--against", str(tmp_path / "broken"), "--results", str(tmp_path / "results")]) == 2
    assert "broken renders no clips: RuntimeError: broken here" in capsys.readouterr().err
