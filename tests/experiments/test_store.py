"""The store: states are read off the disk, a stage has one worker."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import Timeout

import experiments.stages
from experiments.profiles import SMOKE
from experiments.stages import Train, in_order
from experiments.store import Store
from tests.support.fake_records import filled_store
from tests.support.smoke_plans import smoke_plan


def test_state_is_read_off_the_disk(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), smoke_plan().rows[0].evaluations[0][0]
    assert store.state(stage) == "waiting"
    store.begin(stage)
    store.fail(stage, "no luck")
    assert Store(tmp_path).state(stage) == "failed"
    store.begin(stage)
    assert store.state(stage) == "waiting"
    store.finish(stage, {"metrics": {}}, seconds=1.5, finished="2026-01-01T00:00:00+00:00", environment={})
    assert Store(tmp_path).state(stage) == "done"
    assert store.record(stage).seconds == 1.5
    assert store.record(stage).stage["title"] == stage.title
    assert store.earlier_seconds() == {}  # what it needs is gone, so that nobody knows what was computed


def test_earlier_times_are_those_of_the_same_computation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the code was; other profiles call other work by the same names."""
    plan, other = smoke_plan(), smoke_plan(profile=replace(SMOKE, train_clips=SMOKE.train_clips + 1))
    store = filled_store(plan, tmp_path)
    monkeypatch.setattr(experiments.stages, "code_digest", lambda *_: "another code")
    earlier = store.earlier_seconds()
    assert {stage.identity for stage in in_order(smoke_plan().stages())} == earlier.keys()
    assert set(earlier.values()) == {1.5}
    trainings = [s for s in in_order(other.stages()) if isinstance(s, Train) and s.schedule is not None]
    assert trainings
    assert {stage.identity for stage in trainings}.isdisjoint(earlier)


def test_a_new_attempt_forgets_what_a_kill_left(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), smoke_plan().rows[0].evaluations[0][0]
    folder = store.begin(stage)
    (folder / ".model.pt.x7").write_bytes(b"half")
    (folder / "checkpoint.pt").write_bytes(b"whole")
    store.begin(stage)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.pt", "stage.json"]


def test_one_stage_has_one_worker(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), smoke_plan().rows[0].evaluations[0][0]
    with store.lock(stage), pytest.raises(Timeout), store.lock(stage, timeout=0.05):
        pass


def test_what_a_kill_left_beside_the_stages_goes_and_what_another_runner_writes_stays(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), smoke_plan().rows[0].evaluations[0][0]
    left, written = tmp_path / ".store.json.left", tmp_path / ".store.json.written"
    for path in (left, written):
        path.write_text("")
    os.utime(left, (0, 0))
    store.begin(stage)
    assert not left.exists()
    assert written.exists()
