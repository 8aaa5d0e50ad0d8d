"""One stage: its errors, and the states whose scores are averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.profiles import SMOKE
from experiments.runner.run_stage import run_stage
from experiments.runner.stage_functions import score
from experiments.sources import Source
from experiments.stages import Data, in_order
from experiments.store import Store
from mila.schedule import one_part
from mila.tasks import NYUV2
from tests.support.smoke_plans import smoke_plan


def test_errors_are_kept_and_never_raised(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), smoke_plan().rows[0].evaluations[0][0]
    outcome = run_stage(stage, store, "cpu")  # nothing that it needs is there
    assert outcome.bad_input
    assert "not a finished packed data set" in (outcome.error or "")
    assert store.state(stage) == "failed"
    (tmp_path / "file").write_text("")
    outcome = run_stage(stage, Store(tmp_path / "file"), "cpu")
    assert outcome.error is not None
    assert not outcome.bad_input


def test_data_that_changed_are_another_stage(nyu: Path, tmp_path: Path) -> None:
    """Labels rewritten in place, of equal names and sizes: what was done with the old ones is not done."""
    stage = Data("clips", Source("nyuv2", "train", 24, 32, "pan", NYUV2, root=nyu), 2)
    store = Store(tmp_path / "store")
    assert run_stage(stage, store, "cpu").error is None
    labels = next(path for path in stage.source.open().files(0) if path.parent.name == "labels13")
    content = bytearray(labels.read_bytes())
    content[-1] ^= 1
    labels.write_bytes(content)
    changed = replace(stage)
    assert changed.key != stage.key
    assert store.state(changed) == "waiting"
    content[-1] ^= 1
    labels.write_bytes(content)
    assert replace(stage).key == stage.key  # what they contain counts, not when it was written
    outcome = run_stage(changed, store, "cpu")  # planned with contents that are gone
    assert outcome.error == "clips: the data changed since this run began; run again."


def test_scores_are_means_over_the_last_epochs(tmp_path: Path) -> None:
    short = replace(SMOKE, scratch=one_part(epochs=3, lr=1e-3), last_epochs=2)
    whole = smoke_plan(profile=short)
    (score,) = next(row for row in whole.rows if row.label == "D101-MultiTask").evaluations[0]
    store = Store(tmp_path)
    for stage in in_order([score]):
        assert run_stage(stage, store, "cpu").error is None
    states = store.record(score).result["states"]
    assert list(states) == ["epoch-0002.pt", "model.pt"]
    assert states["epoch-0002.pt"] != states["model.pt"]
    for name, value in store.record(score).result["metrics"].items():
        assert value == pytest.approx((states["epoch-0002.pt"][name] + states["model.pt"][name]) / 2, nan_ok=True)


@pytest.mark.slow
def test_scores_at_all_offsets_are_those_of_each_alone(tmp_path: Path) -> None:
    row = next(row for row in smoke_plan().rows if row.label == "MILA (ours)")
    first = row.evaluations[0][0]
    scores = [replace(each, train=replace(first.train, starts=())) for each in row.evaluations[0]]
    store = Store(tmp_path)
    for stage in in_order([scores[2]]):
        outcome = run_stage(stage, store, "cpu")
        assert outcome.error is None
    assert outcome.along == tuple(each.key for each in scores if each is not scores[2])
    for offset, stage in enumerate(scores):
        record = store.record(stage)
        assert record.result["offset"] == offset
        assert set(record.files) == {"clips.npz", "pictures.npz"}
        assert score(stage, store, "cpu", lambda *_: None) == (record.result["metrics"], record.result["states"])
    assert len({str(store.record(stage).result["metrics"]) for stage in scores}) == len(scores)
