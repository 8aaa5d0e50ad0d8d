"""From the frames of a batch to its losses, in one process or shared by several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mila import distributed
from mila.data.clips import frames_needed
from mila.losses import annotated, task_loss
from mila.names import Precision
from mila.video_model import Encoded, Targets, VideoModel
from mila.weighting import Weighting


class BatchLosses(nn.Module):
    """From a rank's part of a batch to the losses of the whole batch; what DistributedDataParallel wraps.

    Gives what is to be minimised, the model's own losses with what it watches, and the tasks' losses.

    Args:
        model: gives predictions.
        weigh: the tasks' losses.
        precision: `"float32"`; or `"bfloat16"`, in which the model then computes what loses little by it (PyTorch's
            autocast). Its parameters, its predictions and all losses are float32 either way.
    """

    def __init__(self, model: VideoModel, weigh: Weighting, precision: Precision = "float32") -> None:
        super().__init__()
        self.model, self.weigh, self.precision = model, weigh, precision

    def forward(
        self, frames: Tensor, targets: Targets, views: Sequence[tuple[int, Encoded | None]]
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Means over the views.

        Args:
            frames: `[B, T, 3, H, W]`, as many as the largest offset needs.
            targets: of their last frames.
            views: offsets, each with what the frozen networks gave for the frames that it needs, if that is kept.
        """
        found = [self._view(frames, targets, offset, encoded) for offset, encoded in views]
        own, watched, losses = (_means([view[kind] for view in found]) for kind in range(3))
        return torch.stack([*own.values(), self.weigh(losses)]).sum(), {**own, **watched}, losses

    def _view(
        self, frames: Tensor, targets: Targets, offset: int, encoded: Encoded | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """The model's own losses, what it watches, and the tasks' losses, at one offset."""
        clips = frames[:, -frames_needed(offset, self.model.history) :]
        predictions, own, watched = self._run(clips, offset, encoded, targets)
        tasks = [task.name for task in self.model.suite.tasks]
        losses: dict[str, Tensor] = {name: task_loss(name, predictions[name], targets[name]) for name in tasks}
        if distributed.world_size() > 1:
            counts: dict[str, Tensor | int] = {name: annotated(name, targets[name]).sum() for name in tasks}
            shown = {**own, **watched}
            losses = distributed.mean_over_ranks({**shown, **losses}, counts | dict.fromkeys(shown, len(frames)))
            own, watched = ({name: losses.pop(name) for name in names} for names in (own, watched))
        return own, watched, losses

    def _run(
        self, frames: Tensor, offset: int, encoded: Encoded | None, targets: Targets
    ) -> tuple[dict[str, Tensor], ...]:
        """Predictions, the model's own losses, and what it watches."""
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            if encoded is not None:
                predictions, own = self.model.training_encoded(frames, offset, encoded, targets)
            else:
                predictions, own = self.model.training_forward(frames, offset, targets)
            watched = self.model.watched()
        found = (predictions, own, watched)
        if self.precision == "float32":
            return found
        return tuple({name: x.float() for name, x in each.items()} for each in found)


def _means(views: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Of each name over the views, which have the same ones."""
    return {name: torch.stack([view[name] for view in views]).mean() for name in views[0]}


def shared_by_ranks(losses: BatchLosses, device: torch.device | str) -> nn.Module:
    """`losses`, its gradients averaged over the ranks of the process group."""
    on_gpu = torch.device(device).type == "cuda"
    return DistributedDataParallel(
        losses,
        device_ids=[torch.cuda.current_device()] if on_gpu else None,
        find_unused_parameters=True,  # which of them an offset does not need; their gradient must stay None
    )
