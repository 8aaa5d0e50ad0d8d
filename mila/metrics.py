"""Metrics of Tables 1 and 2 as exact sums and counts, so that no result depends on the batch size.

Three definitions of mIoU are in use for these data sets (note 2.1); all three are kept:

- `miou` (C): one confusion matrix for the data set; mean over the classes that occur in truth or prediction
- `miou_image` (B): mean over images of the mean over the classes present in truth or prediction, void left out
- `miou_image_void` (A): the same with predictions on void pixels counted in the union
- `pixel_acc`: global share of right pixels (C); `pixel_acc_image`: mean of the images' shares (A and B)
- `depth_abs`, `depth_rel`: mean of abs(d - t) and of abs(d - t) / t over valid pixels
- `normal_mean`, `normal_median`: angle in degrees over all valid pixels of the data set
- `normal_within_11.25`, `_22.5`, `_30`: share of valid pixels whose angle is below
- `epe`: mean distance in pixels between predicted and true flow; `epe_zero`: that of a flow of 0, for comparison

Images without any annotated pixel count nowhere. The median is read from a histogram of 0.01 degree bins. A predicted
normal of length zero points nowhere: it is 90 degrees off.

A prediction that is not a finite number has no score, whatever the task: where it would count, `update` raises
`DivergedError`. (A logit may be minus infinity, "never this class", as long as another class of the pixel has a finite
one.)
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mila.errors import DivergedError
from mila.tasks import VOID, Suite, Task, TaskName

WITHIN = (11.25, 22.5, 30.0)
_BINS_A_DEGREE = 100


class TaskSums(Protocol):
    """Sums and counts of one task over any number of images."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: `[B, C, H, W]` against the target with a batch dimension.

        Raises:
            DivergedError: a prediction that counts is not a finite number.
        """
        ...

    def compute(self) -> dict[str, float]:
        """Metrics in SI units (shares as fractions, degrees); NaN where nothing was annotated."""
        ...


class SegmentationSums:
    """Confusion matrix of the data set, and per-image sums for the older definitions."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)  # [truth, prediction]
        self.images = 0
        self.iou_image = 0.0
        self.iou_image_void = 0.0
        self.acc_image = 0.0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Logits `[B, classes, H, W]`, truth int64 `[B, H, W]`."""
        classes, images = self.classes, target.shape[0]
        low, high = (int(x) for x in target.aminmax())
        if low < VOID or high >= classes:
            raise ValueError(f"labels must lie in {VOID}..{classes - 1}, found {low}..{high}")
        best, guess = prediction.max(1)  # NaN, if the logit of any class is
        _require_finite("segmentation", best.isfinite())
        image = torch.arange(images, device=target.device)[:, None, None]
        # Truth shifted by one, so that void is row 0.
        cell = (image * (classes + 1) + target - VOID) * classes + guess
        counts = torch.bincount(cell.flatten(), minlength=images * (classes + 1) * classes)
        counts = counts.view(images, classes + 1, classes).cpu()
        confusion, on_void = counts[:, 1:], counts[:, 0]
        annotated = confusion.sum((1, 2)) > 0
        confusion, on_void = confusion[annotated], on_void[annotated]
        self.confusion += confusion.sum(0)
        self.images += int(annotated.sum())
        hits = confusion.diagonal(dim1=1, dim2=2).double()
        union = confusion.sum(1) + confusion.sum(2) - hits
        self.iou_image += float(_mean_where(hits, union).sum())
        self.iou_image_void += float(_mean_where(hits, union + on_void).sum())
        self.acc_image += float((hits.sum(1) / confusion.sum((1, 2))).sum())

    def compute(self) -> dict[str, float]:
        """`miou`, `pixel_acc` and the per-image definitions."""
        hits = self.confusion.diagonal().double()
        union = self.confusion.sum(0) + self.confusion.sum(1) - hits
        return {
            "miou": float(_mean_where(hits[None], union[None])[0]),
            "pixel_acc": _ratio(float(hits.sum()), float(self.confusion.sum())),
            "miou_image_void": _ratio(self.iou_image_void, self.images),
            "miou_image": _ratio(self.iou_image, self.images),
            "pixel_acc_image": _ratio(self.acc_image, self.images),
        }


class DepthSums:
    """Sums of absolute and relative error over valid pixels."""

    def __init__(self) -> None:
        self.absolute = self.relative = 0.0
        self.pixels = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """`[B, 1, H, W]` both; truth 0 is invalid."""
        valid = target > 0
        truth, guess = target[valid].double(), prediction[valid].double()
        _require_finite("depth", guess.isfinite())
        error = (guess - truth).abs()
        self.absolute += float(error.sum())
        self.relative += float((error / truth).sum())
        self.pixels += int(valid.sum())

    def compute(self) -> dict[str, float]:
        """`depth_abs` in the target's unit, `depth_rel` as a ratio."""
        return {"depth_abs": _ratio(self.absolute, self.pixels), "depth_rel": _ratio(self.relative, self.pixels)}


