"""Metrics of Tables 1 and 2 as exact sums and counts of every clip, so that no result depends on the batch size.

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
normal of length zero points nowhere: it is 90 degrees off. What is summed here becomes metrics in `mila.clip_sums`.

A prediction that is not a finite number has no score, whatever the task: where it would count, `update` raises
`DivergedError`. (A logit may be minus infinity, "never this class", as long as another class of the pixel has a finite
one.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mila.clip_sums import BINS_A_DEGREE, ClipSums, angle_bounds
from mila.common.types import Array
from mila.errors import DivergedError
from mila.tasks import VOID, Suite, Task, TaskName


class TaskSums(ABC):
    """Sums and counts of one task of each of any number of images, by the names of `mila.clip_sums`.

    Args:
        shapes: of one image's array, by name.
    """

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        self._batches = [{name: torch.zeros(0, *shape, dtype=torch.int64) for name, shape in shapes.items()}]

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: `[B, C, H, W]` against the target with a batch dimension.

        Raises:
            DivergedError: a prediction that counts is not a finite number.
        """

    def arrays(self) -> dict[str, Array]:
        """What `ClipSums` keeps of the images so far: counts int64, sums float32."""
        batches = self._batches[1:] or self._batches
        joined = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        return {name: (x.float() if x.is_floating_point() else x).numpy() for name, x in joined.items()}

    def compute(self) -> dict[str, float]:
        """Metrics in SI units (shares as fractions, degrees); NaN where nothing was annotated."""
        return ClipSums(self.arrays()).metrics()

    def _add(self, **sums: Tensor) -> None:
        """`[B, ...]` of the shapes that were given first."""
        self._batches.append({name: value.cpu() for name, value in sums.items()})


class SegmentationSums(TaskSums):
    """Of every image the margins of its confusion matrix."""

    def __init__(self, classes: int) -> None:
        names = ("truth", "false_negatives", "false_positives", "on_void")
        super().__init__(**dict.fromkeys(names, (classes,)))
        self.classes = classes

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
        counts = counts.view(images, classes + 1, classes)
        confusion, on_void = counts[:, 1:], counts[:, 0]  # [B, truth, prediction]
        truth, hits = confusion.sum(2), confusion.diagonal(dim1=1, dim2=2)
        self._add(
            truth=truth,
            false_negatives=truth - hits,
            false_positives=confusion.sum(1) - hits,
            on_void=on_void,
        )


class DepthSums(TaskSums):
    """Of every image the sums of absolute and relative error over valid pixels."""

    def __init__(self) -> None:
        super().__init__(depth_pixels=(), depth_absolute=(), depth_relative=())

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """`[B, 1, H, W]` both; truth 0 is invalid."""
        valid = target > 0
        _require_finite("depth", prediction[valid].isfinite())
        truth = target.double().where(valid, 1)
        error = (prediction.double() - truth).abs().where(valid, 0)
        self._add(
            depth_pixels=valid.sum((1, 2, 3)),
            depth_absolute=error.sum((1, 2, 3)),
            depth_relative=(error / truth).sum((1, 2, 3)),
        )


class NormalSums(TaskSums):
    """Of every image the sum and the histogram of the angles of valid pixels."""

    def __init__(self) -> None:
        super().__init__(angle=(), angle_counts=(180 * BINS_A_DEGREE,))

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """`[B, 3, H, W]` both, of any length; a truth of length 0 is invalid."""
        valid = target.square().sum(1) > 0  # [B, H, W]
        truth = F.normalize(target.movedim(1, -1)[valid].double(), dim=-1)  # [pixels, 3]
        predicted = prediction.movedim(1, -1)[valid].double()
        _require_finite("normals", predicted.isfinite().all(-1))
        guess = F.normalize(predicted, dim=-1)
        # atan2 keeps its precision near 0 and 180 degrees, where acos loses it.
        angle = torch.atan2(torch.linalg.cross(truth, guess).norm(dim=-1), (truth * guess).sum(-1)).rad2deg()
        angle = angle.where(predicted.abs().sum(-1) > 0, 90)
        images, bins = len(valid), 180 * BINS_A_DEGREE
        image = torch.arange(images, device=valid.device)[:, None, None].expand_as(valid)[valid]
        cell = image * bins + (angle * BINS_A_DEGREE).long().clamp(max=bins - 1)
        counts = torch.bincount(cell, minlength=images * bins).view(images, bins)
        self._add(
            angle=angle.new_zeros(valid.shape).masked_scatter(valid, angle).sum((1, 2)),
            angle_counts=counts.to(torch.int16 if valid[0].numel() < 2**15 else torch.int32),
        )

    def arrays(self) -> dict[str, Array]:
        """See `TaskSums`; of the histograms, what `ClipSums` keeps."""
        arrays = super().arrays()
        counts = arrays["angle_counts"]
        bounds = angle_bounds(counts.sum(0))
        kept = np.add.reduceat(counts, bounds[:-1], axis=1, dtype=np.int64)
        return {**arrays, "angle_counts": kept, "angle_bounds": bounds}


class FlowSums(TaskSums):
    """Of every image the sums of the end-point error, and of the true flow's length, over pixels with a finite flow."""

    def __init__(self) -> None:
        super().__init__(flow_pixels=(), flow_error=(), flow_length=())

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """`[B, 2, H, W]` both, in pixels; a truth that is not finite is undefined."""
        valid = target.isfinite().all(1)  # [B, H, W]
        _require_finite("flow", prediction.movedim(1, -1)[valid].isfinite().all(-1))
        truth, guess = (x.double().where(valid[:, None], 0) for x in (target, prediction))
        self._add(
            flow_pixels=valid.sum((1, 2)),
            flow_error=(guess - truth).norm(dim=1).sum((1, 2)),
            flow_length=truth.norm(dim=1).sum((1, 2)),
        )


class SuiteSums:
    """The sums of every task of a suite."""

    def __init__(self, suite: Suite) -> None:
        self._sums: dict[str, TaskSums] = {task.name: _sums(task) for task in suite.tasks}

    def update(self, predictions: dict[str, Tensor], targets: dict[str, Tensor]) -> None:
        """Add a batch of predictions and targets by task."""
        for name, sums in self._sums.items():
            sums.update(predictions[name], targets[name])

    def clips(self) -> ClipSums:
        """Those of every image so far."""
        return ClipSums({name: array for sums in self._sums.values() for name, array in sums.arrays().items()})

    def compute(self) -> dict[str, float]:
        """All metrics of all tasks by name."""
        return self.clips().metrics()


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
