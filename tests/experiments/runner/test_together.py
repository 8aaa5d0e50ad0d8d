"""Stages that one attempt does together: the scores of a training at all offsets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

from experiments.runner.attempt import Attempt
from experiments.runner.launch import launch
from experiments.runner.run_stage import run_stage
from experiments.runner.stage_functions import STAGE_FUNCTIONS
from experiments.stages import Stage
from experiments.store import Store
from mila.errors import DivergedError
from tests.support.smoke_plans import smoke_plan


@dataclass(frozen=True)
class Part(Stage):
    """One of three that belong together."""

    kind: ClassVar[str] = "part"
    number: int = 0
    fails: bool = False

    @cached_property
    def together(self) -> tuple[Stage, ...]:
        return tuple(part for part in parts(self.fails) if part.number != self.number)

    @property
    def work(self) -> float:
        return 1.0

    def config(self) -> dict[str, Any]:
        return {"number": self.number, "fails": self.fails}

    def modules(self) -> tuple[str, ...]:
        return ("mila.errors",)


def parts(fails: bool = False) -> list[Part]:
    return [Part(f"part {number}", number, fails) for number in range(3)]


def act(stage: Part, _store: Store, attempt: Attempt) -> dict[str, Any]:
    """Every attempt leaves a mark in the folder of each stage that it does."""
    stages = {attempt.folder: stage, **attempt.along}
    for folder, each in stages.items():
        (folder / f"by {stage.number}").write_text(each.title)
    if stage.fails:
        raise DivergedError("one too many")
    attempt.results.update({each.key: {"of": each.title} for each in attempt.along.values()})
    return {"of": stage.title}


STAGE_FUNCTIONS[Part] = act  # workers import this module, too


def marks(store: Store, stage: Stage) -> list[str]:
    return sorted(path.name for path in store.folder(stage).glob("by *"))


def test_the_others_are_done_along_and_are_stages_like_any(tmp_path: Path) -> None:
    store, (first, second, third) = Store(tmp_path), parts()
    outcome = run_stage(second, store, "cpu")
    assert outcome.error is None
    assert outcome.along == (first.key, third.key)
    for stage in (first, second, third):
        record = Store(tmp_path).record(stage)
        assert record.result == {"of": stage.title}
        assert set(record.files) == {"by 1"}
        assert not store.is_locked(stage)
        assert run_stage(stage, Store(tmp_path), "cpu").was_done
        assert marks(store, stage) == ["by 1"]
        assert {path.name for path in store.folder(stage).iterdir()} >= {"stage.json", "log.txt"}
    assert f"part: part 0, along with part 1 ({second.key})" in (store.folder(first) / "log.txt").read_text()


def test_what_is_done_or_held_by_another_is_left_to_him(tmp_path: Path) -> None:
    store, (first, second, third) = Store(tmp_path), parts()
    with Store(tmp_path).lock(third):
        assert run_stage(first, store, "cpu").along == (second.key,)
        assert marks(store, third) == []
    assert run_stage(third, store, "cpu").along == ()
    assert [marks(store, stage) for stage in (first, second, third)] == [["by 0"], ["by 0"], ["by 2"]]


def test_they_fail_together_and_are_tried_again(tmp_path: Path) -> None:
    store, stages = Store(tmp_path), parts(fails=True)
    outcome = run_stage(stages[0], store, "cpu")
    assert (outcome.error, outcome.along) == ("one too many", (stages[1].key, stages[2].key))
    for stage in stages:
        assert store.state(stage) == "failed"
        assert (store.folder(stage) / "error.txt").read_text() == "one too many"
        assert "failed: one too many" in (store.folder(stage) / "log.txt").read_text()
    run_stage(stages[1], store, "cpu")
    assert marks(store, stages[2]) == ["by 0", "by 1"]


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_a_run_waits_for_the_first_of_them_and_counts_each(fails: bool, tmp_path: Path) -> None:
    store, stages = Store(tmp_path), parts(fails)
    summary = launch([*stages], store, 2, "cpu", Console(quiet=True))
    titles = [stage.title for stage in stages]
    assert sorted(summary.failed if fails else summary.done) == titles
    assert not summary.done if fails else not summary.failed
    assert summary.found == summary.skipped == []
    (by,) = {tuple(marks(store, stage)) for stage in stages}
    assert len(by) == 1


def test_the_offsets_of_a_training_belong_together() -> None:
    rows = {row.label: row.evaluations[0] for row in smoke_plan().rows}
    offsets = rows["MILA (ours)"]
    for score in offsets:
        assert [(other.key, other.title) for other in score.together] == [
            (other.key, other.title) for other in offsets if other is not score
        ]
    (single,) = rows["D101-MultiTask"]
    assert single.together == ()
