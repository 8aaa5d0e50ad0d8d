"""Losses and metrics against loops over pixels and images."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mila.losses import task_loss
from mila.metrics import DepthSums, FlowSums, NormalSums, SegmentationSums, SuiteSums
from mila.tasks import FLOW, NYUV2, VOID


def draw(seed: int, images: int, classes: int = 4, size: tuple[int, int] = (5, 6)) -> tuple[Tensor, Tensor]:
    """Logits and labels with void pixels and classes that are missing from some images."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(VOID, classes, (images, *size), generator=generator)
    truth[0][truth[0] == 1] = 0
    return torch.randn(images, classes, *size, generator=generator), truth


def image_iou(guess: Tensor, truth: Tensor, classes: int, void_counts: bool) -> float:
    """Definition A (`void_counts`) or B, one class at a time, as the field's old code does it."""
    kept = torch.ones_like(truth, dtype=torch.bool) if void_counts else truth != VOID
    ious = []
    for c in range(classes):
        union = (((guess == c) | (truth == c)) & kept).sum().item()
        if union:
            ious.append(((guess == c) & (truth == c)).sum().item() / union)
    return statistics.fmean(ious)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), images=st.integers(1, 5), classes=st.integers(2, 6))
def test_three_definitions_of_miou(seed: int, images: int, classes: int) -> None:
    logits, truth = draw(seed, images, classes)
    sums = SegmentationSums(classes)
    sums.update(logits, truth)
    got, guess = sums.compute(), logits.argmax(1)
    assert got["miou_image_void"] == pytest.approx(
        statistics.fmean(image_iou(g, t, classes, True) for g, t in zip(guess, truth, strict=True))
    )
    assert got["miou_image"] == pytest.approx(
        statistics.fmean(image_iou(g, t, classes, False) for g, t in zip(guess, truth, strict=True))
    )
    # One big image is the data-set-wide confusion matrix.
    assert got["miou"] == pytest.approx(image_iou(guess.flatten(), truth.flatten(), classes, False))
    valid = truth != VOID
    assert got["pixel_acc"] == pytest.approx((guess == truth)[valid].float().mean().item())
    shares = [(g == t)[t != VOID].float().mean().item() for g, t in zip(guess, truth, strict=True)]
    assert got["pixel_acc_image"] == pytest.approx(statistics.fmean(shares))


def test_images_without_annotation_count_nowhere() -> None:
    logits, truth = draw(0, 3)
    alone, more = SegmentationSums(4), SegmentationSums(4)
    alone.update(logits, truth)
    more.update(torch.cat([logits, logits[:1]]), torch.cat([truth, torch.full_like(truth[:1], VOID)]))
    assert more.compute() == alone.compute()
    assert math.isnan(SegmentationSums(4).compute()["miou"])


def test_labels_outside_the_classes_are_refused() -> None:
    logits, truth = draw(0, 2)
    truth[0, 0, 0] = 4
    with pytest.raises(ValueError, match=r"-1\.\.3, found .*4"):
        SegmentationSums(4).update(logits, truth)


def test_depth_over_valid_pixels() -> None:
    truth = torch.tensor([[[[2.0, 0.0], [4.0, 1.0]]]])
    guess = torch.tensor([[[[2.5, 9.0], [3.0, 1.0]]]])
    sums = DepthSums()
    sums.update(guess, truth)
    assert sums.compute() == pytest.approx({"depth_abs": 1.5 / 3, "depth_rel": (0.25 + 0.25) / 3})


def rotated(degrees: Tensor) -> Tensor:
    """Unit vectors `[1, 3, H, W]` at known angles from (0, 0, -1)."""
    radians = degrees.double().deg2rad()
    return torch.stack([radians.sin(), torch.zeros_like(radians), -radians.cos()])[None].float()


def test_normals_at_known_angles() -> None:
    degrees = torch.tensor([[0.0, 5.0, 11.0, 12.0], [22.0, 29.0, 31.0, 179.0]])
    truth = rotated(torch.zeros_like(degrees))
    sums = NormalSums()
    sums.update(3 * rotated(degrees), truth)
    invalid = torch.zeros_like(truth)
    sums.update(rotated(degrees), invalid)
    got = sums.compute()
    assert got["normal_mean"] == pytest.approx(degrees.mean().item(), abs=1e-4)
    assert got["normal_within_11.25"] == 3 / 8
    assert got["normal_within_22.5"] == 5 / 8
    assert got["normal_within_30"] == 6 / 8


def test_end_point_error_at_known_distances() -> None:
    truth = torch.tensor([[[3.0, 0.0, 1.0, 5.0]], [[4.0, 0.0, float("nan"), 12.0]]])[None]  # [1, 2, 1, 4]
    guess = torch.tensor([[[0.0, 0.6, 9.0, 5.0]], [[4.0, 0.8, 9.0, 10.0]]])[None]
    sums = FlowSums()
    sums.update(guess, truth)
    assert sums.compute() == pytest.approx({"epe": (3 + 1 + 2) / 3, "epe_zero": (5 + 0 + 13) / 3})
    for _ in range(2):
        sums.update(torch.zeros(1, 2, 1, 4), torch.full((1, 2, 1, 4), float("inf")))
    assert sums.arrays()["flow_pixels"].tolist() == [3, 0, 0]
    assert math.isnan(FlowSums().compute()["epe"])


