"""Tables 1, 2 and 8: video-based multi-task learning on NYUd v2 and Cityscapes, and the backbones of the baselines."""

from __future__ import annotations

from experiments.grids.grid import Grid, InitialWeights, Row, frame_row, pair_row
from mila.tasks import CITYSCAPES, NYUV2

_MULTI_TASK = (
    InitialWeights("encoder", "multi_task", "encoder", "depth"),
    InitialWeights("decoders", "multi_task", "decoders", "depth"),
)
_SINGLE_TASK = (
    InitialWeights("encoders", "single_task", "encoders", "depth"),
    InitialWeights("decoders", "single_task", "decoders", "depth"),
)


def _mtan(label: str, published: str) -> Row:
    """MTAN on a multi-task-trained DeepLab-ResNet101 (appendix A)."""
    return frame_row(label, published, "mtan", starts=_MULTI_TASK)


def _cross_stitch(label: str, published: str) -> Row:
    """Cross-Stitch on single-task-trained DeepLab-ResNet101s (appendix A)."""
    return frame_row(label, published, "cross_stitch", starts=_SINGLE_TASK)


_SINGLE = frame_row("D101-SingleTask", "D101-SingleTask", "single_task")
_MULTI = frame_row("D101-MultiTask", "D101-MultiTask", "multi_task")
_MTAN_SEGNET = Row("MTAN-SegNet", "MTAN-SegNet", "segnet_mtan")
_CROSS_STITCH_SEGNET = Row("Cross-Stitch-SegNet", "Cross-Stitch-SegNet", "segnet_cross_stitch")
_MILA = (
    pair_row("MILA w/o MF&TS", "MILA w/o MF&TS", multi_frame=False, task_specific=False),
    pair_row("MILA w/o TS", "MILA w/o TS", task_specific=False),
    pair_row("MILA (ours)", "MILA"),
)

TABLE1 = Grid(
    name="table1",
    table=1,
    title="Video-based multi-task learning on NYUd v2",
    suite=NYUV2,
    rows=(
        _SINGLE,
        _MULTI,
        _MTAN_SEGNET,
        _CROSS_STITCH_SEGNET,
        _mtan("MTAN*", "MTAN*"),
        _cross_stitch("Cross-Stitch*", "Cross-Stitch*"),
        pair_row("MultiNet++*", "MultiNet++*", "multinetpp"),
        *_MILA,
    ),
)

TABLE2 = Grid(
    name="table2",
    table=2,
    title="Video-based multi-task learning on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        _SINGLE,
        _MULTI,
        _MTAN_SEGNET,
        _mtan("MTAN*", "MTAN*"),
        _cross_stitch("Cross-Stitch*", "Cross-Stitch*"),
        pair_row("MultiNet++", "MultiNet++", "multinetpp"),
        *_MILA,
    ),
)

TABLE8 = Grid(
    name="table8",
    table=8,
    title="Backbones of MTAN and Cross-Stitch on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        _MTAN_SEGNET,
        _mtan("MTAN-ResNet101", "MTAN-ResNet101"),
        _CROSS_STITCH_SEGNET,
        _cross_stitch("Cross-Stitch-ResNet101", "Cross-Stitch-ResNet101"),
    ),
)
