"""From the frames of a batch to its losses, in one process or shared by several."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mila import distributed
from mila.losses import annotated, task_loss
from mila.names import Precision
from mila.video_model import Encoded, VideoModel
from mila.weighting import Weighting


class BatchLosses(nn.Module):
    """From a rank's part of a batch to the losses of the whole batch; what DistributedDataParallel wraps.

    Gives what is to be minimised, the model's own losses and the tasks' losses.

    Args:
        model: gives predictions.
        weigh: the tasks' losses.
        precision: `"float32"`; or `"bfloat16"`, in which the model then computes what loses little by it (PyTorch's
            autocast). Its parameters, its predictions and all losses are float32 either way.

    Attributes:
        is_head_start: whether the model is run without its own losses.
    """

    def __init__(self, model: VideoModel, weigh: Weighting, precision: Precision = "float32") -> None:
        super().__init__()
        self.model, self.weigh, self.precision = model, weigh, precision
        self.is_head_start = False

    def forward(
        self, frames: Tensor, targets: Mapping[str, Tensor], offset: int, encoded: Encoded | None
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        predictions, own = self._run(frames, offset, encoded)
        tasks = [task.name for task in self.model.suite.tasks]
        losses: dict[str, Tensor] = {name: task_loss(name, predictions[name], targets[name]) for name in tasks}
        if distributed.world_size() > 1:
            counts: dict[str, Tensor | int] = {name: annotated(name, targets[name]).sum() for name in tasks}
            losses = distributed.mean_over_ranks({**own, **losses}, counts | dict.fromkeys(own, len(frames)))
            own = {name: losses.pop(name) for name in own}
        return torch.stack([*own.values(), self.weigh(losses)]).sum(), own, losses

    def _run(self, frames: Tensor, offset: int, encoded: Encoded | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Predictions, and the model's own losses."""
        own = dict[str, Tensor]()
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            if encoded is not None:
                predictions = self.model.forward_encoded(frames, offset, encoded)
            elif self.is_head_start:
                predictions = self.model(frames, offset)
            else:
                predictions, own = self.model.training_forward(frames, offset)
        if self.precision == "bfloat16":
            predictions, own = ({name: x.float() for name, x in found.items()} for found in (predictions, own))
        return predictions, own


def shared_by_ranks(losses: BatchLosses, device: torch.device | str) -> nn.Module:
    """`losses`, its gradients averaged over the ranks of the process group."""
    on_gpu = torch.device(device).type == "cuda"
    return DistributedDataParallel(
        losses,
        device_ids=[torch.cuda.current_device()] if on_gpu else None,
        find_unused_parameters=True,  # which of them an offset does not need; their gradient must stay None
    )
