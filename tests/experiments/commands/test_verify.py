"""The hash of a score is enough to recompute it: what it was run with is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.commands.options import read_options
from experiments.commands.plans import plans_of
from experiments.commands.run import main
from experiments.runner.run_stage import run_stage
from experiments.stages import Evaluate, in_order
from experiments.store import Store
from tests.support.slurm_bench import METHOD


def run_score(words: list[str], results: Path, *, recorded: bool = True) -> Evaluate:
    """Run the score of the constant predictor alone, as these options give it."""
    options = read_options(words)
    (plan,) = plans_of(options)
    score = plan.rows[-1].evaluations[0][0]
    store = Store(results / "store", options.recipe() if recorded else ())
    for stage in in_order([score]):
        assert run_stage(stage, store, "cpu").error is None
    return score


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [True, False])
def test_the_hash_alone_is_enough(recorded: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = run_score(["--grid", "table3", "--profile", "smoke", "--seeds", "3"], tmp_path, recorded=recorded)
    assert main(["--results", str(tmp_path), "--verify", score.key[:8]]) == 0
    assert "the same." in capsys.readouterr().out


@pytest.mark.slow
def test_what_cannot_be_verified_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = run_score(["--grid", "table3", "--profile", "smoke"], tmp_path)
    verify = ["--results", str(tmp_path), "--verify"]
    assert main([*verify, score.train.key]) == 2
    assert "is a stage of kind 'train'; a score can be verified alone" in capsys.readouterr().err
    assert main([*verify, score.key, "--split", "val"]) == 2
    error = capsys.readouterr().err
    for option in ("--grid", "--profile", "--method", "--augmentation", "--data-root", "--suite", "--mode", "--split"):
        assert option in error


@pytest.mark.slow
def test_data_that_changed_are_named(nyu: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--grid", "table1", "--profile", "smoke", "--data", "nyuv2", "--data-root", str(nyu), "--mode", "pan"]
    score = run_score(words, tmp_path / "results")
    verify = ["--results", str(tmp_path / "results"), "--verify", score.key]
    assert main(verify) == 0
    for path in (nyu / "labels13").glob("*.png"):
        labels = np.asarray(Image.open(path))
        Image.fromarray(((labels + 1) % 14).astype(np.uint8)).save(path)
    assert main(verify) == 2
    error = capsys.readouterr().err
    assert f"{score.key} cannot be recomputed, for since then have changed: the data of clips nyuv2" in error


def test_a_folder_names_no_code_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    method = tmp_path / "mine.py"
    method.write_text("raise SystemExit('it was run')")
    score = run_score(["--grid", "table3", "--profile", "smoke"], tmp_path)
    path = Store(tmp_path / "store").folder(score) / "stage.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "command": [*about["command"], "--method", str(method)]}))
    assert main(["--results", str(tmp_path), "--verify", score.key]) == 2
    assert f"if you trust it, add --method {method}." in capsys.readouterr().err


def test_the_hash_of_an_own_methods_table_is_enough_once_the_user_has_run_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILA_CACHE", str(tmp_path / "cache"))
    method = tmp_path / "mine.py"
    method.write_text(METHOD.format(offsets=2))
    words = ["--grid", "table3", "--profile", "smoke", "--method", str(method)]
    score = run_score(words, tmp_path)
    verify = ["--results", str(tmp_path), "--verify", score.key]
    assert main(verify) == 2
    assert "in a file that you have not run as it is now" in capsys.readouterr().err
    assert main([*words, "--dry-run", "--results", str(tmp_path)]) == 0
    assert main(verify) == 0
    assert "the same." in capsys.readouterr().out
    method.write_text(method.read_text() + "\nraise SystemExit('changed')\n")
    assert main(verify) == 2
    assert "in a file that you have not run as it is now" in capsys.readouterr().err


def test_the_recipe_is_what_decides_the_stages_wherever_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "--grid table1 --data nyuv2 --data-root data --method m.py --seeds 1 2 --jobs 3 --results r --rows A"
    recipe = " ".join(read_options(words.split()).recipe())
    here = tmp_path.absolute()
    assert recipe == f"--grid table1 --method {here}/m.py --data nyuv2 --data-root {here}/data --seeds 1 2"
