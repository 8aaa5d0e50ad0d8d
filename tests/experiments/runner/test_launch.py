"""The order in which stages are started."""

from __future__ import annotations

from experiments.runner.launch import longest_paths
from experiments.stages import in_order
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
