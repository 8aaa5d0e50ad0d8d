"""Options: their defaults, and the words that give them again, which a SLURM job's report is made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.commands.options import Options, read_options
from experiments.shipped import STUDY


def test_nothing_given_is_the_defaults() -> None:
    assert read_options([]) == Options()
    assert read_options([]).given() == {}
    assert read_options(["--seeds", "0", "--profile", "quick"]) == Options()
    assert read_options(["--split", "test"]).given() == {"split": "test"}  # the default is the grid's own


@pytest.mark.parametrize(
    "words",
    [
        ("--grid", "table1", "--rows", "MILA (ours)", "MTAN*", "--seeds", "0", "1"),
        (
            "--grid",
            "table2",
            "--method",
            "my methods/own.py",
            "--profile",
            "smoke",
            "--augmentation",
            "mtan",
            "--weights",
            "none",
        ),
        ("--grid", "table1", "--data", "nyuv2", "--data-root", "a folder", "--suite", "nyuv2_40", "--mode", "pan"),
        ("--split", "val", "--jobs", "2", "--device", "cpu", "--results", "elsewhere", "--time-limit", "1.5"),
        ("--dry-run", "--report", "--clean", "--yes"),
    ],
)
def test_the_words_give_the_same_options_again(words: tuple[str, ...]) -> None:
    options = read_options(list(words))
    assert options.words() == words
    assert not options.is_about_slurm()


def test_what_is_about_slurm_is_left_out_of_the_words() -> None:
    options = read_options(["--grid", "table1", "--slurm", "site.toml", "--wait"])
    assert options.is_about_slurm()
    assert (options.slurm, options.wait) == ("site.toml", "")
    assert options.words() == ("--grid", "table1")


def test_records_that_ship_are_of_study_and_say_themselves_which_seeds_they_have() -> None:
    options = read_options(["--grid", "table2", "--from-records"])
    assert (options.from_records, options.profile, options.seeds) == (STUDY, "study", ())
    assert options.words() == ("--grid", "table2", "--profile", "study", "--from-records", str(STUDY))
    options = read_options(["--grid", "table2", "--from-records", "some.tar.xz", "--seeds", "0", "--profile", "quick"])
    assert (options.from_records, options.profile, options.seeds) == (Path("some.tar.xz"), "quick", (0,))


def test_paths_are_paths_and_limits_are_seconds() -> None:
    options = read_options(["--results", "elsewhere", "--time-limit", "1.5"])
    assert options.store == Path("elsewhere") / "store"
    assert options.seconds_limit == 90


@pytest.mark.parametrize("option", ["--results", "--data-root", "--from-records", "--method"])
def test_an_empty_path_is_never_the_current_folder(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read_options(["--grid", "table2", option, ""])
    assert f"argument {option}: a path is expected, and it is empty" in capsys.readouterr().err
