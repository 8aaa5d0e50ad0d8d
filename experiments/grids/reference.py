"""Reference results at the paper's size, in parts that a rented card can do one at a time; rows in order of worth.

Each part has all that it needs: its rows start from encoders that are trained in it. What two parts share (the encoders
on street) is the same stage, so one store holds both.
"""

from __future__ import annotations

from dataclasses import replace

from experiments.grids.ablations import TABLE3
from experiments.grids.grid import ALONE, Grid, Row, frame_row, pair_row
from experiments.grids.multi_task import TABLE1, TABLE2
from mila.tasks import CITYSCAPES, NYUV2

_NONE = pair_row("None", None, propagation="none", **ALONE)
"""As in Table 6: the slow network on keyframes, the fast one between them."""

_ENCODERS = (
    frame_row("D101-MultiTask", "D101-MultiTask", "multi_task"),
    frame_row("D18-MultiTask", None, "multi_task", 18),
)
"""What all other rows start from; scored as rows of their own."""


def _of(grid: Grid, *labels: str) -> tuple[Row, ...]:
    rows = {row.label: row for row in grid.rows}
    return tuple(rows[label] for label in labels)


_MILA = ("MILA w/o MF&TS", "MILA w/o TS", "MILA (ours)")

_METHODS = (_NONE, *_of(TABLE2, "MultiNet++", *_MILA))

PARTS = (
    Grid(
        name="reference1",
        table=2,
        title="Reference results, part 1: multi-task learning on Cityscapes",
        suite=CITYSCAPES,
        rows=(*_ENCODERS, *_METHODS),
    ),
    Grid(
        name="reference2",
        table=3,
        title="Reference results, part 2: ILA and the mimicry losses on Cityscapes",
        suite=CITYSCAPES,
        rows=TABLE3.rows,
    ),
    Grid(
        name="reference3",
        table=2,
        title="Reference results, part 3: keyframe interval 10 on Cityscapes",
        suite=CITYSCAPES,
        rows=tuple(replace(row, published=None) for row in (*_ENCODERS, *_METHODS)),
        keyframe_interval=10,
        beyond=True,
    ),
    Grid(
        name="reference4",
        table=1,
        title="Reference results, part 4: multi-task learning on NYUd v2",
        suite=NYUV2,
        rows=(*_ENCODERS, _NONE, *_of(TABLE1, "MultiNet++*", *_MILA)),
    ),
)
