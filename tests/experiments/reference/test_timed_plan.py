"""Which size and which rows fit into some minutes, from made-up times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.grids import find_grids
from experiments.plan import Plan
from experiments.profiles import QUICK, REFERENCE
from experiments.reference.pace import (
    COUNTING,
    Pace,
    PartPace,
    RenderingPace,
    TrainingPace,
    kind_of_data,
    kind_of_training,
    rendering_pace,
)
from experiments.reference.sizes import LADDER, sized
from experiments.reference.timed_plan import MARGIN, TimedPlan, choose, time_plan
from experiments.runs import embedded_plan
from experiments.stages import Data, Evaluate, Train, in_order

STEPS = {"multi_task": 0.03, "mila": 0.06, "multinetpp": 0.04}
"""Made-up seconds."""


def plan_at(percent: int, *seeds: int, part: int = 1) -> Plan:
    return embedded_plan(find_grids("reference")[part - 1], sized(REFERENCE, percent), seeds or (0,))


def made_up(plan: Plan, slower: float = 1.0) -> Pace:
    stages = in_order(plan.stages())
    trainings = [stage for stage in stages if isinstance(stage, Train)]
    return Pace(
        10.0,
        {kind_of_data(s): RenderingPace(3.0, 0.1 * slower) for s in stages if isinstance(s, Data)},
        {
            kind_of_training(s): TrainingPace(
                33,
                build=1.0,
                keep=0.5,
                parts=(PartPace(2.0, STEPS[s.model] * slower),) if s.schedule else (PartPace(0.1, 0.0),),
                score=0.02 * slower,
            )
            for s in trainings
        },
    )


def names(found: TimedPlan) -> list[str]:
    return [unit.name for unit in found.units if unit.fits]


def chosen(left: float, slower: float = 1.0, *seeds: int) -> TimedPlan:
    plans = [plan_at(percent, *seeds) for percent in LADDER]
    return choose(plans, made_up(plans[-1], slower), left)


def test_paces_of_one_size_hold_for_all_others() -> None:
    pace = made_up(plan_at(5))
    plan = plan_at(40, 1)  # of another seed, too
    for stage in in_order(plan.stages()):
        assert pace.seconds(stage) > 0
    train = plan.rows[0].evaluations[0][0].train
    assert train.title == "street D101-MultiTask, seed 1"
    assert pace.seconds(train) == pytest.approx(1 + 0.5 + 2 + 0.03 * 4000)
    method = plan.rows[2].evaluations[0][0].train
    assert pace.seconds(method) == pytest.approx(1 + 0.5 * 4 + 2 + 0.06 * 2000)  # it reads three states first
    assert pace.seconds(plan.train_data) == pytest.approx(3 + 0.1 * 800)
    assert pace.seconds(plan.rows[0].evaluations[0][0]) == pytest.approx(1 + 0.5 + 0.02 * 200)
    assert pace.seconds(plan.rows[0].measure) == COUNTING  # type: ignore[arg-type]


def test_maps_of_frozen_encoders_take_their_time_for_every_clip() -> None:
    plan = embedded_plan(find_grids("table3")[0], sized(QUICK, 50))
    train = plan.rows[0].evaluations[0][0].train
    assert train.schedule is not None
    head_start, together = train.schedule.parts
    parts = (PartPace(3.0, 0.01), PartPace(0.5, 0.1))
    pace = Pace(0, {}, {kind_of_training(train): TrainingPace(10, 0.0, 0.0, parts, 0.0)})
    expected = 3.0 * 500 / 10 + 0.01 * head_start.steps(500) + 0.5 + 0.1 * together.steps(500)
    assert pace.seconds(train) == pytest.approx(expected)


def test_the_largest_size_at_which_all_rows_fit_is_chosen() -> None:
    found = chosen(500)
    assert not found.left_out
    place = LADDER.index(int(found.plan.profile.name.split("-")[1]))
    assert 0 < place < len(LADDER) - 1
    larger = time_plan(plan_at(LADDER[place - 1]), made_up(plan_at(5)), 500)
    assert larger.left_out
    assert sum(sum(unit.seconds) for unit in found.units) + 10 * MARGIN <= 500


def test_two_cards_of_like_speed_are_given_the_same_size() -> None:
    assert {chosen(500, slower).plan.profile.name for slower in (0.97, 1.0, 1.03)} == {chosen(500).plan.profile.name}


def test_what_does_not_fit_at_the_smallest_size_is_named_and_what_comes_after_it_may_fit() -> None:
    plan = plan_at(5)
    pace = made_up(plan)
    slow = kind_of_training(plan.rows[2].evaluations[0][0].train)
    training = {**pace.training, slow: replace(pace.training[slow], parts=(PartPace(2.0, 10.0),))}
    found = choose([plan_at(7), plan], replace(pace, training=training), 300)
    assert found.plan == plan
    assert found.left_out == ("None, seed 0",)
    assert names(found) == [
        "Constant predictor",
        *(f"{row.label}, seed 0" for row in plan.rows[:-1] if row.label != "None"),
    ]
    assert found.begin + sum(sum(unit.seconds) for unit in found.units if unit.fits) <= 300
    kept = {stage.key for stage in found.stages}
    assert all(needed.key in kept for stage in found.stages for needed in stage.needs)


def test_nothing_fits_into_no_time() -> None:
    found = chosen(1)
    assert not found.stages
    assert found.first_row == found.begin + sum(found.units[0].seconds) + sum(found.units[1].seconds)


def test_what_is_done_takes_no_time_so_that_a_second_run_goes_on() -> None:
    plan = plan_at(100)
    pace = made_up(plan)
    first = choose([plan], pace, 1500)
    assert first.left_out
    done = {stage.key for stage in first.stages}
    second = choose([plan], pace, 1500, is_done=lambda stage: stage.key in done)
    assert not second.left_out
    assert all(second.expected[key] == 0 for key in done)


def test_every_stage_is_planned_once_and_scores_of_all_offsets_together() -> None:
    found = chosen(10_000)
    assert found.plan.profile.name == "reference-100"
    keys = [stage.key for stage in found.stages]
    assert len(set(keys)) == len(keys)
    assert list(found.expected) == keys
    assert sum(found.expected.values()) == pytest.approx(sum(sum(unit.seconds) for unit in found.units))
    assert set(keys) == {stage.key for stage in in_order(found.plan.stages())}
    (mila,) = (unit for unit in found.units if unit.name == "MILA (ours), seed 0")
    scores = [s for stage, s in zip(mila.stages, mila.seconds, strict=True) if isinstance(stage, Evaluate)]
    assert len(scores) == 5
    assert [s > 0 for s in scores] == [True, False, False, False, False]


def test_a_second_seed_comes_after_all_rows_of_the_first() -> None:
    found = [unit.name for unit in chosen(10_000, 1.0, 0, 1).units]
    assert found[0] == "Constant predictor"
    assert [name.split(", seed ")[1] for name in found[1:]] == ["0"] * 7 + ["1"] * 7


def test_rows_that_were_asked_for_alone() -> None:
    found = choose([plan_at(5)], made_up(plan_at(5)), 1000, ["None"])
    assert names(found) == ["Constant predictor", "None, seed 0"]
    assert [s.title for s in found.stages if isinstance(s, Train)] == [
        "street constant predictor",
        "street D101-MultiTask, seed 0",
        "street D18-MultiTask, seed 0",
        "street None, seed 0",
    ]


@pytest.mark.parametrize(
    ("calls", "begin", "clip"),
    [
        ([(1.0, 1), (2.0, 2), (3.0, 3), (4.0, 4), (5.0, 5)], 0.0, 1.0),  # one after the other
        ([(1.0, 1), (7.0, 17), (9.0, 33)], 7.0 - 17 * 2 / 16, 2 / 16),  # sixteen at once, after a start of four
        ([(2.0, 1)], 0.0, 2.0),
    ],
)
def test_rendering_is_told_from_its_later_half(calls: list[tuple[float, int]], begin: float, clip: float) -> None:
    found = rendering_pace(calls, calls[-1][1])
    assert [found.begin, found.clip] == pytest.approx([begin, clip])
