"""The records of `study` that the suite carries: they are of what `study` is today, and there is room for them."""

from __future__ import annotations

import pytest

from experiments.commands.ship import LARGEST
from experiments.grids import ALL_GRIDS
from experiments.profiles import STUDY as PROFILE
from experiments.runs import embedded_plan
from experiments.shipped import STUDY
from experiments.shipped.store import open_records
from experiments.stages import in_order

pytestmark = pytest.mark.skipif(not STUDY.exists(), reason="the records of study do not ship yet")


@pytest.mark.slow
def test_every_record_is_of_a_stage_of_the_profile() -> None:
    """Fails where a profile, a grid or a world changed, so that pages miss rows: run these anew, and ship again."""
    with open_records(STUDY) as records:
        assert records.profile == PROFILE.name
        plans = [embedded_plan(grid, PROFILE, records.seeds) for grid in ALL_GRIDS.values()]
        planned = {stage.identity for plan in plans for stage in in_order([plan.test_data, *plan.stages()])}
        assert records.identities <= planned


def test_the_file_is_small() -> None:
    assert STUDY.stat().st_size <= LARGEST
