"""Predictions that have no direction or no value: never a better score than an ordinary mistake."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mila.errors import DivergedError
from mila.metrics import DepthSums, NormalSums, SegmentationSums, SuiteSums
from mila.tasks import FLOW, NYUV2, VOID, Suite

SUITES = {"segmentation": NYUV2, "depth": NYUV2, "normals": NYUV2, "flow": FLOW}


def perfect(suite: Suite) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Predictions `[1, C, 2, 3]` without an error, and their targets."""
    labels = torch.arange(6).view(1, 2, 3)
    targets = {
        "segmentation": labels,
        "depth": torch.rand(1, 1, 2, 3) + 1,
        "normals": torch.nn.functional.normalize(torch.randn(1, 3, 2, 3), dim=1),
        "flow": torch.randn(1, 2, 2, 3),
    }
    targets = {task.name: targets[task.name] for task in suite.tasks}
    predictions = {name: target.clone() for name, target in targets.items()}
    if "segmentation" in targets:
        predictions["segmentation"] = torch.nn.functional.one_hot(labels, 13).movedim(-1, 1).float()
    return predictions, targets


@pytest.mark.parametrize("length", [0.0, 1.0, 1e-30, 1e30])
def test_normal_of_length_zero_is_90_degrees_off(length: float) -> None:
    truth = torch.tensor([0.0, 0.6, -0.8]).view(1, 3, 1, 1).repeat(1, 1, 2, 2)
    sums = NormalSums()
    sums.update(length * truth, truth)
    metrics = sums.compute()
    expected = 0.0 if length else 90.0
    assert metrics["normal_mean"] == pytest.approx(expected, abs=1e-4)
    assert metrics["normal_median"] == pytest.approx(expected, abs=0.01)
    assert [metrics[f"normal_within_{limit}"] for limit in ("11.25", "22.5", "30")] == [float(length > 0)] * 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("task", ["segmentation", "depth", "normals", "flow"])
def test_prediction_that_is_not_finite_has_no_score(task: str, value: float) -> None:
    suite = SUITES[task]
    predictions, targets = perfect(suite)
    SuiteSums(suite).update(predictions, targets)
    predictions[task][0, -1, 1, 2] = value
    with pytest.raises(DivergedError, match=f"predicted {task} is NaN or infinite at 1 of 6 pixels that count"):
        SuiteSums(suite).update(predictions, targets)


def test_only_pixels_that_count_must_be_finite() -> None:
    truth = torch.tensor([[[[1.0, 0.0]]]])
    sums = DepthSums()
    sums.update(torch.tensor([[[[1.5, math.inf]]]]), truth)
    assert sums.compute()["depth_abs"] == 0.5


def test_classes_may_be_ruled_out_by_minus_infinity() -> None:
    logits = torch.tensor([[-math.inf, 2.0, 1.0], [-math.inf] * 3]).T[None, :, None]  # [1, 3, 1, 2]
    sums = SegmentationSums(3)
    sums.update(logits[..., :1], torch.tensor([[[1]]]))
    assert sums.compute()["pixel_acc"] == 1
    with pytest.raises(DivergedError, match="1 of 2 pixels"):
        SegmentationSums(3).update(logits, torch.tensor([[[1, VOID]]]))
