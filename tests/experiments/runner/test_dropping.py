"""States that were scored are dropped once their numbers stand; the last stays, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from experiments.commands.store_commands import verify
from experiments.profiles import SMOKE
from experiments.runner.dropping import dropped_states
from experiments.runner.run_stage import run_stage
from experiments.space import space_of
from experiments.stages import Evaluate, Train, in_order
from experiments.store import Store
from mila.schedule import one_part
from tests.support.smoke_plans import smoke_plan


def scored(store: Store, *, keep_states: bool = False) -> Evaluate:
    short = replace(SMOKE, scratch=one_part(epochs=3, lr=1e-3), last_epochs=2)
    whole = smoke_plan(profile=short)
    (score,) = next(row for row in whole.rows if row.label == "D101-MultiTask").evaluations[0]
    for stage in in_order([score]):
        assert run_stage(stage, store, "cpu", keep_states=keep_states).error is None
    return score


def test_the_last_state_stays_and_can_be_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    score = scored(store)
    folder, record = store.folder(score.train), store.record(score.train)
    assert dropped_states(score.train, store) == ("epoch-0002.pt",)
    assert [path.name for path in folder.glob("*.pt")] == ["model.pt"]
    assert set(record.files) == {"model.json", "model.pt"}
    assert record.result["curve"]
    assert Store(tmp_path).state(score.train) == "done"
    assert len(store.record(score).result["states"]) == 2  # the numbers of both
    assert verify(score.key, [score], store, "cpu", Console()) == 0
    assert "Of the last state alone: 1 before it were dropped" in " ".join(capsys.readouterr().out.split())


def test_another_score_says_what_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    score = scored(store)
    outcome = run_stage(replace(score, pictures=1), store, "cpu")
    assert outcome.bad_input
    assert f"delete {store.folder(score.train)} and run again with --keep-states." in (outcome.error or "")


def test_all_stay_where_that_is_asked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    score = scored(store, keep_states=True)
    assert dropped_states(score.train, store) == ()
    assert set(store.record(score.train).files) == {"epoch-0002.pt", "model.json", "model.pt"}
    assert run_stage(replace(score, pictures=1), store, "cpu").error is None
    # And then the states of the first attempt are of no use any more.
    assert dropped_states(score.train, store) == ("epoch-0002.pt",)


@pytest.mark.parametrize("keep_states", [False, True])
def test_the_space_that_is_foretold_is_taken(tmp_path: Path, keep_states: bool) -> None:
    store = Store(tmp_path)
    score = scored(store, keep_states=keep_states)
    for stage in in_order([score]):
        taken = sum(path.stat().st_size for path in store.folder(stage).rglob("*") if path.suffix in (".pt", ".npy"))
        foretold = space_of(stage, keep_states=keep_states)
        if not isinstance(stage, Evaluate):
            assert foretold.stays == pytest.approx(taken, rel=0.15, abs=20_000)
        if isinstance(stage, Train):
            assert (foretold.meanwhile > 4 * foretold.stays / 2) == (not keep_states)
