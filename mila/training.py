"""The training loop: Adam, equal task weights, one offset a batch; can be stopped at any step and continued exactly.

Everything random is a function of (seed, step) alone: the order of the clips, the offset of the batch. A checkpoint
therefore holds the network, the optimiser and the step, and a run that was killed gives the same numbers as any other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mila.data.packed import PackedClips
from mila.errors import UserError
from mila.files import write_atomic
from mila.losses import task_loss
from mila.video_model import VideoModel

Progress = Callable[[int, int], None]
"""Is told (done, total)."""

_CURVE_POINTS = 50
"""About how many points a training curve keeps."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast (Section 4.1: Adam, 1e-4, batch 4, 50 epochs).

    Attributes:
        epochs: passes over the training clips.
        batch: clips a step.
        lr: learning rate of Adam.
        betas: of Adam; (0.9, 0.99) in the paper.
        decay: what the paper leaves open: `"none"` keeps the rate, `"cosine"` takes it to 0 over the run.
    """

    epochs: float
    batch: int = 4
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    decay: Literal["none", "cosine"] = "none"

    def steps(self, clips: int) -> int:
        """Optimiser steps on a training set of `clips` clips; an incomplete last batch of an epoch is left out."""
        return max(1, round(self.epochs * self.steps_an_epoch(clips)))

    def steps_an_epoch(self, clips: int) -> int:
        """Full batches in one pass."""
        return max(1, clips // self.batch)

    def rate(self, step: int, total: int) -> float:
        """Learning rate at `step` of `total`."""
        return self.lr if self.decay == "none" else self.lr * 0.5 * (1 + math.cos(math.pi * step / total))


def batch_of(step: int, clips: int, batch: int, interval: int, seed: int) -> tuple[list[int], int]:
    """Which clips, and which offset in 0..K-1, step number `step` trains on; a function of its arguments alone."""
    epoch, position = divmod(step, max(1, clips // batch))
    order = np.random.default_rng((seed, 0, epoch)).permutation(clips)
    offset = int(np.random.default_rng((seed, 1, step)).integers(interval))
    return order[position * batch : (position + 1) * batch].tolist(), offset


def train(
    model: VideoModel,
    clips: PackedClips,
    schedule: Schedule,
    seed: int,
    checkpoint: Path,
    identity: str,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    checkpoint_seconds: float = 15.0,
) -> list[dict[str, float]]:
    """Train `model` in place.

    Args:
        model: at its initial state; overwritten where `checkpoint` exists.
        clips: the training clips.
        schedule: length and rate.
        seed: of the clips' order and the offsets. (The initial weights are the caller's.)
        checkpoint: file to continue from and to write to.
        identity: what is being trained; a checkpoint of anything else is refused.
        device: where to compute.
        progress: is told (steps done, steps in all).
        checkpoint_seconds: at most about so much work is lost by a kill.

    Returns:
        The training curve: `step`, and mean losses by name since the point before.

    Raises:
        UserError: the checkpoint is damaged or of another model, or the loss is not finite.
    """
    model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(model.parameters(), lr=schedule.lr, betas=schedule.betas, fused=True)
    total = schedule.steps(len(clips))
    done, curve = 0, list[dict[str, float]]()
    sums: dict[str, float] = {}
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, identity)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        done, curve, sums = state["step"], state["curve"], state["sums"]
    every = max(1, total // _CURVE_POINTS)
    saved = time.monotonic()
    for step in range(done, total):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step, total)
        indices, offset = batch_of(step, len(clips), schedule.batch, model.keyframe_interval, seed)
        frames, targets = clips.batch(indices, offset, model.history, device)
        predictions, losses = model.training_forward(frames, offset)
        losses |= {t.name: task_loss(t.name, predictions[t.name], targets[t.name]) for t in model.suite.tasks}
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            raise UserError(
                f"training of {identity} diverged at step {step} of {total} (loss {loss.item()}); "
                "lower the learning rate."
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if (step + 1) % every == 0 or step + 1 == total:
            since = step + 1 - (int(curve[-1]["step"]) if curve else 0)
            curve.append({"step": step + 1, **{name: value / since for name, value in sums.items()}})
            sums = {}
        if progress is not None:
            progress(step + 1, total)
        if time.monotonic() - saved > checkpoint_seconds and step + 1 < total:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            save_checkpoint(checkpoint, identity, {**state, "step": step + 1, "curve": curve, "sums": sums})
            saved = time.monotonic()
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
