"""A run of several processes, as torchrun or SLURM starts them: rank 0 does the stages, the others help it train."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from experiments.commands.run import main
from experiments.runner import process_group as ranks
from experiments.runner.run_stage import Outcome, run_stage
from experiments.runner.stage_functions import join_training
from experiments.slurm.site import make_site
from experiments.sources import Source
from experiments.stages import Data, Stage, Train, arguments
from experiments.store import Store
from mila.errors import LostRankError, UserError
from mila.schedule import one_part
from mila.tasks import NYUV2
from tests.support.fake_ranks import start, watch

SOURCE = Source("rooms", "train", height=24, width=32, mode="video", suite=NYUV2, clips=6)


def make_stages() -> dict[str, Stage]:
    """Data and two trainings of it, by key."""
    data = Data("data", SOURCE, 1)
    switches = arguments(depth=18, width=0.0625)
    schedule = one_part(epochs=2, batch=2, lr=1e-3)
    trainings = [Train(f"seed {seed}", "multi_task", switches, data, seed, schedule) for seed in (0, 1)]
    return {stage.key: stage for stage in (data, *trainings)}


def take_part(number: int, port: int, root: Path, broken: str) -> list[Outcome] | None:
    """A process as torchrun would start it: rank 0 does the stages, rank 1 follows; it breaks at the stage `broken`."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    stages, store = make_stages(), Store(root)
    if number == 0:
        with ranks.leading():
            outcomes = [run_stage(stage, store, "cpu") for stage in stages.values()]
            if broken == "rank 0":
                os.kill(os.getpid(), signal.SIGKILL)
            return outcomes
    watch(root)

    def help_along(key: str) -> None:
        stage = stages[key]
        assert isinstance(stage, Train)
        if stage.title == broken:
            raise OSError("no such disk")
        join_training(stage, store, "cpu")

    ranks.follow(help_along, "cpu")
    return None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


@pytest.mark.slow
def test_a_run_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    stages = make_stages()
    outcomes, nothing = start(2, take_part, free_port(), two.root, "")
    assert nothing is None
    assert outcomes == [Outcome(key) for key in stages] == [run_stage(s, one, "cpu") for s in stages.values()]
    for stage in stages.values():
        assert two.state(stage) == "done"
        assert (two.record(stage).environment.get("processes") == 2) == isinstance(stage, Train)
        theirs = {path.name for path in two.folder(stage).iterdir()}
        assert theirs == {path.name for path in one.folder(stage).iterdir()}
        if isinstance(stage, Train):
            curves = zip(one.record(stage).result["curve"], two.record(stage).result["curve"], strict=True)
            for point, wanted in curves:
                assert point == pytest.approx(wanted, rel=1e-3)


@pytest.mark.slow
def test_a_failure_of_another_process_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    outcomes, nothing = start(2, take_part, free_port(), tmp_path / "store", "seed 0")
    assert nothing is None
    data, first, second = outcomes
    assert first.error == "process 1 failed (OSError: no such disk); run again to continue."
    assert (data.error, second.error) == (None, None)
    again, _ = start(2, take_part, free_port(), tmp_path / "store", "")
    assert [outcome.error for outcome in again] == [None] * 3


@pytest.mark.slow
def test_the_others_end_when_the_first_process_is_killed(tmp_path: Path) -> None:
    nothing, error = start(2, take_part, free_port(), tmp_path / "store", "rank 0")
    assert nothing is None
    assert isinstance(error, LostRankError)
    assert str(error) == "process 0 of this run has ended or does not answer; run again to continue."


def test_several_processes_are_for_a_grid_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for words in (["--list"], ["--grid", "table1", "--dry-run"], ["--grid", "table1", "--slurm"]):
        assert main(words) == 2
        assert "under torchrun a --grid can be run, and nothing else" in capsys.readouterr().err
    assert main(["--grid", "table1", "--jobs", "2"]) == 2
    assert "leave --jobs out" in capsys.readouterr().err


def test_tasks_are_for_trainings_alone() -> None:
    assert {kind: r.tasks for kind, r in make_site({"train": {"tasks": 2, "gpus": 2}}).kinds.items()} == {
        "data": 1,
        "train": 2,
        "evaluate": 1,
        "measure": 1,
        "attention": 1,
        "film": 1,
        "motion": 1,
    }
    for values in ({"tasks": 2}, {"evaluate": {"tasks": 2}}):
        with pytest.raises(UserError, match=r"move `tasks` to the section \[train\]"):
            make_site(values)
