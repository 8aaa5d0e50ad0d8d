"""The training loop: Adam, weighted tasks, one offset a batch; can be stopped at any step and continued exactly.

Everything random is a function of (seed, step) alone: the order of the clips, the offset of the batch, the
augmentation. A checkpoint therefore holds the network, the weighting, the optimiser, the step and the sums of losses so
far, and a run that was killed gives the same numbers as any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mila import distributed
from mila.common.files import write_atomic
from mila.common.types import Progress
from mila.data.augment import augment
from mila.data.packed import PackedClips
from mila.errors import UserError
from mila.losses import annotated, task_loss
from mila.names import AugmentationName, WeightingName
from mila.schedule import Schedule
from mila.video_model import VideoModel
from mila.weighting import Weighting, make_weighting

_CURVE_POINTS = 50
"""About how many points a training curve keeps."""


class DivergedError(UserError):
    """A loss is not finite any more."""


class StoppedError(Exception):
    """A training was asked to stop, and has saved its checkpoint."""


def batch_of(step: int, clips: int, batch: int, interval: int, seed: int) -> tuple[list[int], int]:
    """Which clips, and which offset in 0..K-1, step number `step` trains on; a function of its arguments alone."""
    epoch, position = divmod(step, max(1, clips // batch))
    order = np.random.default_rng((seed, 0, epoch)).permutation(clips)
    offset = int(np.random.default_rng((seed, 1, step)).integers(interval))
    return order[position * batch : (position + 1) * batch].tolist(), offset


class _Means:
    """Mean losses by name since the start, or since they were last taken.

    The sums stay on the losses' device until then: to read a number is to wait for the GPU. They are summed in double.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Count one step's losses (scalars)."""
        self.steps += 1
        for name, loss in losses.items():
            value = loss.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def take(self) -> dict[str, float]:
        """The means; and start anew."""
        means = {name: value.item() / self.steps for name, value in self.sums.items()}
        self.steps, self.sums = 0, {}
        return means

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"steps": self.steps, "sums": self.sums}

    def load(self, state: Mapping[str, Any], device: torch.device | str) -> None:
        """Go on from what `state` gave."""
        self.steps = state["steps"]
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}


class _Losses(nn.Module):
    """From a rank's part of a batch to the losses of the whole batch; what DistributedDataParallel wraps.

    Gives what is to be minimised, the model's own losses and the tasks' losses.
    """

    def __init__(self, model: VideoModel, weigh: Weighting) -> None:
        super().__init__()
        self.model, self.weigh = model, weigh

    def forward(
        self, frames: Tensor, targets: Mapping[str, Tensor], offset: int
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        predictions, own = self.model.training_forward(frames, offset)
        tasks = [task.name for task in self.model.suite.tasks]
        losses: dict[str, Tensor] = {name: task_loss(name, predictions[name], targets[name]) for name in tasks}
        if distributed.ranks() > 1:
            counts: dict[str, Tensor | int] = {name: annotated(name, targets[name]).sum() for name in tasks}
            losses = distributed.mean_over_ranks({**own, **losses}, counts | dict.fromkeys(own, len(frames)))
            own = {name: losses.pop(name) for name in own}
        return torch.stack([*own.values(), self.weigh(losses)]).sum(), own, losses


def _shared_by_ranks(losses: _Losses, device: torch.device | str) -> nn.Module:
    """`losses`, its gradients averaged over the ranks of the process group."""
    on_gpu = torch.device(device).type == "cuda"
    return DistributedDataParallel(
        losses,
        device_ids=[torch.cuda.current_device()] if on_gpu else None,
        find_unused_parameters=True,  # which of them an offset does not need; their gradient must stay None
    )


def train(
    model: VideoModel,
    clips: PackedClips,
    schedule: Schedule,
    seed: int,
    checkpoint: Path,
    identity: str,
    *,
    weighting: WeightingName = "equal",
    augmentation: AugmentationName = "none",
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    checkpoint_seconds: float = 15.0,
    stop: Callable[[], bool] | None = None,
    end_epoch: Callable[[int], None] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place; of its parameters, those that require a gradient.

    What is minimised is the weighted task losses plus the model's own losses as they are (Mimicry's: Eq. 3 has factors
    of its own).

    In a process group (`mila.distributed`) all ranks call this alike, and share each batch. What comes out is what one
    process computes with the whole batch, to rounding, if the model's own losses are means over clips and nothing but
    batch normalisation looks from one clip at another. Rank 0 writes the checkpoint, every rank must see it.

    Args:
        model: at its initial state; overwritten where `checkpoint` exists.
        clips: the training clips.
        schedule: length and rate.
        seed: of the clips' order, the offsets and the augmentation. (The initial weights are the caller's.)
        checkpoint: file to continue from and to write to.
        identity: what is being trained; a checkpoint of anything else is refused.
        weighting: of the tasks' losses; what it learns is trained by the same optimiser.
        augmentation: protocol of `mila.data.augment`; `identity` should tell it, as it should the schedule.
        device: where to compute.
        progress: is told (steps done, steps in all).
        checkpoint_seconds: at most about so much work is lost by a kill.
        end_epoch: told after each full epoch how many have passed; after an interruption perhaps twice of the same.
        stop: asked at the start and after every step; where it says yes, the checkpoint is written and the training
            stops.

    Returns:
        The training curve: `step`; mean losses by name, unweighted, since the point before; and where the weighting has
        factors, `weight_<task>`, those that step was trained with.

    Raises:
        ValueError: an unknown weighting or augmentation.
        UserError: the checkpoint is damaged, of another model or of another weighting; or the batch has fewer clips
            than there are ranks.
        DivergedError: a loss is not finite.
        StoppedError: `stop` said so, on any rank; the same call continues. A training that was at its last step is
            finished instead.
    """
    distributed.part(min(schedule.batch, len(clips)))  # refuses what cannot be shared
    if distributed.ranks() > 1:
        distributed.synchronise_batch_norm(model)
    model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    weigh = make_weighting(weighting, [t.name for t in model.suite.tasks]).to(device)
    parameters = [p for module in (model, weigh) for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=schedule.lr, betas=schedule.betas, fused=True)
    total, epoch = schedule.steps(len(clips)), schedule.steps_an_epoch(len(clips))
    done, curve = 0, list[dict[str, float]]()
    since_point, since_epoch = _Means(), _Means()
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, identity)
        if state.get("weighting") != weighting:
            raise UserError(
                f"{checkpoint} is not a checkpoint of a training with {weighting!r} weighting; delete it to train anew."
            )
        model.load_state_dict(state["model"])
        weigh.load_state_dict(state["factors"])
        optimiser.load_state_dict(state["optimiser"])
        since_point.load(state["since_point"], device)
        since_epoch.load(state["since_epoch"], device)
        done, curve = state["step"], state["curve"]
    if not distributed.is_same(done, device):
        raise UserError(f"not all processes see the same {checkpoint}; results must lie where all of them can read.")
    whole = _Losses(model, weigh)
    losses_of = _shared_by_ranks(whole, device) if distributed.ranks() > 1 else whole
    every = max(1, total // _CURVE_POINTS)
    saved = time.monotonic()
    if distributed.any_rank(stop is not None and stop(), device):
        raise StoppedError
    for step in range(done, total):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step, total)
        indices, offset = batch_of(step, len(clips), schedule.batch, model.keyframe_interval, seed)
        part = distributed.part(len(indices))
        frames, targets = clips.batch(indices[part], offset, model.history, device)
        frames, targets = augment(frames, targets, clips.suite, augmentation, seed, step, part.start)
        loss, own, losses = losses_of(frames, targets, offset)
        if not torch.isfinite(loss):
            told = ", ".join(f"{name} {value.item():.4g}" for name, value in {**own, **losses}.items())
            raise DivergedError(f"training diverged at step {step + 1} of {total} ({told}); lower the learning rate.")
        since_point.add({**own, **losses})
        since_epoch.add(losses)
        if (step + 1) % every == 0 or step + 1 == total:
            weights = {f"weight_{name}": weight for name, weight in weigh.weights().items()}
            curve.append({"step": step + 1, **since_point.take(), **weights})
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (step + 1) % epoch == 0:
            weigh.end_epoch(since_epoch.take())
            if end_epoch is not None:
                end_epoch((step + 1) // epoch)
        if progress is not None:
            progress(step + 1, total)
        stopping = distributed.any_rank(stop is not None and stop(), device)
        is_due = stopping or time.monotonic() - saved > checkpoint_seconds
        if is_due and step + 1 < total and distributed.rank() == 0:
            state = {"step": step + 1, "curve": curve, "weighting": weighting, "factors": weigh.state_dict()}
            state |= {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            state |= {"since_point": since_point.state(), "since_epoch": since_epoch.state()}
            save_checkpoint(checkpoint, identity, state)
            saved = time.monotonic()
        if stopping and step + 1 < total:
            raise StoppedError
    return curve


def save_checkpoint(path: Path, identity: str, state: dict[str, Any]) -> None:
    """Write `state` atomically, marked with what it is a state of."""
    write_atomic(path, lambda file: torch.save({"identity": identity, **state}, file))


def load_checkpoint(path: Path, identity: str) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        UserError: the file cannot be read, or is marked as another model's.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint ({error}); delete {path.parent} to train again."
        ) from error
    if found != identity:
        raise UserError(f"{path} is a checkpoint of {found!r}, not of {identity!r}; delete it to train anew.")
    return state