def test_flow_errors_do_not_depend_on_the_batch_size() -> None:
    generator = np.random.default_rng(0)
    guess, truth = generator.normal(size=(2, 7, 2, 5, 6)).astype(np.float32)
    truth[3, 1, 2, 2] = np.nan
    lengths, errors = [], []
    for n in range(7):
        for i in range(5):
            for j in range(6):
                if (n, i, j) != (3, 2, 2):
                    lengths.append(math.hypot(*truth[n, :, i, j]))
                    errors.append(math.dist(truth[n, :, i, j], guess[n, :, i, j]))
    for batch in (1, 3, 7):
        sums = SuiteSums(FLOW)
        for start in range(0, 7, batch):
            part = slice(start, start + batch)
            sums.update({"flow": torch.tensor(guess[part])}, {"flow": torch.tensor(truth[part])})
        expected = {"epe": statistics.fmean(errors), "epe_zero": statistics.fmean(lengths)}
        assert sums.compute() == pytest.approx(expected, rel=1e-6)
    loss = task_loss("flow", torch.tensor(guess), torch.tensor(truth))
    assert loss.item() == pytest.approx(statistics.fmean(errors), rel=1e-5)


def test_flow_that_is_right_or_undefined_gives_a_finite_gradient() -> None:
    truth = torch.tensor([[1.0, float("nan"), 2.0]]).view(1, 1, 1, 3).repeat(1, 2, 1, 1)
    guess = torch.tensor([[1.0, 5.0, 5.0]]).view(1, 1, 1, 3).repeat(1, 2, 1, 1).requires_grad_()
    task_loss("flow", guess, truth).backward()
    assert guess.grad is not None
    # Only the last pixel pulls: the direction (3, 3) at unit length, a mean over two pixels.
    assert guess.grad[0, :, 0].tolist() == [pytest.approx([0, 0, 0.5 / math.sqrt(2)], abs=1e-6)] * 2


def test_median_is_over_all_pixels_of_all_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    degrees = torch.rand(40, 25, generator=generator) ** 3 * 90
    truth = rotated(torch.zeros_like(degrees))
    sums = NormalSums()
    for rows in (slice(0, 3), slice(3, 40)):
        sums.update(rotated(degrees[rows]), truth[..., rows, :])
    assert sums.compute()["normal_median"] == pytest.approx(float(np.median(degrees.numpy())), abs=0.011)


def test_no_result_depends_on_the_batch_size() -> None:
    generator = torch.Generator().manual_seed(0)
    size = (7, 5, 6)
    predictions = {t.name: torch.randn(7, t.channels, 5, 6, generator=generator) for t in NYUV2.tasks}
    targets = {
        "segmentation": torch.randint(VOID, 13, size, generator=generator),
        "depth": torch.rand(7, 1, 5, 6, generator=generator) - 0.1,
        "normals": torch.randn(7, 3, 5, 6, generator=generator),
    }
    results = []
    for batch in (1, 2, 7):
        sums = SuiteSums(NYUV2)
        for start in range(0, 7, batch):
            part = slice(start, start + batch)
            sums.update({n: p[part] for n, p in predictions.items()}, {n: t[part] for n, t in targets.items()})
        results.append(sums.compute())
    assert set(results[0]) == {m.name for task in NYUV2.tasks for m in task.metrics}
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-12)


def test_losses_are_means_over_annotated_pixels() -> None:
    logits, truth = draw(3, 2)
    valid = truth != VOID
    log_share = logits.log_softmax(1).gather(1, truth.clamp(min=0)[:, None])[:, 0]
    torch.testing.assert_close(task_loss("segmentation", logits, truth), -log_share[valid].mean())
    depth, guess = torch.rand(2, 1, 5, 6), torch.rand(2, 1, 5, 6)
    depth[:, :, 0] = 0
    torch.testing.assert_close(task_loss("depth", guess, depth), (guess - depth)[:, :, 1:].abs().mean())
    degrees = torch.rand(5, 6) * 90
    normals = rotated(torch.zeros(5, 6)).clone()
    normals[..., 0] = 0
    expected = (1 - degrees[:, 1:].deg2rad().cos()).mean()
    torch.testing.assert_close(task_loss("normals", rotated(degrees), normals), expected)


@pytest.mark.parametrize("task", ["segmentation", "depth", "normals", "flow"])
def test_nothing_annotated_is_a_loss_of_zero_without_nan(task: str) -> None:
    channels = {"segmentation": 4, "depth": 1, "normals": 3, "flow": 2}[task]
    prediction = torch.randn(2, channels, 3, 4, requires_grad=True)
    empty = torch.full((2, 3, 4), VOID) if task == "segmentation" else torch.zeros(2, channels, 3, 4)
    if task == "flow":
        empty = torch.full((2, 2, 3, 4), float("nan"))
    loss = task_loss(task, prediction, empty)  # type: ignore[arg-type]
    loss.backward()
    assert loss == 0
    assert prediction.grad is not None
    assert prediction.grad.eq(0).all()
