"""Measuring on this machine, small: whatever a plan needs is given a time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from experiments.grids import find_grids
from experiments.profiles import QUICK, SMOKE
from experiments.reference.measure import measure_pace
from experiments.reference.pace import kind_of_training
from experiments.reference.sizes import sized
from experiments.runs import embedded_plan
from experiments.stages import Train, Visual, in_order


@pytest.mark.slow
def test_every_stage_is_given_a_time_whatever_the_schedule() -> None:
    """Of a schedule with frozen encoders, and of a row that starts from a third network, too."""
    (grid, _) = find_grids("table6")
    rows = tuple(row for row in grid.rows if row.label in ("None", "Optical flow, warping"))
    profile = sized(replace(SMOKE, method=QUICK.method), 50)
    plan = embedded_plan(replace(grid, rows=rows, visuals=()), profile)
    pace = measure_pace(plan.stages(), "cpu")
    assert pace.worker > 0
    stages = in_order(plan.stages())
    assert not any(isinstance(stage, Visual) for stage in stages)
    assert all(0 < pace.seconds(stage) < math.inf for stage in stages)
    larger = embedded_plan(plan.grid, sized(replace(SMOKE, method=QUICK.method), 100))
    for stage in (row.evaluations[0][0].train for row in larger.rows):
        parts = pace.training[kind_of_training(stage)].parts
        assert len(parts) == (len(stage.schedule.parts) if stage.schedule is not None else 1)
        assert isinstance(stage, Train)
        assert pace.seconds(stage) > 0
