"""How good the optical flow is that some rows start from: FlowNet-S on the exact flow of an embedded world."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.plan import Plan
from experiments.results import FlowResult
from reports.statistics import interval
from reports.tables.table import Cell

_DECIMALS = 2
ANCHOR = "row-flownet"
"""Where a page lists the stages behind these numbers."""


@dataclass(frozen=True)
class Entry:
    """One number.

    Attributes:
        key: in the CSV file.
        name: in words.
        unit: empty for a ratio.
        cell: the number, mean over seeds.
    """

    key: str
    name: str
    unit: str
    cell: Cell


@dataclass(frozen=True)
class Flow:
    """The scores of FlowNet-S.

    Attributes:
        entries: end-point error, that of a flow of 0, their ratio.
        data: the world, as `About.data` names it.
        elsewhere: whether the rows are scored on other data than that world.
        size: `height × width` of the frames, pixels.
        clips: how many pairs of frames it was trained on.
        seeds: how many are finished.
        missing: why numbers are missing, in words.
    """

    entries: tuple[Entry, ...]
    data: str
    elsewhere: bool
    size: str
    clips: int
    seeds: int
    missing: str


def make_flow(plan: Plan, result: FlowResult | None) -> Flow | None:
    """What a report says of FlowNet-S; None where no row starts from it."""
    if result is None:
        return None
    source = plan.flow[0].data.source
    entries = (
        Entry("epe", "End-point error of FlowNet-S", "px", _cell(result, "epe")),
        Entry("epe_zero", "End-point error of zero flow", "px", _cell(result, "epe_zero")),
        Entry("epe_ratio", "Ratio", "", _cell(result, "ratio")),
    )
    return Flow(
        entries=entries,
        data=f"procedural videos ({source.name})",
        elsewhere=not plan.embedded,
        size=f"{source.height} × {source.width}",
        clips=plan.profile.flow_clips,
        seeds=len(result.evaluations),
        missing=result.missing,
    )


def _cell(result: FlowResult, name: str) -> Cell:
    value = result.values.get(name)
    if value is None or math.isnan(value.mean):
        return Cell()
    if value.std is None:
        return Cell(value.mean, f"{value.mean:.{_DECIMALS}f}", n=value.seeds, href=f"#{ANCHOR}")
    low, high = interval(value.mean, value.std, value.seeds)
    return Cell(
        value.mean,
        f"{value.mean:.{_DECIMALS}f}",
        value.std,
        f"±{value.std:.{_DECIMALS}f}",
        value.seeds,
        low=low,
        high=high,
        interval=f"{low:.{_DECIMALS}f} to {high:.{_DECIMALS}f}".replace("-", "−"),
        href=f"#{ANCHOR}",
    )
