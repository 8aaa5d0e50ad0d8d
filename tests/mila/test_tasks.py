"""Suites of one's own, some tasks of a suite, and suites as JSON: what packed stores and exported models say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mila.tasks import (
    CITYSCAPES,
    NYUV2,
    NYUV2_40,
    SUITES,
    Suite,
    Task,
    depth_task,
    is_known,
    normals_task,
    segmentation_task,
    subset,
    suite_as_json,
    suite_from_json,
)


@pytest.mark.parametrize("name", SUITES)
def test_json_gives_the_same_suite_again(name: str) -> None:
    assert suite_from_json(json.loads(json.dumps(suite_as_json(SUITES[name])))) == SUITES[name]


@pytest.mark.parametrize(
    "broken",
    [{"tasks": None}, {"tasks": [{"name": "segmentation"}]}, {"height": "tall"}, {"tasks": [{"name": "edges"}]}],
)
def test_what_is_no_suite_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not tasks|there is no task|invalid literal"):
        suite_from_json({**suite_as_json(NYUV2), **broken})


def test_tasks_of_one_s_own_are_scored_as_the_field_s() -> None:
    own = segmentation_task(["road", "sky"], [(128, 64, 128), (70, 130, 180)])
    assert (own.channels, own.classes, own.colours) == (2, ("road", "sky"), ((128, 64, 128), (70, 130, 180)))
    assert own.metrics == NYUV2.task("segmentation").metrics
    assert segmentation_task(["a", "b", "c"]).colours == ((128, 0, 0), (0, 128, 0), (128, 128, 0))  # PASCAL VOC's
    assert depth_task() == NYUV2.task("depth")
    assert depth_task("disparity") == CITYSCAPES.task("depth")
    assert normals_task() == NYUV2.task("normals")


@pytest.mark.parametrize(
    ("names", "colours", "sentence"),
    [
        ("road", (), "classes are names"),
        (["road", ""], (), "classes are names"),
        ([], (), "1 to 128 classes"),
        (["road", "road"], (), "of different names"),
        ([str(n) for n in range(129)], (), "1 to 128 classes"),
        (["road"], [(0, 0, 0), (1, 1, 1)], "1 classes need as many colours, not 2"),
        (["road"], [(0, 0, 256)], "red, green and blue of 0 to 255"),
        (["road"], [(0, 0)], "red, green and blue of 0 to 255"),
    ],
)
def test_classes_that_make_no_sense_are_refused(names: Any, colours: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        segmentation_task(names, colours)


def test_an_unknown_unit_of_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'feet'"):
        depth_task("feet")  # type: ignore[arg-type]


def test_some_tasks_of_a_suite_have_a_name_that_says_so() -> None:
    without_labels = subset(NYUV2, ["normals", "depth"])
    assert (without_labels.name, without_labels.tasks) == ("nyuv2-depth-normals", NYUV2.tasks[1:])
    assert (without_labels.height, without_labels.width) == (NYUV2.height, NYUV2.width)
    assert subset(NYUV2_40, {"segmentation"}).name == "nyuv2-40-segmentation"
    assert subset(NYUV2, [task.name for task in NYUV2.tasks]) is NYUV2
    with pytest.raises(ValueError, match="'cityscapes' has none of the tasks normals"):
        subset(CITYSCAPES, ["normals"])
    assert is_known(without_labels)
    assert all(map(is_known, SUITES.values()))
    other: tuple[Task, ...] = (depth_task("disparity"),)
    assert not is_known(Suite("nyuv2-depth", other, NYUV2.height, NYUV2.width))
    assert not is_known(Suite("mine", NYUV2.tasks, NYUV2.height, NYUV2.width))
