"""Tasks and suites: what is predicted, how it is scored, how it is coloured.

Targets of one frame, by task name:

| task           | tensor              | unit, and what is not annotated                           |
|----------------|---------------------|-----------------------------------------------------------|
| `segmentation` | int64 `[H, W]`      | class index; `VOID` (-1) is not annotated                 |
| `depth`        | float32 `[1, H, W]` | metres, or disparity (`CITYSCAPES`); 0 is invalid         |
| `normals`      | float32 `[3, H, W]` | unit vectors towards the camera; the 0-vector is invalid  |
| `flow`         | float32 `[2, H, W]` | (dx, dy) in pixels to the frame before; NaN is undefined  |

Disparity is the Cityscapes PNG's value / 65535. Camera frame: x right, y down, z forward. The point that the last frame
shows at pixel p lies at p + flow(p) in the frame before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from cityscapesscripts.helpers.labels import labels as _CITYSCAPES_LABELS

VOID = -1

TaskName = Literal["segmentation", "depth", "normals", "flow"]


@dataclass(frozen=True)
class Metric:
    """One reported quantity of a task.

    Attributes:
        name: key in records and in `published.csv`.
        label: column header.
        unit: unit after scaling, as the paper prints it.
        better: which direction is better.
        scale: printed value = `scale` x the value in SI units (fractions, metres, degrees).
        headline: whether the paper's tables have a column for it.
    """

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower"]
    scale: float = 1.0
    headline: bool = True


@dataclass(frozen=True)
class Task:
    """One dense prediction task.

    Attributes:
        name: which of the four kinds of dense prediction.
        channels: output channels of its decoder.
        metrics: what is reported, in the order of the paper's columns.
        classes: class names by index (segmentation only).
        colours: RGB by class index (segmentation only).
    """

    name: TaskName
    channels: int
    metrics: tuple[Metric, ...]
    classes: tuple[str, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()

    @property
    def main_metric(self) -> Metric:
        """What the task is judged by where there is room for one number: the first that the paper has a column for."""
        return next(metric for metric in self.metrics if metric.headline)


@dataclass(frozen=True)
class Suite:
    """The tasks trained and evaluated together on one data set, and the paper's input size for it."""

    name: str
    tasks: tuple[Task, ...]
    height: int
    width: int

    def task(self, name: str) -> Task:
        """The task called `name`; `KeyError` where the suite has none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(f"suite {self.name!r} has no task {name!r}")


DISPARITY = "disparity / 65535 × 100"
"""Unit of absolute depth as Cityscapes has it printed."""
_SEGMENTATION_METRICS = (
    Metric("miou", "mIoU", "%", "higher", 100.0),
    Metric("pixel_acc", "Acc.", "%", "higher", 100.0),
    Metric("miou_image_void", "mIoU (A)", "%", "higher", 100.0, headline=False),
    Metric("miou_image", "mIoU (B)", "%", "higher", 100.0, headline=False),
    Metric("pixel_acc_image", "Acc. (A, B)", "%", "higher", 100.0, headline=False),
)
_NORMAL_METRICS = (
    Metric("normal_mean", "Mean", "°", "lower"),
    Metric("normal_median", "Median", "°", "lower"),
    Metric("normal_within_11.25", "< 11.25°", "%", "higher", 100.0),
    Metric("normal_within_22.5", "< 22.5°", "%", "higher", 100.0),
    Metric("normal_within_30", "< 30°", "%", "higher", 100.0),
)
_DISPARITY_METRICS = (
    Metric("depth_abs", "Abs.", DISPARITY, "lower", 100.0),
    Metric("depth_rel", "Rel.", "ratio", "lower"),
)
_METRES_METRICS = (
    Metric("depth_abs", "Abs.", "m × 100", "lower", 100.0),
    Metric("depth_rel", "Rel.", "%", "lower", 100.0),
)


def _segmentation(labels: tuple[tuple[str, tuple[int, int, int]], ...]) -> Task:
    names, colours = tuple(n for n, _ in labels), tuple(c for _, c in labels)
    return Task("segmentation", len(labels), _SEGMENTATION_METRICS, names, colours)


def _train_ids() -> Task:
    """Names and colours of the trainIds 0 to 18 from cityscapesscripts; Tables 5 and 11 print the mIoU alone."""
    labels = sorted(
        (label for label in _CITYSCAPES_LABELS if 0 <= label.trainId < 255), key=lambda label: label.trainId
    )
    task = _segmentation(tuple((label.name, label.color) for label in labels))
    return replace(task, metrics=tuple(replace(m, headline=m.name == "miou") for m in task.metrics))


CITYSCAPES = Suite(
    "cityscapes",
    (
        _segmentation(
            (
                ("flat", (128, 64, 128)),
                ("construction", (70, 70, 70)),
                ("object", (220, 220, 0)),
                ("nature", (107, 142, 35)),
                ("sky", (70, 130, 180)),
                ("human", (220, 20, 60)),
                ("vehicle", (0, 0, 142)),
            )
        ),
        Task("depth", 1, _DISPARITY_METRICS),
    ),
    height=256,
    width=512,
)
"""7 label categories and depth, where depth is the disparity PNG's value / 65535 (note 2.3)."""

