"""Another K than the paper's: which rows take it, which clips it needs, and what is said where clips are short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.commands.options import read_options
from experiments.commands.plans import plans_of
from experiments.commands.run import main
from experiments.grids import GRIDS
from experiments.plan import Plan
from experiments.profiles import SMOKE
from mila.data.prepare import pack
from mila.errors import UserError
from mila.tasks import NYUV2
from tests.support.fake_clips import FakeClips
from tests.support.smoke_plans import smoke_plan


def plan_at(interval: int, grid: str, **more: object) -> Plan:
    """A plan of the street, or as `more` says."""
    profile = replace(SMOKE, keyframe_interval=interval)
    return smoke_plan(**{"grid": GRIDS[grid], "data": "street", "profile": profile, **more})


def test_rows_that_do_not_say_otherwise_take_it() -> None:
    plan = plan_at(3, "table2")
    offsets = {row.label: len(row.evaluations[0]) for row in plan.rows}
    assert offsets["MILA (ours)"] == offsets["MultiNet++"] == 3
    assert offsets["D101-MultiTask"] == 1
    assert plan.test_data.length == 4
    cost = {row.label: row.measure for row in plan.rows}["MILA (ours)"]
    assert cost is not None
    assert dict(cost.arguments)["keyframe_interval"] == 3
    assert plan.grid.heading.endswith(", at K = 3 (in print: K = 5)")
    assert "K = " not in plan_at(5, "table2").grid.heading


def test_the_papers_k_makes_the_papers_stages() -> None:
    usual = smoke_plan(grid=GRIDS["table2"], data="street")
    assert [s.key for s in plan_at(5, "table2").stages()] == [s.key for s in usual.stages()]


def test_rows_with_a_k_of_their_own_keep_it() -> None:
    assert plan_at(3, "table5").grid is GRIDS["table5"]
    ten = plan_at(2, "table10")
    assert {len(row.evaluations[0]) for row in ten.rows} == {1}
    assert ten.test_data.length == 3  # shorter clips are enough, and that is all that it means there
    assert "K = " not in ten.grid.heading


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A packed store of clips of three frames."""
    height, width = SMOKE.size(NYUV2)
    for split in ("train", "test"):
        pack(FakeClips(6, NYUV2, height, width), 3, tmp_path / "store" / split)
    return tmp_path / "store"


def test_clips_that_are_short_name_the_option(short: Path) -> None:
    given = {"data": "nyuv2", "root": short}
    with pytest.raises(UserError, match=r"--length 6. Or take the clips as they are, with --keyframe-interval 2.$"):
        smoke_plan(**given)
    assert plan_at(2, "table1", **given).test_data.length == 3
    fixed = replace(GRIDS["table5"], suite=NYUV2)
    with pytest.raises(UserError) as error:
        smoke_plan(grid=fixed, **given)
    assert "A shorter --keyframe-interval does not help: K is part of what these rows are: D101-18, K = 5, opt" in str(
        error.value
    )


def test_clips_that_are_too_short_for_any_name_none(tmp_path: Path) -> None:
    height, width = SMOKE.size(NYUV2)
    for split in ("train", "test"):
        pack(FakeClips(6, NYUV2, height, width), 1, tmp_path / split)
    with pytest.raises(UserError, match="prepare it again with --length 6.$"):
        smoke_plan(data="nyuv2", root=tmp_path)


def test_real_data_are_limited_where_a_profile_says_so(short: Path) -> None:
    given = {"data": "nyuv2", "root": short}
    whole = plan_at(2, "table1", **given)
    assert (whole.train_data.count, whole.test_data.count) == (6, 6)
    few = replace(SMOKE, keyframe_interval=2, real_train_clips=4, real_test_clips=2)
    plan = smoke_plan(profile=few, **given)
    assert (plan.train_data.count, plan.test_data.count) == (4, 2)
    many = replace(SMOKE, keyframe_interval=2, real_train_clips=7, real_test_clips=6)
    assert smoke_plan(profile=many, **given).train_data.key == whole.train_data.key


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--grid table5 --keyframe-interval 3", "every row of table5 that has a keyframe interval has one of its own"),
        ("--grid table2 --keyframe-interval 0", "--keyframe-interval takes a whole number from 1 to 64."),
        ("--grid table2 --keyframe-interval 64", "with --keyframe-interval "),
    ],
)
def test_what_cannot_be_is_said(words: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), "--profile", "smoke", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_option_goes_before_the_profile_and_tables_of_fixed_rows_stay_as_they_are() -> None:
    options = read_options(["--grid", "propagation_keyframe_interval", "--profile", "smoke"])
    assert [plan.grid for plan in plans_of(options)] == [GRIDS["table5"], GRIDS["table11"]]
    plans = plans_of(read_options(["--grid", "all", "--profile", "smoke", "--keyframe-interval", "4"]))
    intervals = {plan.grid.name: plan.grid.keyframe_interval for plan in plans}
    assert (intervals["table2"], intervals["table5"]) == (4, 5)
