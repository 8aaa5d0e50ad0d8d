"""Table 6: kinds of propagation on the same backbone, everything else being equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.grids.grid import PAIR, From, Grid, Row, pair_row
from experiments.stages import arguments
from mila.tasks import CITYSCAPES, NYUV2

_ALONE: dict[str, Any] = {"multi_frame": False, "task_specific": False}
"""Propagation alone, from keyframes to non-keyframes, once for all tasks ("for fair comparison", appendix C)."""


def _row(label: str, kind: str, published: str | None = None) -> Row:
    model = "slow_fast" if kind in ("svc", "flow") else "mila"
    switches: dict[str, Any] = (
        {} if kind == "ila" else {"propagation": kind}
    )  # ILA is the default, and the row "MILA w/o MF&TS"
    return pair_row(label, published, model, **_ALONE, **switches)


_FLOW = _row("Optical flow, warping", "flow")
_ROWS = (
    _row("None", "none"),
    _row("Concatenation", "concat"),
    replace(_FLOW, starts=(*PAIR, From("propagations.0.flownet", "flownet", ""))),
    Row(
        "Accel: flow, score fusion",
        None,
        "accel",
        arguments(slow=101, fast=18),
        (
            From("slow", "multi_task", "encoder", "slow"),
            From("decoders.slow", "multi_task", "decoders", "slow"),
            From("fast", "multi_task", "encoder", "fast"),
            From("decoders.fast", "multi_task", "decoders", "fast"),
            From("warping.flownet", "flownet", ""),
        ),
    ),
    _row("SVC", "svc", "feature propagation / D101-18 / svc"),
    pair_row("SVC, adaptation branch", None, "svc"),
    _row("ILA (ours)", "ila", "feature propagation / D101-18 / ila"),
)

TABLE6 = (
    Grid("table6a", 6, "Feature propagation with D101-18 on Cityscapes", CITYSCAPES, _ROWS),
    Grid("table6b", 6, "Feature propagation with D101-18 on NYUd v2", NYUV2, _ROWS),
)
