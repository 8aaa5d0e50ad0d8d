"""A time limit in the middle of a file, and in a training that can save first."""

from __future__ import annotations

import signal
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from baselines.multi_task import MultiTask
from experiments.runner import run_stage as run_stage_module
from experiments.runner import time_limit
from experiments.runner.run_stage import run_stage
from experiments.runner.stage_functions import StageFunction
from experiments.runner.time_limit import StageTimeoutError, limited
from experiments.stages import Stage, Train, in_order
from experiments.store import Store
from mila.common.checkpoint import load_checkpoint, save_checkpoint
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.errors import StoppedError, UserError
from mila.schedule import one_part
from mila.tasks import NYUV2
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import Recipe
from tests.support.smoke_plans import smoke_plan


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """The alarm is as it was afterwards."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("seconds", [0.2, 0.25, 0.3, 0.35])
def test_limit_within_a_save_is_the_limits_own_sentence_and_the_old_checkpoint_stays(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stage = Store(tmp_path), next(s for s in in_order(smoke_plan().stages()) if isinstance(s, Train))
    path = store.folder(stage) / "checkpoint.pt"
    saved = 0

    def save_for_ever(*_: object) -> dict[str, object]:
        nonlocal saved
        while True:
            save_checkpoint(path, stage.key, {"step": saved, "weights": torch.zeros(8 << 20)})  # 32 MiB
            saved += 1

    functions: dict[type[Stage], StageFunction] = {Train: save_for_ever}
    monkeypatch.setattr(run_stage_module, "STAGE_FUNCTIONS", functions)
    outcome = run_stage(stage, store, "cpu", time_limit=seconds)
    sentence = f"it took longer than {seconds / 60:g} minutes; raise --time-limit, or see its log."
    assert (outcome.error, outcome.bad_input) == (sentence, False)
    assert (store.folder(stage) / "error.txt").read_text() == sentence
    if saved:
        assert load_checkpoint(path, stage.key)["step"] in (saved - 1, saved)
    assert not list(store.folder(stage).glob(".*"))


def test_limit_that_something_else_makes_bad_input_of_is_still_the_limit() -> None:
    def swallow() -> None:
        try:
            time.sleep(5)
        except Exception as error:
            raise UserError("cannot be read; delete it.") from error

    with pytest.raises(StageTimeoutError, match="took longer than"), limited(0.05):
        swallow()
    with pytest.raises(UserError, match="real"), limited(5):
        raise UserError("real")


def test_training_saves_before_it_ends_at_its_limit(tmp_path: Path) -> None:
    pack(WorldClips("rooms", "train", clips=2, height=24, width=32), 4, tmp_path / "clips")
    clips, path = PackedClips(tmp_path / "clips"), tmp_path / "checkpoint.pt"
    recipe = Recipe(one_part(epochs=10**6, batch=2), 0)
    models = [MultiTask(NYUV2, 18, width=0.0625) for _ in range(2)]
    done = 0

    def count(step: int, _total: int) -> None:
        nonlocal done
        done = step

    def run(model: MultiTask) -> None:
        with limited(1.0) as limit:
            callbacks = Callbacks(count, stop=limit.or_stop(None))
            train(model, clips, recipe, Checkpoint(path, "me"), callbacks=callbacks)

    for model in models:  # the second goes on where the first was: a short limit is no dead end
        before = done
        with pytest.raises(StageTimeoutError, match="took longer than"):
            run(model)
        assert done > before
        assert load_checkpoint(path, "me")["step"] == done


def test_an_alarm_that_is_lost_rings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "AGAIN", 0.1)
    lost = list[object]()
    monkeypatch.setattr(sys, "unraisablehook", lost.append)

    class Watched:
        """Something that a weak reference can watch."""

    def be_taken_apart() -> None:
        watched = Watched()
        reference = weakref.ref(watched, lambda _: time.sleep(0.3))
        del watched  # what is raised in the callback goes nowhere
        assert lost
        assert reference() is None
        time.sleep(5)

    with pytest.raises(StageTimeoutError), limited(0.1):
        be_taken_apart()


def test_training_that_hangs_is_ended_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "GRACE", 0.2)
    start = time.monotonic()

    def hang() -> None:
        with limited(0.1) as limit:
            stop = limit.or_stop(None)
            assert stop is not None
            assert not stop()
            time.sleep(5)

    with pytest.raises(StageTimeoutError):
        hang()
    assert time.monotonic() - start < 2


def test_stop_of_somebody_else_is_no_limit() -> None:
    def asked() -> None:
        with limited(5) as limit:
            stop = limit.or_stop(lambda: True)
            assert stop is not None
            assert stop()
            raise StoppedError

    with pytest.raises(StoppedError):
        asked()
    with limited(None) as without:
        assert without.or_stop(None) is None
