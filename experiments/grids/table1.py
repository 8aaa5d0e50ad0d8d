"""Table 1: video-based multi-task learning on NYUd v2 (13 classes, depth, normals)."""

from __future__ import annotations

from experiments.grids.grid import Grid, Row
from experiments.stages import arguments
from mila.tasks import NYUV2

TABLE1 = Grid(
    name="table1",
    table=1,
    title="Video-based multi-task learning on NYUd v2",
    suite=NYUV2,
    rows=(
        Row("D101-SingleTask", "D101-SingleTask", "single_task"),
        Row("D101-MultiTask", "D101-MultiTask", "multi_task"),
        Row("MTAN-SegNet", "MTAN-SegNet"),
        Row("Cross-Stitch-SegNet", "Cross-Stitch-SegNet"),
        Row("MTAN*", "MTAN*"),
        Row("Cross-Stitch*", "Cross-Stitch*"),
        Row("MultiNet++*", "MultiNet++*", "multinetpp", "pair"),
        Row("MILA w/o MF&TS", "MILA w/o MF&TS", "mila", "pair", arguments(multi_frame=False, task_specific=False)),
        Row("MILA w/o TS", "MILA w/o TS", "mila", "pair", arguments(task_specific=False)),
        Row("MILA (ours)", "MILA", "mila", "pair"),
    ),
)
