"""Hashes of stages: what they cover, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.stages import Evaluate
from mila.common import versions
from mila.schedule import one_part
from tests.support.paths import ROOT
from tests.support.smoke_plans import smoke_plan


def test_hash_covers_what_matters_and_nothing_else() -> None:
    stage = smoke_plan().rows[-2].evaluations[0][3]
    assert isinstance(stage, Evaluate)
    assert replace(stage, title="another name").key == stage.key
    assert smoke_plan().rows[-2].evaluations[0][3].key == stage.key
    train = stage.train
    assert train.schedule is not None
    different = [
        replace(stage, offset=2),
        replace(stage, train=replace(train, seed=1)),
        replace(stage, train=replace(train, schedule=one_part(epochs=2, lr=3e-4))),
        replace(stage, train=replace(train, arguments=(("slow", 18), ("fast", 18)))),
        replace(stage, train=replace(train, starts=())),
        replace(stage, train=replace(train, weighting="dwa")),
        replace(stage, train=replace(train, augmentation="mtan")),
        replace(stage, train=replace(train, precision="bfloat16")),
        replace(stage, data=replace(stage.data, source=replace(stage.data.source, clips=5))),
        replace(stage, data=replace(stage.data, source=replace(stage.data.source, split="val"))),
    ]
    assert len({s.key for s in (stage, *different)}) == len(different) + 1


def test_hash_covers_the_code_that_runs_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "houseparty"
    package.mkdir()
    for name, text in {"__init__": "", "a": "from houseparty import b", "b": "x = 1", "c": "y = 1"}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(versions, "PACKAGES", ("houseparty",))

    def digest() -> str:
        versions.code_digest.cache_clear()
        return versions.code_digest("houseparty.a")

    before = digest()
    (package / "c.py").write_text("y = 2")
    assert digest() == before
    (package / "b.py").write_text("x = 2")
    assert digest() != before
    versions.code_digest.cache_clear()


def test_training_depends_on_the_code_of_its_model_and_of_no_other() -> None:
    mila_code = versions.code_digest("mila.model")
    assert mila_code != versions.code_digest("baselines.multi_task")
    reached = versions.suite_imports((ROOT / "mila" / "model.py").read_text())
    assert reached
    assert not [name for name in reached if name.startswith("baselines")]
