"""The order in which stages are started, and who did them."""

from __future__ import annotations

from pathlib import Path

from experiments.runner.launch import longest_paths
from experiments.runner.run_stage import run_stage
from experiments.stages import in_order
from experiments.store import Store
from tests.support.smoke_plans import smoke_plan


def test_the_longest_chain_of_work_is_known() -> None:
    stages = {stage.key: stage for stage in in_order(smoke_plan().stages())}
    behind = longest_paths(stages, {key: {"train": 10.0, "data": 2.0}.get(s.kind, 1.0) for key, s in stages.items()})
    by_title = {stage.title: behind[key] for key, stage in stages.items()}
    assert by_title["rooms MILA (ours), seed 0"] == 10 + 1
    assert by_title["rooms D18-MultiTask, seed 0"] == 10 + 10 + 1
    assert by_title["clips rooms train"] == 2 + 10 + 10 + 1
    assert by_title["clips rooms test"] == 2 + 1
    assert by_title["cost of MILA (ours)"] == 1


def test_a_stage_that_another_runner_did_meanwhile_is_not_counted_as_ones_own(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), smoke_plan().test_data
    assert not run_stage(stage, store, "cpu").was_done
    assert run_stage(stage, store, "cpu").was_done
