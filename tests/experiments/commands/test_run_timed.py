"""A run in so many minutes: what it refuses, what it writes when the time is up, and how its records are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from experiments.commands import merge, run_timed
from experiments.commands.run import main
from experiments.grids import find_grids
from experiments.plan import Plan
from experiments.profiles import SMOKE
from experiments.reference.pace import Pace, PartPace, RenderingPace, TrainingPace, kind_of_data, kind_of_training
from experiments.reference.sizes import sized
from experiments.runner.launch import Summary
from experiments.runs import embedded_plan
from experiments.shipped.store import open_records
from experiments.stages import Data, Stage, Train, in_order
from experiments.store import Store
from tests.support.fake_results import fill, score_clips

WORDS = ("--grid", "reference", "--profile", "smoke", "--rows", "D101-MultiTask", "MILA (ours)", "--device", "cpu")
LAST = "MILA (ours)"


def made_up(seconds: float) -> Callable[[Iterable[Stage], str], Pace]:
    """A machine on which every network takes so many seconds, and nothing else takes any time."""

    def pace(stages: Iterable[Stage], _device: str) -> Pace:
        every = in_order(list(stages))
        training = TrainingPace(1, seconds, 0.0, (PartPace(0.0, 0.0),), 0.0)
        return Pace(
            0.0,
            {kind_of_data(stage): RenderingPace(0.0, 0.0) for stage in every if isinstance(stage, Data)},
            {kind_of_training(stage): training for stage in every if isinstance(stage, Train)},
        )

    return pace


def plan_of(*seeds: int, percent: int = 100) -> Plan:
    return embedded_plan(find_grids("reference1")[0], sized(SMOKE, percent), seeds)


def cut_off(monkeypatch: pytest.MonkeyPatch, *seeds: int, percent: int = 100) -> list[str]:
    """Instead of running stages: all are done but the scores of the last row, before which the time is up."""
    plan = plan_of(*seeds, percent=percent)
    asked: list[str] = []

    def fake_launch(stages: list[Stage], store: Store, *_: Any) -> Summary:
        asked.extend(stage.title for stage in stages)
        fill(store, plan)
        score_clips(store, plan, 4)
        (row,) = (row for row in plan.rows if row.label == LAST)
        scores = [stage for seed in row.evaluations for stage in seed]
        for stage in scores:
            shutil.rmtree(store.folder(stage))
        return Summary(stopped=[stage.title for stage in scores])

    monkeypatch.setattr(run_timed, "measure_pace", made_up(0.1))
    monkeypatch.setattr(run_timed, "launch", fake_launch)
    return asked


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--minutes", "0"], "--minutes takes minutes, more than 0 and at most 10080, which is a week"),
        (["--minutes", "nan"], "--minutes takes minutes"),
        (["--minutes", "9", "--dry-run", "--report"], "leave --dry-run, --report out, or --minutes"),
        (["--minutes", "9", "--data-root", "."], "leave --data-root out"),
        (["--minutes", "9", "--slurm"], "leave --slurm out"),
        (["--minutes", "9", "--part", "7"], "--part 7: reference has parts 1 to 4"),
        (["--minutes", "9", "--rows", "MTAN*"], "there is no row 'MTAN*'"),
        (["--minutes", "9", "--profile", "smoke-500"], "there is no profile 'smoke-500'"),
        (["--minutes", "9", "--profile", "my.toml"], "--minutes takes a size of one of the suite's profiles: quick, "),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_measured(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("nothing is measured")

    monkeypatch.setattr(run_timed, "measure_pace", forbidden)
    assert main([*WORDS, *words, "--results", str(tmp_path / "results")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_too_few_minutes_are_refused_with_how_many_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_timed, "measure_pace", made_up(100.0))
    words = [*WORDS, "--rows", "D101-MultiTask", "--minutes", "2", "--results", str(tmp_path / "results")]
    assert main(words) == 2
    error = capsys.readouterr().err
    # 100 s for each of four stages (the constant predictor and the row, made and scored), and a tenth,
    # then 3 s for its cost, and 30 s at the end: 473 s
    sentence = "in 2 minutes not even 'D101-MultiTask, seed 0' fits at the smallest size, smoke-5; give --minutes 8"
    assert sentence in error
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_when_the_time_is_up_rows_that_are_done_count_and_the_rest_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = cut_off(monkeypatch, 0)
    assert main([*WORDS, "--minutes", "9", "--results", str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Size: smoke-100." in printed
    assert "--profile smoke-100 gives the same again" in printed
    assert "What runs at 8:30 is stopped" in printed
    assert f"The time is up: 1 of 2 rows are done; not run: {LAST}, seed 0." in printed
    assert asked.index("street D101-MultiTask, seed 0") < asked.index(f"street {LAST}, seed 0")
    page = (tmp_path / "reports" / "reference1-smoke-100.html").read_text()
    assert "sized by the clock" in page
    assert "not run" in page
    (file,) = (tmp_path / "records").iterdir()
    assert file.name == "reference1-smoke-100-seed-0.tar.xz"
    with open_records(file) as store:
        assert (store.profile, store.seeds) == ("smoke-100", (0,))
        states = {row.label: store.state(row.evaluations[0][0]) for row in plan_of(0).rows}
    assert states.pop(LAST) == "waiting"
    assert set(states.values()) == {"done"}
    about = json.loads(next(tmp_path.glob("store/train/*/stage.json")).read_text())
    assert about["command"] == ["--grid", "reference", "--part", "1", "--profile", "smoke-100"]


@pytest.mark.slow
def test_no_records_are_written_where_nothing_would_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_off(monkeypatch, 0)
    assert main([*WORDS, "--minutes", "9", "--split", "val", "--results", str(tmp_path)]) == 0
    assert "No records are written" in capsys.readouterr().out
    assert not (tmp_path / "records").exists()


@pytest.mark.slow
def test_records_of_several_runs_are_shown_on_pages_of_their_profile_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for seed in (0, 1):
        cut_off(monkeypatch, seed, percent=50)
        results = tmp_path / str(seed)
        words = [*WORDS, "--profile", "smoke-50", "--seeds", str(seed), "--minutes", "9", "--results", str(results)]
        assert main(words) == 0
        files += [str(path) for path in (results / "records").iterdir()]
    both, shown = str(tmp_path / "both.tar.xz"), tmp_path / "shown"
    assert merge.main([*files, "--out", both]) == 0
    capsys.readouterr()
    words = ["--from-records", both, "--results", str(shown)]
    assert main(["--grid", "reference", "--part", "1", "--profile", "smoke-50", *words]) == 0
    assert main(["--grid", "table2", "--profile", "smoke-50", *words]) == 0  # which has most of the same rows
    pages = {path.name for path in (shown / "from-records" / "reports").glob("*.html")}
    assert {"reference1-smoke-50.html", "table2-smoke-50.html"} <= pages
    page = (shown / "from-records" / "reports" / "reference1-smoke-50.html").read_text()
    assert "seeds 0, 1; n = 2" in page
    assert "sized by the clock" in page
    for profile in (["--profile", "smoke-60"], ["--profile", "smoke"], []):  # by default that of the records that ship
        assert main(["--grid", "reference", *profile, *words]) == 2
        assert "has the records of profile 'smoke-50', not" in capsys.readouterr().err
