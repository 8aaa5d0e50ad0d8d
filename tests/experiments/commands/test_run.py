"""The command line: what it lists, and what it says of bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.commands.run import main
from experiments.grids import BEYOND, FIGURES, GRIDS, TABLES
from tests.support.command_line import SMOKE_RUN, run_command


def test_help_and_list_name_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    options = ("--list", "--grid", "--rows", "--method", "--profile", "--data", "--data-root", "--seeds", "--dry-run")
    for option in options:
        assert option in text
    assert main(["--list"]) == 0
    text = capsys.readouterr().out
    grids = (*TABLES, *FIGURES, *GRIDS, *BEYOND)
    for name in (*grids, "table7", "quick", "smoke", "rooms", "street", "nyuv2", "cityscapes"):
        assert name in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say what to run with --grid"),
        (["--grid", "table99"], "there is no grid 'table99'; choose one of: table1"),
        (["--grid", "table1", "--profile", "huge"], "there is no profile 'huge'"),
        (["--grid", "table1", "--data", "kitti"], "there is no data set 'kitti'"),
        (["--grid", "table1", "--data", "street"], "'street' has those of 'cityscapes'"),
        (["--grid", "table1", "--data", "nyuv2"], "say where it lies with --data-root"),
        (["--grid", "table1", "--data", "nyuv2", "--data-root", "no/such folder"], "no/such folder"),
        (["--grid", "table1", "--data-root", "."], "leave it out"),
        (["--grid", "table1", "--mode", "still"], "no clips of mode 'still'"),
        (["--grid", "table1", "--seeds", "1", "1"], "--seeds takes different numbers"),
        (["--grid", "table1", "--seeds", str(2**64)], "--seeds takes different numbers from 0 up, at most 1844674407"),
        (["--grid", "table1", "--seeds", "-1"], "--seeds takes different numbers from 0 up"),
        (["--grid", "table1", "--time-limit", "inf"], "--time-limit takes minutes, more than 0 and at most 525600"),
        (["--grid", "table1", "--time-limit", "nan"], "--time-limit takes minutes, more than 0 and at most 525600"),
        (["--grid", "table1", "--time-limit", "1e300"], "--time-limit takes minutes, more than 0 and at most 525600"),
        (["--grid", "table1", "--jobs", "0"], "--jobs takes a number"),
        (["--grid", "table6", "--rows", "MTAN*"], "there is no row 'MTAN*'; choose from: None, Concatenation"),
        (["--grid", "table1", "--method", "nowhere.py"], "there is no such Python file"),
        (["--grid", "table6", "--data", "kitti"], "there is no data set 'kitti'"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert main([*words, "--results", str(results)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert not results.exists()


@pytest.mark.slow
def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = run_command(*SMOKE_RUN, "--results", str(tmp_path / "file"), code=2).stderr
    assert error.startswith("error: results cannot be written to")


def test_a_dry_run_wants_a_folder_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--grid", "table1", "--dry-run", "--results", str(tmp_path / "file")]) == 2
    assert "file is a file, but --results is a folder; give another one" in capsys.readouterr().err


def write_planes(folder: Path, images: int = 8) -> Path:
    """A folder in the plain NYUv2 layout: slanted coloured planes."""
    for name in ("rgb", "depth", "labels13"):
        (folder / name).mkdir(parents=True)
    y, x = np.mgrid[:120, :160]
    for i in range(images):
        depth = 40 + x // (2 + i % 3) + y // 4
        rgb = np.stack([x + 10 * i, y + 60, (x + y) // 2], -1) % 256
        Image.fromarray(rgb.astype(np.uint8)).save(folder / "rgb" / f"{i:04d}.jpg")
        Image.fromarray(depth.astype(np.uint8)).save(folder / "depth" / f"{i:04d}.png")
        Image.fromarray((1 + (x // 20 + i) % 13).astype(np.uint8)).save(folder / "labels13" / f"{i:04d}.png")
    (folder / "train.txt").write_text("\n".join(str(i) for i in range(images - 3)))
    (folder / "test.txt").write_text("\n".join(str(i) for i in range(images - 3, images)))
    return folder


@pytest.mark.slow
def test_an_unreadable_image_ends_the_run_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, results = write_planes(tmp_path / "données NYU"), tmp_path / "results"
    image = data / "rgb" / "0002.jpg"
    image.write_bytes(image.read_bytes()[:500])
    words = [*SMOKE_RUN, "--rows", "D101-MultiTask", "--data", "nyuv2", "--data-root", str(data), "--jobs", "1"]
    words += ["--results", str(results)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "0002.jpg" in error
    assert "Traceback" not in error
    assert not (results / "reports").exists()
    assert not list(results.glob("store/train/*/record.json"))
    image.write_bytes(image.with_name("0001.jpg").read_bytes())
    assert main(words) == 0
    assert "rooms" not in capsys.readouterr().out
    assert (results / "reports" / "table1-nyuv2-pan-smoke.csv").is_file()