class NormalSums:
    """Sum, counts and histogram of angles over valid pixels."""

    def __init__(self) -> None:
        self.angle = 0.0
        self.pixels = 0
        self.within = dict.fromkeys(WITHIN, 0)
        self.histogram = torch.zeros(180 * _BINS_A_DEGREE, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """`[B, 3, H, W]` both, of any length; a truth of length 0 is invalid."""
        valid = target.square().sum(1) > 0
        truth = F.normalize(target.movedim(1, -1)[valid].double(), dim=-1)
        predicted = prediction.movedim(1, -1)[valid].double()
        _require_finite("normals", predicted.isfinite().all(-1))
        guess = F.normalize(predicted, dim=-1)
        # atan2 keeps its precision near 0 and 180 degrees, where acos loses it.
        angle = torch.atan2(torch.linalg.cross(truth, guess).norm(dim=-1), (truth * guess).sum(-1)).rad2deg()
        angle = angle.where(predicted.abs().sum(-1) > 0, 90)
        self.angle += float(angle.sum())
        self.pixels += angle.numel()
        for limit in WITHIN:
            self.within[limit] += int((angle < limit).sum())
        cell = (angle * _BINS_A_DEGREE).long().clamp(max=len(self.histogram) - 1)
        self.histogram += torch.bincount(cell, minlength=len(self.histogram)).cpu()

    def compute(self) -> dict[str, float]:
        """Mean and median in degrees, shares within the limits."""
        shares = {f"normal_within_{limit:g}": _ratio(self.within[limit], self.pixels) for limit in WITHIN}
        return {"normal_mean": _ratio(self.angle, self.pixels), "normal_median": self._median(), **shares}

    def _median(self) -> float:
        if not self.pixels:
            return float("nan")
        cumulative = self.histogram.cumsum(0)
        middle = torch.tensor([(self.pixels - 1) // 2, self.pixels // 2])  # the two middle ones of an even number
        cell = torch.searchsorted(cumulative, middle, right=True)
        inside = middle - (cumulative[cell] - self.histogram[cell]) + 0.5
        return float((cell + inside / self.histogram[cell]).double().mean()) / _BINS_A_DEGREE


class FlowSums:
    """Sums of the end-point error, and of the true flow's length, over pixels with a finite flow."""

    def __init__(self) -> None:
        self.error = self.length = 0.0
        self.pixels = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """`[B, 2, H, W]` both, in pixels; a truth that is not finite is undefined."""
        valid = target.isfinite().all(1)
        truth = target.movedim(1, -1)[valid].double()
        guess = prediction.movedim(1, -1)[valid].double()
        _require_finite("flow", guess.isfinite().all(-1))
        self.error += float((guess - truth).norm(dim=-1).sum())
        self.length += float(truth.norm(dim=-1).sum())
        self.pixels += int(valid.sum())

    def compute(self) -> dict[str, float]:
        """`epe` and `epe_zero` in pixels."""
        return {"epe": _ratio(self.error, self.pixels), "epe_zero": _ratio(self.length, self.pixels)}


class SuiteSums:
    """The sums of every task of a suite."""

    def __init__(self, suite: Suite) -> None:
        self._sums: dict[str, TaskSums] = {task.name: _sums(task) for task in suite.tasks}

    def update(self, predictions: dict[str, Tensor], targets: dict[str, Tensor]) -> None:
        """Add a batch of predictions and targets by task."""
        for name, sums in self._sums.items():
            sums.update(predictions[name], targets[name])

    def compute(self) -> dict[str, float]:
        """All metrics of all tasks by name."""
        return {name: value for sums in self._sums.values() for name, value in sums.compute().items()}


def _sums(task: Task) -> TaskSums:
    if task.name == "segmentation":
        return SegmentationSums(task.channels)
    if task.name == "depth":
        return DepthSums()
    return NormalSums() if task.name == "normals" else FlowSums()


def _require_finite(task: TaskName, finite: Tensor) -> None:
    """Refuse predictions that have no score; `finite` says of each pixel that counts whether its prediction has one."""
    bad = finite.numel() - int(finite.sum())
    if bad:
        raise DivergedError(
            f"the predicted {task} is NaN or infinite at {bad} of {finite.numel()} pixels that count: it has no "
            "score; train the model anew with a lower learning rate, or correct what it computes."
        )


def _mean_where(hits: Tensor, union: Tensor) -> Tensor:
    """Mean of hits / union over the classes with a union, `[N, classes]` to `[N]`; NaN without any."""
    present = union > 0
    iou = torch.where(present, hits / union.clamp(min=1), torch.zeros_like(hits))
    return iou.sum(1) / present.sum(1)


def _ratio(total: float, count: float) -> float:
    return total / count if count else float("nan")
