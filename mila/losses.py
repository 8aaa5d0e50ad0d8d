"""Per-task losses (note 4.8): cross-entropy, L1 on valid depth, 1 - cosine on valid normals; for flow, its error."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mila.tasks import VOID, TaskName


def task_loss(task: TaskName, prediction: Tensor, target: Tensor) -> Tensor:
    """Mean loss over the annotated pixels of the batch; 0 where none is annotated.

    Args:
        task: which loss.
        prediction: `[B, C, H, W]`; logits, depth, unit normals, or flow.
        target: as `mila.tasks` lays down, with a batch dimension.

    Returns:
        A scalar: cross-entropy ignoring `VOID`; |difference| over target > 0; 1 - cosine over non-zero normals;
        length of the difference, in pixels, over finite flow.
    """
    valid = annotated(task, target)
    if task == "segmentation":
        total = F.cross_entropy(prediction, target, ignore_index=VOID, reduction="sum")
    elif task == "depth":
        total = ((prediction - target).abs() * valid).sum()
    elif task == "normals":
        length = target.square().sum(1)
        # F.cosine_similarity without its slow norms over a strided dimension
        lengths = (prediction.square().sum(1) * length).clamp(min=1e-16).sqrt()
        total = ((1 - (prediction * target).sum(1) / lengths) * valid).sum()
    else:
        error = torch.where(valid[:, None], prediction - target, 0)
        # 1e-12 is a millionth of a pixel: the root of 0 has no finite gradient.
        total = ((error.square().sum(1) + 1e-12).sqrt() * valid).sum()
    return total / valid.sum().clamp(min=1)


def annotated(task: TaskName, target: Tensor) -> Tensor:
    """Which pixels `task_loss` is the mean over, as truth values; `[B, H, W]`, of depth `[B, 1, H, W]`.

    Raises:
        ValueError: there is no such task.
    """
    if task == "segmentation":
        return target != VOID
    if task == "depth":
        return target > 0
    if task == "normals":
        return target.square().sum(1) > 0
    if task == "flow":
        return target.isfinite().all(1)
    raise ValueError(f"there is no task {task!r}")
