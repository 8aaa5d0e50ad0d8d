"""Error maps against the metrics' own definitions, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mila.data.colours import NOT_ANNOTATED
from mila.tasks import CITYSCAPES, FLOW, NYUV2, VOID
from reports.pictures.error_maps import RIGHT, WRONG, error_of, largest_error, paint_error

SEGMENTATION, DEPTH, NORMALS = NYUV2.tasks


def test_wrong_classes_are_marked_and_void_is_left_out() -> None:
    truth = np.array([[0, 1, VOID]], np.int64)
    error = error_of(CITYSCAPES.tasks[0], truth, np.array([[0, 2, 2]], np.int8))
    assert error[0, :2].tolist() == [0, 1]
    assert math.isnan(error[0, 2])
    assert paint_error(SEGMENTATION, error, 1.0).tolist() == [[list(RIGHT), list(WRONG), list(NOT_ANNOTATED)]]


def test_depth_errors_are_distances() -> None:
    truth, ours = np.array([[[2.0, 4.0, 0.0]]], np.float32), np.array([[[2.5, 1.0, 9.0]]], np.float32)
    error = error_of(DEPTH, truth, ours)
    assert error[0, :2].tolist() == [0.5, 3.0]
    assert math.isnan(error[0, 2])  # 0 is no truth
    assert largest_error(DEPTH, [np.linspace(0, 100, 101), np.array([np.nan])]) == 95.0
    assert largest_error(DEPTH, []) == 1.0
    painted = paint_error(DEPTH, np.array([[0.0, 95.0, 1000.0, np.nan]]), 95.0)
    assert painted[0, 1].tolist() == painted[0, 2].tolist() != painted[0, 0].tolist()
    assert tuple(painted[0, 3]) == NOT_ANNOTATED


def test_normal_errors_are_angles_of_vectors_of_any_length() -> None:
    truth = np.array([[[0.0, 0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]]])
    ours = np.array([[[0.0, 0.0, -3.0, 1.0]], [[2.0, 5.0, 0.0, 0.0]], [[2.0, 0.0, 0.0, 0.0]]])
    error = error_of(NORMALS, truth, ours)
    assert error[0, :3].tolist() == pytest.approx([45, 0, 180])
    assert math.isnan(error[0, 3])


def test_other_tasks_have_none() -> None:
    with pytest.raises(ValueError, match="no error map for the task 'flow'"):
        error_of(FLOW.tasks[0], np.zeros((2, 1, 1)), np.zeros((2, 1, 1)))
