"""Sizes of profiles: what they keep, what they shrink, and that their names are profiles wherever one is named."""

from __future__ import annotations

import itertools

import pytest

from experiments.commands.options import Options
from experiments.commands.plans import plans_of, stages_of
from experiments.grids import find_grids
from experiments.profiles import REFERENCE, SMOKE
from experiments.reference.sizes import LADDER, LEAST_SCORED, find_sized, sized
from experiments.stages import Train
from mila.errors import UserError
from reports.provenance import about
from tests.support.smoke_plans import smoke_plan


def test_a_size_is_the_profile_on_some_of_its_clips() -> None:
    small = sized(REFERENCE, 40)
    assert (small.name, small.train_clips, small.test_clips, small.flow_clips) == ("reference-40", 800, 200, 4000)
    assert small.precision == "bfloat16"
    assert "sized by the clock" in small.about
    for name in ("scale", "width", "depths", "stride", "encoder", "method", "weights"):
        assert getattr(small, name) == getattr(REFERENCE, name)
    assert small.encoder.steps(small.train_clips) * 10 == REFERENCE.encoder.steps(REFERENCE.train_clips) * 4


def test_enough_clips_stay_for_a_batch_and_for_a_score() -> None:
    assert sized(REFERENCE, 5).test_clips == LEAST_SCORED
    tiny = sized(SMOKE, 1)
    assert (tiny.train_clips, tiny.test_clips) == (4, SMOKE.test_clips)


def test_steps_of_the_ladder_are_a_fifth_apart_at_least() -> None:
    assert LADDER[0] == 100
    assert all(small <= 0.84 * large for large, small in itertools.pairwise(LADDER))


def test_names_of_sizes() -> None:
    assert find_sized("reference-40") == sized(REFERENCE, 40)
    for name in ("reference", "reference-0", "reference-101", "reference-040", "nobody-40", "reference-40-40", "-40"):
        assert find_sized(name) is None
    with pytest.raises(ValueError, match="1 to 100 percent"):
        sized(REFERENCE, 0)


def test_a_name_is_a_profile_on_the_command_line_and_on_pages() -> None:
    (plan,) = plans_of(Options(grid="reference", part=1, profile="smoke-50"))
    assert plan.profile == sized(SMOKE, 50)
    assert about(plan, {}).file_name == "reference1-smoke-50"
    (other,) = plans_of(Options(grid="reference", part=1, profile="smoke-50", augmentation="mtan"))
    assert about(other, {}).file_name == "reference1-smoke-50-augmentation-mtan"
    with pytest.raises(UserError, match="there is no profile 'smoke-101'"):
        plans_of(Options(grid="reference", profile="smoke-101"))


def test_no_stage_of_a_size_is_one_of_the_profile_or_of_another_size() -> None:
    """Records are matched by what was computed: those of two sizes must never be taken for each other."""
    of = {
        profile.name: {stage.identity for stage in smoke_plan(profile=profile).stages() if stage.kind != "measure"}
        for profile in (SMOKE, sized(SMOKE, 60), sized(SMOKE, 80))
    }
    for one, other in itertools.combinations(of.values(), 2):
        assert one.isdisjoint(other - {s.identity for s in smoke_plan().stages() if s.kind == "measure"})


def test_parts_have_all_that_they_need_and_share_what_is_the_same() -> None:
    parts = [Options(grid="reference", part=part, profile="smoke-50") for part in range(1, 5)]
    trainings = [{s.key for s in stages_of(options) if isinstance(s, Train)} for options in parts]
    street = [
        s for s in stages_of(parts[0]) if s.title in ("street D101-MultiTask, seed 0", "street D18-MultiTask, seed 0")
    ]
    assert len(street) == 2
    assert {s.key for s in street} <= trainings[0] & trainings[1]
    assert trainings[0].isdisjoint(trainings[2] | trainings[3])  # longer clips, and another world
    (table2,) = find_grids("table2")
    rows = {row.label for row in table2.rows} & {row.label for row in find_grids("reference1")[0].rows}
    assert len(rows) == 5
    there = {s.key for s in stages_of(Options(grid="table2", profile="smoke-50", rows=tuple(rows)))}
    assert there <= {s.key for s in stages_of(parts[0])}


def test_rows_are_in_order_of_worth() -> None:
    labels = ["D101-MultiTask", "D18-MultiTask", "None", "MultiNet++", "MILA w/o MF&TS", "MILA w/o TS", "MILA (ours)"]
    parts = find_grids("reference")
    assert [row.label for row in parts[0].rows] == labels
    assert [part.suite.name for part in parts] == ["cityscapes"] * 3 + ["nyuv2"]
    assert [part.longest_interval for part in parts] == [5, 5, 10, 5]
    with pytest.raises(UserError, match="--part 5: reference has parts 1 to 4"):
        plans_of(Options(grid="reference", part=5))
