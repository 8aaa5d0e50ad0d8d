"""Grids are found by their names, and every row of them builds."""

from __future__ import annotations

import pytest

from experiments.grids import ALL_GRIDS, BEYOND, FIGURES, GRIDS, TABLES, find_grids
from experiments.models import build
from experiments.profiles import QUICK
from mila.errors import UserError
from mila.weighting import make_weighting
from tests.support.smoke_plans import smoke_plan, trains_of


def test_grids_are_found_by_number_and_by_what_they_are_about() -> None:
    assert find_grids("ablation_window") == find_grids("table4") == (GRIDS["table4"],)
    assert find_grids("propagation_keyframe_interval") == (GRIDS["table5"], GRIDS["table11"])
    assert set(find_grids("all")) == {grid for grids in (TABLES | FIGURES).values() for grid in grids}
    with pytest.raises(UserError, match="there is no grid 'table99'; choose one of: table1, .*ablation_window"):
        find_grids("table99")


def test_slow_only_rows_have_the_papers_depths_in_their_order() -> None:
    rows = trains_of("table10", QUICK)
    depths = [dict(rows[f"D{d}-Multi"].arguments)["depth"] for d in (101, 50, 18)]
    assert depths == [QUICK.depths[d] for d in (101, 50, 18)] == sorted(depths, reverse=True)
    ours = dict(rows["D50-Multi + Ours"].arguments)
    assert (ours["slow"], ours["fast"], ours["keyframe_interval"]) == (QUICK.depths[50], None, 1)


def test_what_is_beyond_the_paper_is_asked_for_by_its_own_name_alone() -> None:
    for name, (grid,) in BEYOND.items():
        assert find_grids(name) == (ALL_GRIDS[name],) == (grid,)
        assert grid not in find_grids("all")
        assert grid.name not in GRIDS
        assert grid.heading.startswith(f"Beyond Table {grid.table}. ")
        assert not any(row.published for row in grid.rows)


def test_settings_are_chosen_on_the_validation_split_unless_told_otherwise() -> None:
    (grid,) = BEYOND["ablation_mimicry"]
    for split, scored in ((None, "val"), ("val", "val"), ("test", "test")):
        plan = smoke_plan(grid=grid, data="street", split=split)
        assert plan.test_data.source.split == scored
        assert {e.data.source.split for row in plan.rows for seed in row.evaluations for e in seed} == {scored}
    assert smoke_plan().test_data.source.split == "test"


def test_mimicry_rows_share_their_trainings_with_table_3() -> None:
    """Without mimicry, L1 alone, and both are the same networks, scored on another split."""
    ours, table = trains_of("ablation_mimicry"), trains_of("table3")
    for label, theirs in (
        ("None", "ILA"),
        ("L1, from the head start on", "ILA, L1"),
        ("+ L1 from the head start on (default)", "ILA, L1, adversarial"),
    ):
        assert ours[label].key == table[theirs].key
    keys = [train.key for train in ours.values()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", [*GRIDS, *BEYOND])
def test_every_row_of_every_grid_builds_at_its_sizes_and_takes_its_starts(name: str) -> None:
    for train in trains_of(name).values():
        model = build(train.model, train.data.source.suite, dict(train.arguments))
        for start in train.starts:
            theirs = build(start.stage.model, start.stage.data.source.suite, dict(start.stage.arguments))
            state = theirs.get_submodule(start.theirs).state_dict()
            model.get_submodule(start.ours).load_state_dict(state)
        if train.schedule is not None:
            assert make_weighting(train.weighting, [t.name for t in model.suite.tasks]) is not None
