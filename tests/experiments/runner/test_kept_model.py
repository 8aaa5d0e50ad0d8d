"""A training keeps what builds its model again: `mila.load` gives what the runner's own way gives."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mila
from experiments.grids import GRIDS
from experiments.grids.own import own_row
from experiments.runner.run_stage import run_stage
from experiments.runner.stage_functions import load_model
from experiments.stages import Evaluate, Train, in_order
from experiments.store import Store
from mila.common.trusted import remember
from mila.errors import UserError
from mila.streaming.saved import describe
from mila.tasks import NYUV2
from tests.support.fake_models import fake_video
from tests.support.paths import ROOT
from tests.support.smoke_plans import smoke_plan


def run(train: Train, results: Path) -> Store:
    """Run a training and all that it needs."""
    store = Store(results / "store")
    for stage in in_order([train]):
        assert run_stage(stage, store, "cpu").error is None
    return store


def from_nothing(score: Evaluate) -> Train:
    """A score's training, from random weights."""
    return replace(score.train, starts=())


@pytest.mark.slow
def test_a_training_of_the_suite_is_loaded_by_its_hash(tmp_path: Path) -> None:
    row = next(row for row in smoke_plan().rows if row.label == "MILA (ours)")
    train = from_nothing(row.evaluations[0][0])
    store = run(train, tmp_path)
    model, frames = mila.load(tmp_path, train.key[:8]), fake_video(5)
    with torch.no_grad():
        expected, found = load_model(train, store).eval()(frames, 3), model(frames, 3)
    assert set(found) == {task.name for task in NYUV2.tasks}
    for task, prediction in found.items():
        torch.testing.assert_close(prediction, expected[task], rtol=0, atol=0)
    about = describe(tmp_path, train.key)
    record = store.record(train)
    assert (about.suite, about.height, about.width, about.keyframe_interval) == (NYUV2, 36, 48, 5)
    assert (about.code, about.name, about.title) == ("mila.model", "MILA", train.title)
    known = {"hash": train.key, "seed": 0, "steps": record.result["steps"], "environment": record.environment}
    assert known.items() <= about.provenance.items()
    assert about.provenance["data"]["name"] == "rooms"
    assert set(record.files) == {"model.json", "model.pt"}


@pytest.mark.slow
def test_the_source_of_an_own_method_is_kept_as_it_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILA_CACHE", str(tmp_path / "cache"))
    page = (ROOT / "docs" / "your_own_method.md").read_text(encoding="utf-8")
    method = tmp_path / "gated_keyframe.py"
    method.write_text(re.findall(r"```python\n(.*?)```", page, re.S)[0], encoding="utf-8")
    plan = smoke_plan(grid=replace(GRIDS["table2"], rows=(own_row(method),)), data="street")
    train = from_nothing(plan.rows[0].evaluations[0][0])
    source = method.read_bytes()
    assert train.key  # the stage's hash is that of the file as it is now
    method.write_text("raise SystemExit('edited meanwhile')", encoding="utf-8")
    store = run(train, tmp_path)
    assert (store.folder(train) / "method.py").read_bytes() == source
    assert set(store.record(train).files) == {"method.py", "model.json", "model.pt"}
    assert describe(tmp_path, train.key).code == "gated_keyframe.py"
    with pytest.raises(UserError, match="method.py would be run, and you have not run it yourself as a --method"):
        mila.load(tmp_path, train.key)
    method.write_bytes(source)
    remember([method])
    method.unlink()
    assert type(mila.load(tmp_path, train.key)).__name__ == "GatedKeyframe"
