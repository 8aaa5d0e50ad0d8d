"""The end of a run that has so many minutes: what runs is stopped, what waits is left, and nothing has failed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.runner import run_stage as run_stage_module
from experiments.runner.deadline import Deadline
from experiments.runner.display import Display
from experiments.runner.launch import launch
from experiments.runner.run_stage import run_stage
from experiments.runner.stage_functions import STAGE_FUNCTIONS, StageFunction
from experiments.stages import Data, Evaluate, Stage, Train, in_order
from experiments.store import Store
from mila.common.console import make_console
from mila.errors import StoppedError
from tests.support.smoke_plans import smoke_plan

END = 100.0


def clock_at(now: float) -> Callable[[], float]:
    return lambda: now


def late() -> float:
    """A clock that workers can be given."""
    return END + 1


def test_seconds_are_left_until_the_time_is_up() -> None:
    for now, left, has_passed in ((90.0, 10.0, False), (END, 0.0, True), (110.0, 0.0, True)):
        deadline = Deadline(END, clock_at(now))
        assert (deadline.left, deadline.has_passed) == (left, has_passed)


def test_nothing_begins_once_the_time_is_up(tmp_path: Path) -> None:
    store, stages = Store(tmp_path), in_order(smoke_plan().stages())
    summary = launch(stages, store, 1, "cpu", make_console(), deadline=Deadline(END, late))
    assert summary.stopped == [stage.title for stage in stages]
    assert (summary.done, summary.failed, summary.skipped) == ([], {}, [])
    assert not list(tmp_path.iterdir())
    assert run_stage(stages[0], store, "cpu", deadline=Deadline(END, late)).stopped


def test_a_training_saves_at_the_end_and_the_next_run_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (data, train) = Store(tmp_path), first_training()
    assert run_stage(data, store, "cpu").error is None
    asked = 0

    def slow_step(stage: Train, _store: Store, attempt: object) -> dict[str, object]:
        """Asks after every step whether to stop, as `mila.training.train` does."""
        nonlocal asked
        stop = attempt.stop  # type: ignore[attr-defined]
        while not stop():
            asked += 1
            time.sleep(0.01)
        (store.folder(stage) / "checkpoint.pt").write_bytes(b"saved")
        raise StoppedError

    with_function(monkeypatch, Train, slow_step)
    outcome = run_stage(train, store, "cpu", deadline=Deadline(END, clock_at(END - 0.1)))
    assert (outcome.stopped, outcome.error) == (True, None)
    assert asked
    assert store.state(train) == "waiting"
    assert (store.folder(train) / "checkpoint.pt").read_bytes() == b"saved"
    assert not (store.folder(train) / "error.txt").exists()
    assert "stopped, as the time of the run is up" in (store.folder(train) / "log.txt").read_text()
    monkeypatch.setattr(run_stage_module, "STAGE_FUNCTIONS", STAGE_FUNCTIONS)
    (store.folder(train) / "checkpoint.pt").unlink()
    assert run_stage(train, store, "cpu").error is None
    assert store.state(train) == "done"


def test_what_asks_nobody_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, (data, _) = Store(tmp_path), first_training()

    with_function(monkeypatch, Data, hang)
    outcome = run_stage(data, store, "cpu", deadline=Deadline(END, clock_at(END - 0.1)))
    assert (outcome.stopped, outcome.error) == (True, None)
    assert store.state(data) == "waiting"
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_limit_of_the_stage_that_comes_before_the_end_is_still_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (data, _) = Store(tmp_path), first_training()
    with_function(monkeypatch, Data, hang)
    outcome = run_stage(data, store, "cpu", time_limit=0.1, deadline=Deadline(END, clock_at(END - 50)))
    assert not outcome.stopped
    assert outcome.error is not None
    assert "took longer than" in outcome.error
    assert store.state(data) == "failed"


@pytest.mark.slow
def test_stages_run_in_the_order_of_their_worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an end what comes first in the list; without one data go first, lest a training be in vain."""
    ended: list[str] = []
    end = Display.end

    def note(self: Display, stage: Stage, error: str | None) -> None:
        ended.append(stage.title)
        end(self, stage, error)

    monkeypatch.setattr(Display, "end", note)
    plan = smoke_plan()
    stages = in_order([*plan.rows[-1].evaluations[0], plan.rows[1].evaluations[0][0]])
    assert isinstance(stages[-1], Evaluate)
    summary = launch(stages, Store(tmp_path), 1, "cpu", make_console(), deadline=Deadline(time.time() + 3600))
    assert summary.done == ended == [stage.title for stage in stages]
    assert not summary.stopped
    assert [isinstance(stage, Data) for stage in stages].index(True, 1) > 1  # one in the middle
    ended.clear()
    launch(stages, Store(tmp_path / "endless"), 1, "cpu", make_console())
    assert sorted(ended[:2]) == ["clips rooms test", "clips rooms train"]


def hang(*_: object) -> dict[str, object]:
    """Never ends by itself."""
    time.sleep(60)
    raise AssertionError("nobody stopped it")


def first_training() -> tuple[Data, Train]:
    """The training of the constant predictor, and its data."""
    train = smoke_plan().rows[-1].evaluations[0][0].train
    return train.data, train


def with_function(monkeypatch: pytest.MonkeyPatch, kind: type[Stage], function: StageFunction) -> None:
    """What stages of a kind do, replaced."""
    monkeypatch.setattr(run_stage_module, "STAGE_FUNCTIONS", {**STAGE_FUNCTIONS, kind: function})
