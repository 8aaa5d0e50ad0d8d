"""Tables 9 and 10: weighting of the tasks, and MILA on slow networks alone."""

from __future__ import annotations

from experiments.grids.grid import From, Grid, Row, frame_row, pair_row
from experiments.stages import arguments
from mila.tasks import CITYSCAPES

TABLE9 = Grid(
    name="table9",
    table=9,
    title="Weighting strategies for MILA on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        pair_row("Equal", "MILA weighting / D101-18 / equal"),
        pair_row("Uncertainty", "MILA weighting / D101-18 / uncertainty", weighting="uncertainty"),
        pair_row("DWA", "MILA weighting / D101-18 / dwa", weighting="dwa"),
        pair_row("Geometric", None, weighting="geometric"),
        pair_row("MultiNet++, geometric", None, "multinetpp", weighting="geometric"),
    ),
)


def _slow_only(depth: int) -> tuple[Row, Row]:
    """Frame by frame, and with ILA from the frame before (MF and TS; K = 1)."""
    ours = arguments(slow=depth, fast=None, keyframe_interval=1, mimicry=None)
    return (
        frame_row(f"D{depth}-Multi", f"D{depth}-Multi / 1", "multi_task", depth),
        Row(
            f"D{depth}-Multi + Ours",
            f"D{depth}-Multi + Ours / 1",
            "mila",
            ours,
            (From("slow", "multi_task", "encoder", "slow"),),
        ),
    )


TABLE10 = Grid(
    name="table10",
    table=10,
    title="Slow network only, with task-specific ILA, on Cityscapes",
    suite=CITYSCAPES,
    rows=(*_slow_only(101), *_slow_only(50), *_slow_only(18)),
)