CITYSCAPES_METRES = replace(
    CITYSCAPES,
    name="cityscapes-metres",
    tasks=(CITYSCAPES.task("segmentation"), Task("depth", 1, _METRES_METRICS)),
)
"""`CITYSCAPES` with depth in metres (note 3.1), in NYUv2's units; the paper has no such numbers."""

CITYSCAPES7 = Suite("cityscapes7", (CITYSCAPES.task("segmentation"),), height=256, width=512)
"""The 7 label categories alone: what the *street* world has for the paper's single-task segmentation."""

CITYSCAPES19 = Suite("cityscapes19", (_train_ids(),), height=1024, width=2048)
"""The 19 classes of the benchmark alone, by trainId (Tables 5 and 11)."""

NYUV2 = Suite(
    "nyuv2",
    (
        _segmentation(
            (
                ("bed", (0, 0, 255)),
                ("books", (232, 88, 47)),
                ("ceiling", (0, 217, 0)),
                ("chair", (148, 0, 240)),
                ("floor", (222, 241, 23)),
                ("furniture", (255, 205, 205)),
                ("objects", (0, 223, 228)),
                ("picture", (106, 135, 204)),
                ("sofa", (116, 28, 41)),
                ("table", (240, 35, 235)),
                ("tv", (0, 166, 156)),
                ("wall", (249, 139, 0)),
                ("window", (225, 228, 194)),
            )
        ),
        Task("depth", 1, _METRES_METRICS),
        Task("normals", 3, _NORMAL_METRICS),
    ),
    height=288,
    width=384,
)
"""13 classes, depth in metres, unit surface normals."""


def _colour(number: int) -> tuple[int, int, int]:
    """RGB of label `number` in the colour map of PASCAL VOC: of its bits, each third one counts in one channel."""
    red, green, blue = (sum((number >> (3 * i + c) & 1) << (7 - i) for i in range(8)) for c in range(3))
    return red, green, blue


_FORTY = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter"),
    *("blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling"),
    *("books", "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person"),
    *("night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop"),
)

NYUV2_40 = replace(
    NYUV2,
    name="nyuv2-40",
    tasks=(
        _segmentation(tuple((name, _colour(n)) for n, name in zip((*range(1, 7), *range(8, 42)), _FORTY, strict=True))),
        NYUV2.task("depth"),
        NYUV2.task("normals"),
    ),
)
"""`NYUV2` with the 40 classes of Gupta et al. (CVPR 2013), in their order; the paper has no such numbers.

Its colours are PASCAL VOC's from 1 on without the seventh: that is the grey of what is not annotated.
"""

FLOW = Suite(
    "flow",
    (
        Task(
            "flow",
            2,
            (
                Metric("epe", "End-point error", "px", "lower"),
                Metric("epe_zero", "End-point error of zero flow", "px", "lower", headline=False),
            ),
        ),
    ),
    height=256,
    width=512,
)
"""Optical flow to the frame before, which the flow network of the warping baselines (note 4.5) is pre-trained on."""

