"""Colours of tasks: known values at known places."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
import pytest

from mila.data.colours import (
    NOT_ANNOTATED,
    annotated_pixels,
    depth_limits,
    depth_unit,
    normals_ball,
    paint,
    paint_depth,
    paint_normals,
)
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, FLOW, NYUV2, VOID, Suite

FIRST, LAST = (68, 1, 84), (253, 231, 37)
"""The ends of viridis as they are published."""


def near(painted: npt.NDArray[np.uint8], expected: Sequence[Sequence[float]]) -> None:
    """The same to within the rounding to 8 bits."""
    assert np.abs(painted.astype(float) - np.array(expected, float)).max() <= 1


@pytest.mark.parametrize("suite", [NYUV2, CITYSCAPES, CITYSCAPES19], ids=lambda suite: suite.name)
def test_labels_have_the_colours_of_their_classes(suite: Suite) -> None:
    task = suite.task("segmentation")
    labels = np.array([[VOID, *range(len(task.classes))]])
    painted = paint(task, labels, (0, 1), annotated_pixels(task, labels))
    assert [tuple(pixel) for pixel in painted[0].tolist()] == [NOT_ANNOTATED, *task.colours]
    assert painted.dtype == np.uint8


def test_depth_is_viridis_between_its_limits_and_grey_where_there_is_none() -> None:
    task = NYUV2.task("depth")
    depth = np.array([[[0, 1, 2, 3, 5, 9]]], np.float32)
    painted = paint(task, depth, (2.0, 5.0), annotated_pixels(task, depth))[0]
    third = [255 * part for part in matplotlib.colormaps["viridis"](1 / 3)[:3]]
    near(painted, [NOT_ANNOTATED, FIRST, FIRST, third, LAST, LAST])
    near(paint(task, depth, (2.0, 5.0))[0, :1], [FIRST])  # a prediction has no grey
    odd = paint_depth(np.array([[np.nan, np.inf, -np.inf]]), (2.0, 5.0))
    near(odd[0, 1:], [LAST, FIRST])
    near(paint_depth(np.full((1, 1), 3.0), (3.0, 3.0))[0], [FIRST])


def test_normals_are_red_to_the_right_green_up_and_blue_towards_the_camera() -> None:
    task = NYUV2.task("normals")
    vectors = [(1, 0, 0), (0, -1, 0), (0, 0, -1), (-1, 0, 0), (0, 2, 0), (0, 0, 0)]
    normals = np.array(vectors, np.float32).T[:, None]  # [3, 1, 6]
    painted = paint(task, normals, (0, 1), annotated_pixels(task, normals))[0].tolist()
    expected = [(255, 128, 128), (128, 255, 128), (128, 128, 255), (0, 128, 128), (128, 0, 128), NOT_ANNOTATED]
    assert [tuple(pixel) for pixel in painted] == expected


def test_the_ball_shows_each_normal_where_it_points() -> None:
    ball = normals_ball(101)
    assert ball.shape == (101, 101, 4)
    assert ball[50, 50].tolist() == [128, 128, 255, 255]
    assert ball[50, 100].tolist() == [255, 128, 128, 255]
    assert ball[0, 50].tolist() == [128, 255, 128, 255]
    assert [int(ball[y, x, 3]) for y, x in ((0, 0), (0, 100), (100, 0), (100, 100))] == [0, 0, 0, 0]
    half = np.sqrt(0.5)
    assert np.abs(ball[50, 50 + 35, :3].astype(int) - paint_normals(np.array([[[half]], [[0]], [[-half]]]))).max() <= 2


def test_limits_are_those_of_the_valid_depth() -> None:
    rng = np.random.default_rng(0)
    depths = [rng.uniform(1, 9, (1, 40, 50)).astype(np.float32) for _ in range(3)]
    for depth in depths:
        depth[:, :5] = 0
    values = sorted(float(v) for depth in depths for v in depth.ravel() if v > 0)
    assert depth_limits(depths) == (values[0], values[-1])
    low, high = depth_limits(depths, 0.9)
    assert sum(v < low for v in values) == pytest.approx(0.05 * len(values), abs=1)
    assert sum(v > high for v in values) == pytest.approx(0.05 * len(values), abs=1)
    assert depth_limits([]) == depth_limits([np.zeros((1, 2, 2))]) == (0.0, 1.0)


def test_units_of_depth() -> None:
    units = [depth_unit(suite.task("depth")) for suite in (NYUV2, CITYSCAPES, CITYSCAPES_METRES)]
    assert units == ["m", "disparity / 65535", "m"]


def test_flow_has_no_colours() -> None:
    with pytest.raises(ValueError, match="no colours for the task 'flow'"):
        paint(FLOW.task("flow"), np.zeros((2, 1, 1)), (0, 1))
