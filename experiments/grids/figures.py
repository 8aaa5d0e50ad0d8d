"""Figures 1, 4, 5, 7 and 8: rows of Tables 1, 2 and 6, looked at in another way. They share every run with these."""

from __future__ import annotations

from dataclasses import replace

from experiments.grids.grid import Grid, Row, VisualKind
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.grids.propagation import TABLE6
from mila.tasks import CITYSCAPES, NYUV2


def _some(grid: Grid, *labels: str) -> tuple[Row, ...]:
    rows = {row.label: row for row in grid.rows}
    return tuple(rows[label] for label in labels)


FIGURE1 = Grid("figure1", 2, "mIoU over GFLOPs of multi-task learning on Cityscapes", CITYSCAPES, TABLE2.rows, figure=1)

_CITY_MILA, _NYU_MILA = _some(TABLE2, "MILA (ours)"), _some(TABLE1, "MILA (ours)")

_FIGURE4: tuple[VisualKind, ...] = ("attention", "motion")

FIGURE4 = (
    Grid("figure4a", 2, "Attention weights of ILA, Cityscapes", CITYSCAPES, _CITY_MILA, figure=4, visuals=_FIGURE4),
    Grid("figure4b", 1, "Attention weights of ILA, NYUd v2", NYUV2, _NYU_MILA, figure=4, visuals=_FIGURE4),
)

FIGURE5 = (
    Grid("figure5a", 2, "Task-specific features, Cityscapes", CITYSCAPES, _CITY_MILA, figure=5, visuals=("attention",)),
    Grid("figure5b", 1, "Task-specific features, NYUd v2", NYUV2, _NYU_MILA, figure=5, visuals=("attention",)),
)

FIGURE7 = Grid(
    "figure7",
    2,
    "Predictions at a keyframe and at offset 4 on Cityscapes",
    CITYSCAPES,
    # The text speaks of two slow-fast baselines, (a) and (b), and names neither: these are the two without alignment.
    (
        *(replace(row, label="SlowFast, no propagation") for row in _some(TABLE6[0], "None")),
        *_some(TABLE2, "MultiNet++", "MTAN*", "MILA (ours)"),
    ),
    figure=7,
    visuals=("film",),
)

FIGURE8 = Grid(
    "figure8",
    1,
    "Predictions at a keyframe and at offset 4 on NYUd v2",
    NYUV2,
    _some(TABLE1, "MultiNet++*", "MTAN*", "MILA (ours)"),
    figure=8,
    visuals=("film",),
)
