"""What data sets and tasks are called in print."""

from __future__ import annotations

from experiments.sources import Source

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


def data_title(source: Source) -> str:
    """Real data, or those of the user's own."""
    if source.file is not None:
        return source.name
    title = DATASET_TITLES[source.name]
    return f"folders in the layout of {title}" if source.is_own else title


def short_title(task: str) -> str:
    """A task, by its name, in one word."""
    return TASK_TITLES.get(task, task).split(",")[0]
