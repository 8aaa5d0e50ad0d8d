"""What data sets and tasks are called in print."""

from __future__ import annotations

TASK_TITLES = {"segmentation": "Segmentation", "depth": "Depth", "normals": "Normals, angle error"}
"""By name of the task."""

DATASET_TITLES = {
    "nyuv2": "NYUd v2",
    "nyuv2-40": "NYUd v2",
    "cityscapes": "Cityscapes",
    "cityscapes-metres": "Cityscapes",
    "cityscapes7": "Cityscapes",
    "cityscapes19": "Cityscapes",
}
"""By name of the suite, and of the real data set."""


def short_title(task: str) -> str:
    """A task, by its name, in one word."""
    return TASK_TITLES.get(task, task).split(",")[0]
