"""Table 6: kinds of propagation on the same backbone, everything else being equal; and two systems that use them."""

from __future__ import annotations

from typing import Any

from experiments.grids.grid import PAIR, From, Grid, pair_row
from mila.tasks import CITYSCAPES, NYUV2

_ALONE: dict[str, Any] = {"multi_frame": False, "task_specific": False}
"""From keyframes to non-keyframes, once for all tasks, as in "MILA w/o MF&TS" ("for fair comparison", appendix C)."""

_ACCEL = (
    From("slow", "multi_task", "encoder", "slow"),
    From("decoders.slow", "multi_task", "decoders", "slow"),
    From("fast", "multi_task", "encoder", "fast"),
    From("decoders.fast", "multi_task", "decoders", "fast"),
    From("warping.flownet", "flownet", ""),
)

_ROWS = (
    pair_row("None", None, propagation="none", **_ALONE),
    pair_row("Concatenation", None, propagation="concat", **_ALONE),
    pair_row(
        "Optical flow, warping",
        None,
        "slow_fast",
        starts=(*PAIR, From("propagations.0.flownet", "flownet", "")),
        propagation="flow",
        **_ALONE,
    ),
    pair_row("Accel: flow, score fusion", None, "accel", starts=_ACCEL),
    pair_row("SVC", "feature propagation / D101-18 / svc", "slow_fast", propagation="svc", **_ALONE),
    pair_row("SVC, adaptation branch", None, "svc"),
    pair_row("ILA (ours)", "feature propagation / D101-18 / ila", **_ALONE),
)

TABLE6 = (
    Grid("table6a", 6, "Feature propagation with D101-18 on Cityscapes", CITYSCAPES, _ROWS),
    Grid("table6b", 6, "Feature propagation with D101-18 on NYUd v2", NYUV2, _ROWS),
)
