"""The training loop: Adam, weighted tasks, an offset drawn a batch; can be stopped at any step and continued exactly.

What is random depends on the seed and the step alone (`mila.training_steps`). A checkpoint therefore holds the
network, the weighting, the optimiser, the step and the sums of losses so far, and a run that was killed gives the same
numbers as any other: on the CPU the same bits every time, on a GPU the same to rounding, as sums there have no fixed
order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mila import distributed
from mila.common.checkpoint import load_checkpoint, save_checkpoint
from mila.common.pace import Pace
from mila.common.types import Progress
from mila.data.packed import PackedClips
from mila.errors import StoppedError, UserError
from mila.names import WeightingName
from mila.training_steps import Recipe, Training
from mila.video_model import VideoModel


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state.

    Attributes:
        path: file to continue from and to write to.
        identity: what is being trained, which should cover the recipe; a checkpoint of anything else is refused.
        seconds: between two writes, so that a kill loses at most about so much work; None: see `mila.common.pace`.
    """

    path: Path
    identity: str
    seconds: float | None = None


@dataclass(frozen=True)
class Callbacks:
    """What is called during a training.

    Attributes:
        progress: after each step, with (steps done, steps in all).
        end_epoch: after each full epoch of the last part, with how many of them have passed; after an interruption
            perhaps twice with the same.
        stop: at the start and after every step; where it returns true, the checkpoint is written and the training
            stops.
    """

    progress: Progress | None = None
    end_epoch: Callable[[int], None] | None = None
    stop: Callable[[], bool] | None = None


def train(
    model: VideoModel,
    clips: PackedClips,
    recipe: Recipe,
    checkpoint: Checkpoint,
    *,
    device: torch.device | str = "cpu",
    callbacks: Callbacks | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place; of its parameters, those that require a gradient.

    What is minimised is the weighted task losses plus the model's own losses as they are (Mimicry's: Eq. 3 has factors
    of its own).

    In a process group (`mila.distributed`) all ranks call this alike, and share each batch. What comes out is what one
    process computes with the whole batch, to rounding, if the model's own losses are means over clips and nothing but
    batch normalisation looks from one clip at another. Rank 0 writes the checkpoint, every rank must see it.

    Args:
        model: at its initial state; overwritten where the checkpoint exists.
        clips: the training clips.
        recipe: how it is trained.
        checkpoint: what to continue from and where to write.
        device: where to compute.
        callbacks: what is called on the way.

    Returns:
        The training curve: `step`; mean losses by name, unweighted, since the point before, over the steps that had
        them, and so what the model watches; and where the weighting has factors, `weight_<task>`, those that step was
        trained with.

    Raises:
        ValueError: an unknown weighting or augmentation.
        UserError: the checkpoint is damaged, of another model or of another weighting; or the batch has fewer clips
            than there are ranks.
        DivergedError: a loss is not finite.
        StoppedError: `stop` said so, on any rank; the same call continues. A training that was at its last step is
            finished instead.
    """
    callbacks = callbacks or Callbacks()
    training = Training(model, clips, recipe, device, checkpoint.path.parent)
    _resume(training, checkpoint, recipe.weighting, device)
    pace = Pace(checkpoint.seconds, 3 * sum(p.nbytes for p in model.parameters()))  # Adam has two averages of each
    if _stops(callbacks, device):
        raise StoppedError
    while training.done < training.total:
        training.step()
        if callbacks.end_epoch is not None and training.ended_epoch is not None:
            training.check()
            callbacks.end_epoch(training.ended_epoch)
        if callbacks.progress is not None:
            callbacks.progress(training.done, training.total)
        stops = _stops(callbacks, device)
        if training.done == training.total:
            break
        if (stops or pace.is_due()) and distributed.rank() == 0:
            with pace.writing():
                save_checkpoint(checkpoint.path, checkpoint.identity, training.state())
        if stops:
            raise StoppedError
    training.close()
    return training.curve


def _resume(training: Training, checkpoint: Checkpoint, weighting: WeightingName, device: torch.device | str) -> None:
    """Go on from the checkpoint, if there is one."""
    path = checkpoint.path
    if path.exists():
        state = load_checkpoint(path, checkpoint.identity)
        if state.get("weighting") != weighting:
            raise UserError(
                f"{path} is not a checkpoint of a training with {weighting!r} weighting; delete it to train anew."
            )
        training.restore(state)
    if not distributed.is_same(training.done, device):
        raise UserError(f"not all processes see the same {path}; results must lie where all of them can read.")


def _stops(callbacks: Callbacks, device: torch.device | str) -> bool:
    """Whether any rank is asked to stop; the same answer on all."""
    return distributed.any_rank(callbacks.stop is not None and callbacks.stop(), device)
