"""A profile of one's own on the whole way: run, page, verified by the hash alone, and taken along to a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.commands import ship, slurm
from experiments.commands.options import read_options
from experiments.commands.plans import plans_of, stages_of
from experiments.commands.run import main
from experiments.own_profile import copied_text
from experiments.slurm.code_copy import snapshot
from experiments.slurm.submissions import Submissions
from mila.backbone import DeepLabResNet
from tests.support.fake_records import filled_store

TEXT = """
base = "smoke"
about = "A wider one."
width = 0.125
train_clips = 6

[depths]
101 = 18

[weights]
101 = "{world}-resnet18"
50 = "none"

[training]
batch = 3

[[method.part]]
name = "new layers"
epochs = 1
lr = 2e-3
encoders = "frozen"
keyframes = true

[[method.part]]
epochs = 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "wider.toml"
    file.write_text(TEXT)
    return file


@pytest.mark.slow
def test_from_the_file_to_the_page_and_back_by_the_hash(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    monkeypatch.chdir(tmp_path)
    words = ["--grid", "table2", "--rows", "MILA (ours)", "--profile", "wider.toml", "--keyframe-interval", "2"]
    assert main([*words, "--results", str(results)]) == 0
    page = (results / "reports" / "table2-profile-wider-k2.html").read_text()
    assert "Profile <b>wider</b>" in page
    assert "A wider one." in page
    assert "Video-based multi-task learning on Cityscapes, at K = 2 (in print: K = 5)" in page
    assert "smoke, but for: about" not in page
    assert "smoke, but for: width = 0.125; train_clips = 6; depths.101 = 18; weights.101 = " in page
    assert "new layers: Adam (0.9, 0.99), learning rate 0.002, 1 epochs (2 steps), batch 3, encoders frozen" in page
    monkeypatch.chdir(results)  # it is found from wherever the command is typed
    score = sorted((results / "store" / "evaluate").iterdir())[0].name
    assert main(["--results", str(results), "--verify", score]) == 0
    assert "the same." in capsys.readouterr().out
    file.write_text(TEXT.replace("train_clips = 6", "train_clips = 7"))
    assert main(["--results", str(results), "--verify", score]) == 2
    error = capsys.readouterr().err
    assert f"{score} cannot be recomputed, for since then have changed: {file}, and with it the data of clips" in error
    file.write_text(TEXT.replace("epochs = 1", "epochs = 2"))
    scores = (results / "store" / "evaluate").iterdir()
    trained = [path for path in scores if "MILA" in (path / "stage.json").read_text()]
    assert main(["--results", str(results), "--verify", trained[0].name]) == 2
    error = capsys.readouterr().err
    assert f"{file}, and with it " in error
    assert "the options of street MILA (ours), seed 0" in error


def test_mistakes_are_said_before_anything_is_written(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    for text, sentence in (
        (TEXT.replace("width = 0.125", "widht = 0.125"), "there is no key 'widht' (did you mean width?)"),
        (
            TEXT.replace("width = 0.125", "width = 0.25"),
            "profile wider, weights 101: the weights 'street-resnet18' do not",
        ),
    ):
        file.write_text(text)
        assert main(["--grid", "table2", "--profile", str(file), "--results", str(results)]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert len(error.strip().splitlines()) == 1
    assert not results.exists()
    assert main(["--grid", "table2", "--weights", "gone", "--results", str(results)]) == 2
    assert "--weights gone does not exist; give the folder that holds the weights, or none" in capsys.readouterr().err


def test_the_recipe_names_the_file_wherever_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = "--grid table1 --profile my.toml --weights w --keyframe-interval 3"
    here = tmp_path.absolute()
    recipe = read_options(words.split()).recipe()
    assert " ".join(recipe) == f"--grid table1 --profile {here}/my.toml --weights {here}/w --keyframe-interval 3"
    assert read_options(["--grid", "table1", "--weights", "none"]).recipe() == ("--grid", "table1", "--weights", "none")


def test_a_cluster_runs_the_file_as_it_was(file: Path, tmp_path: Path) -> None:
    file.write_text(TEXT + "\n[flow]\nbatch = 2\n")
    method = tmp_path / "mine.py"
    method.write_text("x = 1")
    code, (own, copied) = snapshot(tmp_path / "code", [method], (file.name, copied_text(file)))
    assert (own.parent.parent.name, copied.parent.parent.name) == ("methods", "profiles")
    assert copied.is_relative_to(code)
    ours, theirs = (
        [stage.key for stage in stages_of(read_options(["--grid", "table2", "--profile", str(path)]))]
        for path in (copied, file)
    )
    assert ours == theirs
    file.write_text("")
    assert [s.key for s in stages_of(read_options(["--grid", "table2", "--profile", str(copied)]))] == ours


@pytest.mark.usefixtures("file")
def test_a_submission_has_the_copy_and_places_that_hold_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights"
    weights.mkdir()
    for depth in (50, 18):
        torch.save(DeepLabResNet(depth, 0.125).state_dict(), weights / f"resnet{depth}.pth")
    monkeypatch.setattr(slurm, "require_slurm", lambda: None)
    monkeypatch.setattr(slurm, "read_queue", lambda _: {})
    monkeypatch.setattr(slurm, "submit", lambda *_: 1)
    words = ["--grid", "table2", "--profile", "wider.toml", "--weights", "weights"]
    assert main([*words, "--results", "results", "--slurm"]) == 0
    submissions = Submissions(tmp_path / "results")
    submission = submissions.load(submissions.find(""))
    given = read_options(submission.words)
    assert given.profile_file is not None
    assert given.profile_file.is_relative_to(submission.code)
    assert given.weights == str(weights)
    keys = {stage.key for stage in stages_of(read_options([*words]))}
    assert set(submission.entries) == keys
    monkeypatch.chdir("/")
    assert {stage.key for stage in stages_of(given)} == keys


@pytest.mark.slow
def test_records_of_such_a_profile_are_rendered_with_its_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--grid", "table3", "--profile", str(file)]
    (plan,) = plans_of(read_options([*words, "--seeds", "0", "1"]))
    filled_store(plan, tmp_path / "made" / "store")
    records = tmp_path / "some.tar.xz"
    assert ship.main([*words, "--seeds", "0", "1", "--results", str(tmp_path / "made"), "--out", str(records)]) == 0
    rendered = ["--from-records", str(records), "--results", str(tmp_path / "results")]
    assert main(["--grid", "table3", *rendered]) == 2
    assert "records of profile 'wider', not 'study': give --profile wider.toml, its file" in capsys.readouterr().err
    assert main([*words, *rendered]) == 0
    assert (tmp_path / "results" / "from-records" / "reports" / "table3-profile-wider.html").is_file()
