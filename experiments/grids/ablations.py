"""Tables 3, 4, 9 and 10: MILA's losses, its window, weighting of the tasks, and slow networks alone."""

from __future__ import annotations

from experiments.grids.grid import ALONE, Grid, InitialWeights, Row, frame_row, pair_row
from experiments.stages import arguments
from mila.switches import MimicryOptions
from mila.tasks import CITYSCAPES

_L1 = MimicryOptions(beta=0.0)
_LOSSES = "MILA ablation of losses / D101-18"
_WINDOW = "MILA window / D101-18"

TABLE3 = Grid(
    name="table3",
    table=3,
    title="ILA and the mimicry losses (Eq. 3) on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        pair_row("Concatenation", f"{_LOSSES} / none", propagation="concat", mimicry=None, **ALONE),
        pair_row("Concatenation, L1", f"{_LOSSES} / l1", propagation="concat", mimicry=_L1, **ALONE),
        pair_row("ILA", f"{_LOSSES} / ila", mimicry=None, **ALONE),
        pair_row("ILA, L1", f"{_LOSSES} / l1+ila", mimicry=_L1, **ALONE),
        pair_row("ILA, L1, adversarial", f"{_LOSSES} / l1+adv+ila", **ALONE),
    ),
)

TABLE4 = Grid(
    name="table4",
    table=4,
    title="Window of ILA on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        pair_row("3 × 3", f"{_WINDOW} / 3x3", window=3),
        pair_row("5 × 5", f"{_WINDOW} / 5x5"),
        pair_row("7 × 7", f"{_WINDOW} / 7x7", window=7),
        pair_row("15 × 15", f"{_WINDOW} / 15x15", window=15),
        pair_row("Global", f"{_WINDOW} / global(64)", window="global"),
    ),
    visuals=("motion",),
)

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
            (InitialWeights("slow", "multi_task", "encoder", "slow"),),
        ),
    )


TABLE10 = Grid(
    name="table10",
    table=10,
    title="Slow network only, with task-specific ILA, on Cityscapes",
    suite=CITYSCAPES,
    rows=(*_slow_only(101), *_slow_only(50), *_slow_only(18)),
)
