"""Tables 5, 6 and 11: kinds of propagation on the same backbones, and how they bear longer keyframe intervals."""

from __future__ import annotations

from experiments.grids.grid import ALONE, PAIR, Grid, InitialWeights, Row, pair_row
from mila.tasks import CITYSCAPES, CITYSCAPES7, CITYSCAPES19, NYUV2

_ACCEL = (
    InitialWeights("slow", "multi_task", "encoder", "slow"),
    InitialWeights("decoders.slow", "multi_task", "decoders", "slow"),
    InitialWeights("fast", "multi_task", "encoder", "fast"),
    InitialWeights("decoders.fast", "multi_task", "decoders", "fast"),
    InitialWeights("warping.flownet", "flownet", ""),
)

_ROWS = (
    pair_row("None", None, propagation="none", **ALONE),
    pair_row("Concatenation", None, propagation="concat", **ALONE),
    pair_row(
        "Optical flow, warping",
        None,
        "slow_fast",
        starts=(*PAIR, InitialWeights("propagations.0.flownet", "flownet", "")),
        propagation="flow",
        **ALONE,
    ),
    pair_row("Accel: flow, score fusion", None, "accel", starts=_ACCEL),
    pair_row("SVC", "feature propagation / D101-18 / svc", "slow_fast", propagation="svc", **ALONE),
    pair_row("SVC, adaptation branch", None, "svc"),
    pair_row("ILA (ours)", "feature propagation / D101-18 / ila", **ALONE),
)

TABLE6 = (
    Grid("table6a", 6, "Feature propagation with D101-18 on Cityscapes", CITYSCAPES, _ROWS, visuals=("motion",)),
    Grid("table6b", 6, "Feature propagation with D101-18 on NYUd v2", NYUV2, _ROWS, visuals=("motion",)),
)


def _intervals(fast: int) -> tuple[Row, ...]:
    """Optical flow, whose numbers at K = 5 are those that Accel's authors printed (note 4.5), and ILA alone."""
    rows: list[Row] = []
    for k in (5, 10):
        name = f"19-class video segmentation / D101-{fast} / {k}"
        rows += [
            pair_row(
                f"D101-{fast}, K = {k}, optical flow (Accel)",
                f"{name} / optical flow",
                "accel",
                fast=fast,
                starts=_ACCEL,
                keyframe_interval=k,
            ),
            pair_row(f"D101-{fast}, K = {k}, ILA (ours)", f"{name} / ila", fast=fast, keyframe_interval=k, **ALONE),
        ]
    return tuple(rows)


TABLE5 = Grid(
    name="table5",
    table=5,
    title="Video segmentation of 19 classes on Cityscapes at keyframe intervals 5 and 10",
    suite=CITYSCAPES19,
    rows=(*_intervals(18), *_intervals(34)),
    stand_in=CITYSCAPES7,
)

TABLE11 = Grid(
    name="table11",
    table=11,
    title="Supplement to Table 5: D101-50",
    suite=CITYSCAPES19,
    rows=_intervals(50),
    stand_in=CITYSCAPES7,
)
