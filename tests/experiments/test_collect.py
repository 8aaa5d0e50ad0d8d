"""The numbers of a row: means over offsets, then over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.collect import collect_rows
from experiments.stages import Stage
from experiments.store import Store
from tests.support.smoke_plans import smoke_plan


def finish(store: Store, stage: Stage, result: dict[str, Any]) -> None:
    store.begin(stage)
    store.finish(stage, result, seconds=1.0, finished="2026-01-01T00:00:00+00:00", environment={})


def test_a_row_is_the_mean_over_offsets_then_over_seeds(tmp_path: Path) -> None:
    store, seeds = Store(tmp_path), (0, 1)
    row = smoke_plan(seeds=seeds).rows[-2]
    for seed, evaluations in enumerate(row.evaluations):
        finish(store, evaluations[0].train, {"curve": []})
        for evaluation in evaluations:
            finish(store, evaluation, {"metrics": {"miou": 0.1 * seed + 0.01 * evaluation.offset}})
    value = collect_rows(smoke_plan(seeds=seeds), store)[-2].values["miou"]
    assert value.mean == pytest.approx(0.02 + 0.05)
    assert value.std == pytest.approx(np.std([0.02, 0.12], ddof=1))
    assert value.seeds == 2
    assert value.by_offset == pytest.approx([0.05 + 0.01 * o for o in range(5)])
    # Without one of its offsets a seed does not count.
    (store.folder(row.evaluations[1][4]) / "record.json").unlink()
    result = collect_rows(smoke_plan(seeds=seeds), store)[-2]
    assert result.values["miou"].seeds == 1
    assert result.values["miou"].std is None
    assert result.missing == "1 of 2 seeds run"
    assert collect_rows(smoke_plan(), store)[2].missing == "not run"


def test_scores_without_the_record_of_their_training_are_not_used(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), smoke_plan()
    (seed,) = plan.rows[0].evaluations
    for stage in (seed[0].train, *seed):
        finish(store, stage, {"curve": [], "metrics": {"miou": 0.5}})
    assert collect_rows(plan, store)[0].values["miou"].mean == 0.5
    (store.folder(seed[0].train) / "record.json").unlink()
    row = collect_rows(plan, store)[0]
    assert row.values == {}
    assert row.missing == "the record of a training is gone"
