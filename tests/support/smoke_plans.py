"""Plans under the profile `smoke`, by default of Table 1 on the rooms."""

from __future__ import annotations

from typing import Any

from experiments.grids import ALL_GRIDS, GRIDS
from experiments.plan import Plan, make_plan
from experiments.profiles import SMOKE, Profile
from experiments.stages import Train
from mila.tasks import NYUV2


def smoke_plan(**changes: Any) -> Plan:
    """The plan of `make_plan`, whose arguments the `changes` are."""
    return make_plan(**{"grid": GRIDS["table1"], "profile": SMOKE, "data": "rooms", "mode": "video", **changes})


def trains_of(name: str, profile: Profile = SMOKE) -> dict[str, Train]:
    """The training of each row of a grid."""
    grid = ALL_GRIDS[name]
    data = "rooms" if grid.suite == NYUV2 else "street"
    return {row.label: row.evaluations[0][0].train for row in smoke_plan(grid=grid, data=data, profile=profile).rows}
