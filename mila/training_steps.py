"""The steps of a training: what it is trained by, on which batch, and its state between two steps.

Everything random is a function of (seed, step) alone: the order of the clips, the offset of the batch, the
augmentation.

A schedule has parts, each with an optimiser of its own. While the encoders are frozen (`Part.encoders`) what they give
for a frame is computed once and kept (`mila.kept`), where that can be done: in one process, without augmentation, of a
model that says which maps depend on single frames. Otherwise they run at every step.

On a GPU steps are recorded and replayed (`mila.recorded_steps`), and nothing waits for a step before the next one is
given to it: the next batch is read meanwhile, and losses are looked at every few steps, and before anything is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mila import distributed
from mila.batch_losses import BatchLosses, shared_by_ranks
from mila.batch_reader import Batch, BatchReader, View
from mila.cuda_graphs import CudaGraphs
from mila.data.augment import augment
from mila.data.clips import frames_needed
from mila.data.packed import PackedClips
from mila.divergence import Divergence
from mila.kept import KeptMaps, as_encoded, can_keep
from mila.loss_means import LossMeans
from mila.names import AugmentationName, Precision, WeightingName
from mila.recorded_steps import Inputs, LossesAndGradients, Record
from mila.schedule import Place, Schedule
from mila.video_model import VideoModel
from mila.weighting import make_weighting

CURVE_POINTS = 50
"""About how many points a training curve keeps."""

CHECK_EVERY = {"cpu": 1, "cuda": 20}
"""Steps until their losses are looked at, by kind of device: to read a number is to wait for a GPU."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: all that the result depends on beside the model and the clips.

    Attributes:
        schedule: lengths and rates.
        seed: of the clips' order, the offsets and the augmentation. (The initial weights are the caller's.)
        weighting: of the tasks' losses; what it learns is trained by the same optimiser.
        augmentation: protocol of `mila.data.augment`.
        precision: what the networks compute in, see `mila.batch_losses`.
    """

    schedule: Schedule
    seed: int
    weighting: WeightingName = "equal"
    augmentation: AugmentationName = "none"
    precision: Precision = "float32"


def batch_of(step: int, clips: int, batch: int, interval: int, seed: int, part: int = 0) -> tuple[list[int], int]:
    """Which clips, and which offset in 0..K-1, step `step` of a part trains on; a function of its arguments alone."""
    epoch, position = divmod(step, max(1, clips // batch))
    more = (part,) if part else ()
    order = np.random.default_rng((seed, 0, epoch, *more)).permutation(clips)
    offset = int(np.random.default_rng((seed, 1, step, *more)).integers(interval))
    return order[position * batch : (position + 1) * batch].tolist(), offset


def _by_rate(model: VideoModel, parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """Parameter groups of an optimiser, each with its `factor` on the learning rate (`VideoModel.rate_factors`)."""
    factors = {
        p: factor for name, factor in model.rate_factors().items() for p in model.get_submodule(name).parameters()
    }
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(factors.get(parameter, 1.0), []).append(parameter)
    return [{"params": group, "factor": factor} for factor, group in groups.items()]


class Training:
    """A training between two steps: its state, and the next step.

    Args:
        model: at its initial state; is trained in place, of its parameters those that require a gradient.
        clips: the training clips.
        recipe: how.
        device: where to compute.
        folder: where the maps of frozen encoders are kept, `folder / "kept"`.
        record: how steps are recorded, see `mila.recorded_steps`; `"auto"`: as CUDA graphs on a GPU, in one process.

    Attributes:
        done: steps that have been made.
        total: steps in all.
        curve: see `train`.

    Raises:
        ValueError: an unknown weighting.
        UserError: a batch has fewer clips than there are ranks.
    """

    def __init__(
        self,
        model: VideoModel,
        clips: PackedClips,
        recipe: Recipe,
        device: torch.device | str,
        folder: Path,
        *,
        record: Record | Literal["auto"] | None = "auto",
    ) -> None:
        for part in recipe.schedule.parts:
            distributed.part(min(part.batch, len(clips)))  # refuses what cannot be shared
        if distributed.world_size() > 1:
            distributed.synchronise_batch_norm(model)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model, self._clips, self._recipe, self._device = model, clips, recipe, device
        self._folder = folder / "kept"
        self._weigh = make_weighting(recipe.weighting, [t.name for t in model.suite.tasks]).to(device)
        self._trainable = [p for module in (model, self._weigh) for p in module.parameters() if p.requires_grad]
        self.total = recipe.schedule.steps(len(clips))
        self.done, self.curve = 0, list[dict[str, float]]()
        self._since_point, self._since_epoch = LossMeans(), LossMeans()
        self._divergence = Divergence(self.total)
        kind = torch.device(device).type
        # Ranks must all find it at the same step, whichever of them writes a checkpoint.
        self._check_every = CHECK_EVERY.get(kind, 1) if distributed.world_size() == 1 else 1
        on_gpu = kind == "cuda"
        self._record = record
        self._reader = BatchReader(self._read, ahead=on_gpu, pin=on_gpu)
        self._enter(recipe.schedule.place(0, len(clips)))

    def _enter(self, place: Place) -> None:
        """Make ready for a part of the schedule."""
        model, part = self._model, place.part
        self._place = place
        self._part_total = part.steps(len(self._clips))
        model.train()
        for parameter in self._trainable:
            parameter.requires_grad_(True)
        for module in model.pretrained():
            module.train(part.encoders == "trained")
            if part.encoders == "frozen":
                module.requires_grad_(False)
        whole = BatchLosses(model, self._weigh, self._recipe.precision)
        alone = self._recipe.augmentation == "none" and distributed.world_size() == 1
        self._keeps = part.encoders == "frozen" and alone and can_keep(model)
        self._kept: KeptMaps | None = None
        parameters = [p for p in self._trainable if p.requires_grad]
        groups = _by_rate(model, parameters)
        self._optimiser = torch.optim.Adam(groups, lr=part.lr, betas=part.betas, fused=True)
        losses = shared_by_ranks(whole, self._device) if distributed.world_size() > 1 else whole
        record = self._record
        if record == "auto":  # a pool of memory is of use for one part only: it ends with its last recording
            on_gpu = torch.device(self._device).type == "cuda"
            record = CudaGraphs(self._device) if on_gpu and distributed.world_size() == 1 else None
        self._losses = LossesAndGradients(losses, model, parameters, record)

    def state(self) -> dict[str, Any]:
        """For a checkpoint.

        Raises:
            DivergedError: a loss was not finite.
        """
        self.check()
        return {
            "step": self.done,
            "curve": self.curve,
            "weighting": self._recipe.weighting,
            "factors": self._weigh.state_dict(),
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "since_point": self._since_point.state(),
            "since_epoch": self._since_epoch.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, of a training with the same recipe."""
        self._model.load_state_dict(state["model"])
        self._weigh.load_state_dict(state["factors"])
        self.done, self.curve = state["step"], state["curve"]
        place = self._recipe.schedule.place(max(0, self.done - 1), len(self._clips))  # whose optimiser was saved
        if place.number != self._place.number:
            self._enter(place)
        self._optimiser.load_state_dict(state["optimiser"])
        self._since_point.load(state["since_point"], self._device)
        self._since_epoch.load(state["since_epoch"], self._device)

    @property
    def waited(self) -> float:
        """Seconds that steps have waited for their batches so far."""
        return self._reader.waited

    @property
    def ended_epoch(self) -> int | None:
        """The epoch of the last part, numbered from 1, that the last step ended; None where it ended none."""
        place = self._recipe.schedule.place(self.done, len(self._clips))
        epoch, rest = divmod(place.step, place.part.steps_an_epoch(len(self._clips)))
        return epoch if epoch and not rest and place.number == len(self._recipe.schedule.parts) - 1 else None

    def step(self) -> None:
        """Make the next step.

        Raises:
            DivergedError: a loss is not finite; on a GPU perhaps some steps later, see `check`.
        """
        place = self._recipe.schedule.place(self.done, len(self._clips))
        if place.number != self._place.number:
            self._enter(place)
            self._since_epoch = LossMeans()  # an epoch that a part did not end is none
        self._place = place
        for group in self._optimiser.param_groups:
            group["lr"] = group["factor"] * place.part.rate(place.step, self._part_total)
        self._model.set_progress(place.step / self._part_total, head_start=place.part.encoders == "frozen")
        loss, own, losses = self._losses(self._inputs())
        ends_point = (self.done + 1) % max(1, self.total // CURVE_POINTS) == 0 or place.step + 1 == self._part_total
        teaches = self._weigh.learns_from_epochs
        ends_epoch = teaches and (place.step + 1) % place.part.steps_an_epoch(len(self._clips)) == 0
        self._divergence.watch(self.done + 1, loss, {**own, **losses})
        if ends_point or ends_epoch or (self.done + 1) % self._check_every == 0:
            self.check()
        self._since_point.add({**own, **losses})
        if teaches:
            self._since_epoch.add(losses)
        if ends_point:
            weights = {f"weight_{name}": weight for name, weight in self._weigh.weights().items()}
            self.curve.append({"step": self.done + 1, **self._since_point.take(), **weights})
        self._optimiser.step()
        self.done += 1
        if ends_epoch:
            self._weigh.end_epoch(self._since_epoch.take())

    def check(self) -> None:
        """See that every loss so far was finite; waits for the device.

        Raises:
            DivergedError: one was not.
        """
        self._divergence.check()

    def close(self) -> None:
        """Delete what was kept; after the last step."""
        self._reader.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _inputs(self) -> Inputs:
        """What the next step's losses are computed from."""
        clips, model, recipe, place = self._clips, self._model, self._recipe, self._place
        if self._keeps and self._kept is None:
            own = self._folder / str(place.number)  # an earlier part's maps are of encoders that were trained since
            for earlier in set(self._folder.glob("*")) - {own}:
                shutil.rmtree(earlier, ignore_errors=True)
            self._kept = KeptMaps(model, clips, own, self._device)
        batch = self._reader.batch(self.done, is_last=place.step + 1 == self._part_total)
        frames, targets = batch.on(self._device)
        first = distributed.part(min(place.part.batch, len(clips))).start
        frames, targets = augment(frames, targets, clips.suite, recipe.augmentation, recipe.seed, self.done, first)
        views = [(offset, None if kept is None else as_encoded(kept, self._device)) for offset, kept in batch.views]
        return Inputs(frames, targets, views)

    def _read(self, step: int) -> Batch:
        """The batch of a step of the present part, on the CPU; of a rank its part of it."""
        clips, interval, history = self._clips, self._model.keyframe_interval, self._model.history
        place = self._recipe.schedule.place(step, len(clips))
        indices, offset = batch_of(place.step, len(clips), place.part.batch, interval, self._recipe.seed, place.number)
        offsets = [offset, 0] if place.part.keyframes and offset else [offset]
        lengths = [frames_needed(o, history) for o in offsets]
        frames, targets = clips.read(indices[distributed.part(len(indices))], max(lengths))
        kept = self._kept
        views = tuple(
            View(o, None if kept is None else kept.read(indices, length, o))
            for o, length in zip(offsets, lengths, strict=True)
        )
        return Batch(torch.from_numpy(frames), {n: torch.from_numpy(x) for n, x in targets.items()}, views)