MOST_CLASSES = 128
"""Of a segmentation task: packed labels and kept predictions are bytes, with 255 for `VOID`."""


def segmentation_task(classes: Sequence[str], colours: Sequence[tuple[int, int, int]] = ()) -> Task:
    """Segmentation into classes of one's own, with the field's metrics.

    Args:
        classes: their names by index.
        colours: RGB by class index, 0..255; without any, those of PASCAL VOC's colour map from 1 on.

    Raises:
        ValueError: names or colours are missing, too many, alike, or no such values.
    """
    names = tuple(classes)
    if isinstance(classes, str) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"classes are names, one a class, not {classes!r}")
    if not 1 <= len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        raise ValueError(f"there are 1 to {MOST_CLASSES} classes of different names, not {len(names)} such as these")
    rgb = tuple(tuple(colour) for colour in colours) or tuple(_colour(n + 1) for n in range(len(names)))
    if len(rgb) != len(names):
        raise ValueError(f"{len(names)} classes need as many colours, not {len(rgb)}")
    for colour in rgb:
        if len(colour) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in colour):
            raise ValueError(f"a colour is red, green and blue of 0 to 255, not {colour!r}")
    return _segmentation(tuple((name, (red, green, blue)) for name, (red, green, blue) in zip(names, rgb, strict=True)))


def depth_task(unit: Literal["metres", "disparity"] = "metres") -> Task:
    """Depth with the field's metrics: in metres, or as disparity (the Cityscapes PNG's value / 65535).

    Raises:
        ValueError: another unit.
    """
    if unit not in ("metres", "disparity"):
        raise ValueError(f"the unit of depth is 'metres' or 'disparity', not {unit!r}")
    return Task("depth", 1, _METRES_METRICS if unit == "metres" else _DISPARITY_METRICS)


def normals_task() -> Task:
    """Surface normals with the field's metrics."""
    return Task("normals", 3, _NORMAL_METRICS)


def subset(suite: Suite, names: Collection[str]) -> Suite:
    """`suite` with its tasks of these names alone, which its name then says: `nyuv2-depth-normals`; all: itself.

    Raises:
        ValueError: none of its tasks has such a name.
    """
    tasks = tuple(task for task in suite.tasks if task.name in names)
    if not tasks:
        raise ValueError(f"{suite.name!r} has none of the tasks {', '.join(sorted(names))}")
    if len(tasks) == len(suite.tasks):
        return suite
    return replace(suite, name="-".join([suite.name, *(task.name for task in tasks)]), tasks=tasks)


SUITES = {
    suite.name: suite for suite in (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES7, CITYSCAPES19, NYUV2, NYUV2_40, FLOW)
}
"""The suites that are known by their names; a data set of one's own brings another."""


def is_known(suite: Suite) -> bool:
    """Whether a suite is one of `SUITES`, or some tasks of one under the name that `subset` gives."""
    names = {task.name for task in suite.tasks}
    return any(
        subset(known, names) == suite for known in SUITES.values() if names & {task.name for task in known.tasks}
    )


def suite_as_json(suite: Suite) -> dict[str, Any]:
    """A suite as JSON has it, whole: its tasks with their metrics, classes and colours, and its size."""
    return asdict(suite)


def suite_from_json(values: Mapping[str, Any]) -> Suite:
    """The suite that `suite_as_json` gave.

    Raises:
        ValueError: it is none.
    """
    try:
        tasks = tuple(_task_from_json(task) for task in values["tasks"])
        return Suite(str(values["name"]), tasks, int(values["height"]), int(values["width"]))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"these are not tasks as they are kept ({type(error).__name__}: {error})") from error


def _task_from_json(values: Mapping[str, Any]) -> Task:
    if values["name"] not in get_args(TaskName):
        raise ValueError(f"there is no task {values['name']!r}; the tasks are {', '.join(get_args(TaskName))}")
    metrics = tuple(Metric(**metric) for metric in values["metrics"])
    colours = tuple((int(red), int(green), int(blue)) for red, green, blue in values["colours"])
    return Task(values["name"], int(values["channels"]), metrics, tuple(map(str, values["classes"])), colours)
