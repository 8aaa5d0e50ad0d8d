"""The losses of a batch and their gradients; on a GPU recorded once for each kind of step and then replayed.

A step of a training is thousands of small kernels, and to launch them one by one takes a GPU longer than to compute
them. The first step of a kind is made as it comes, so that libraries choose their algorithms; the second is recorded
(`mila.cuda_graphs`), and it and all later ones are replayed: the same kernels on the same numbers. What a recording
cannot hold is made as it comes, with one warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mila.errors import first_line
from mila.video_model import Encoded, VideoModel

Losses = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]
"""As `mila.batch_losses.BatchLosses` gives them."""

Work = Callable[[], Tensor]
"""Work over static memory: gives numbers, which stay where they are."""

Record = Callable[[Work], tuple[Callable[[], None], Tensor]]
"""Records work without doing it: gives its replay, and the numbers that it puts anew each time."""


class Inputs(NamedTuple):
    """What `mila.batch_losses.BatchLosses` is given."""

    frames: Tensor
    targets: Mapping[str, Tensor]
    views: Sequence[tuple[int, Encoded | None]]

    def tensors(self) -> list[Tensor]:
        """All of them, in an order that their names decide."""
        kept = [x for _, encoded in self.views for maps in (encoded or {}).values() for x in maps]
        return [self.frames, *self.targets.values(), *kept]

    def kind(self) -> Hashable:
        """Names, offsets, shapes, types and layouts: all but the numbers."""
        views = tuple((offset, None if encoded is None else tuple(encoded)) for offset, encoded in self.views)
        return tuple(self.targets), views, tuple((x.shape, x.dtype, x.stride()) for x in self.tensors())

    def clone(self) -> Inputs:
        """The same in memory of its own."""
        views = [
            (offset, encoded and {of: tuple(x.clone() for x in maps) for of, maps in encoded.items()})
            for offset, encoded in self.views
        ]
        return Inputs(self.frames.clone(), {name: target.clone() for name, target in self.targets.items()}, views)


class _Recording(NamedTuple):
    inputs: Inputs
    replay: Callable[[], None]
    numbers: Tensor
    names: tuple[tuple[str, ...], tuple[str, ...]]
    gradients: Mapping[nn.Parameter, Tensor]


class LossesAndGradients:
    """Computes the losses of a batch and puts their gradients where an optimiser looks for them.

    A parameter that the losses of a batch do not depend on has no gradient (None) after it.

    Args:
        losses: `mila.batch_losses.BatchLosses`, perhaps wrapped.
        model: whose losses they are.
        parameters: those that want a gradient.
        record: how steps are recorded; None: not at all.

    Attributes:
        failure: why a recording failed, if one has; all steps are then made as they come.
    """

    def __init__(
        self, losses: nn.Module, model: VideoModel, parameters: Sequence[nn.Parameter], record: Record | None
    ) -> None:
        self._losses, self._model, self._parameters, self._record = losses, model, parameters, record
        self._gradients: dict[nn.Parameter, Tensor] = {}
        self._seen: dict[Hashable, list[nn.Parameter]] = {}
        self._recordings: dict[Hashable, _Recording] = {}
        self.failure: str | None = None

    def __call__(self, inputs: Inputs) -> Losses:
        """What is minimised, the model's own losses and what it watches, and the tasks' losses: scalars."""
        kind = kind_of_step(self._model) if self._record is not None and self.failure is None else None
        if kind is None:
            return self._plain(inputs)
        key = (kind, inputs.kind())
        if key not in self._seen:
            found = self._plain(inputs)
            self._seen[key] = [p for p in self._parameters if p.grad is not None]
            for p in self._seen[key]:
                if p not in self._gradients and p.grad is not None:
                    self._gradients[p] = torch.empty_like(p.grad)  # laid out as autograd gives it
            return found
        recording = self._recordings.get(key) or self._make(key, inputs)
        if recording is None:
            return self._plain(inputs)
        for ours, theirs in zip(recording.inputs.tensors(), inputs.tensors(), strict=True):
            ours.copy_(theirs)
        recording.replay()
        for parameter in self._parameters:
            parameter.grad = recording.gradients.get(parameter)
        loss, *others = recording.numbers.clone().unbind()
        own, tasks = recording.names
        return loss, dict(zip(own, others, strict=False)), dict(zip(tasks, others[len(own) :], strict=True))

    def _plain(self, inputs: Inputs) -> Losses:
        for parameter in self._parameters:
            parameter.grad = None
        loss, own, tasks = self._losses(*inputs)
        loss.backward()
        # without their graph, which would keep nodes of this step for the recording of the next one
        return loss.detach(), *({name: x.detach() for name, x in each.items()} for each in (own, tasks))

    def _make(self, key: Hashable, inputs: Inputs) -> _Recording | None:
        """Record a step; None where that failed, which one warning says."""
        assert self._record is not None
        names = list[tuple[str, ...]]()
        try:
            static = inputs.clone()
            gradients = {parameter: self._gradients[parameter] for parameter in self._seen[key]}

            def work() -> Tensor:
                for parameter in self._parameters:
                    parameter.grad = None
                loss, own, tasks = self._losses(*static)
                loss.backward()
                # all at once to where all recordings leave them; to add them up there would take a kernel each
                found = [parameter.grad for parameter in gradients if parameter.grad is not None]
                torch._foreach_copy_(list(gradients.values()), found)
                names[:] = tuple(own), tuple(tasks)
                return torch.stack([x.detach().float() for x in (loss, *own.values(), *tasks.values())])

            replay, numbers = self._record(work)
        except Exception as error:  # drivers, libraries and kernels have errors of their own
            self.failure = first_line(error)
            self._recordings.clear()
            warnings.warn(
                f"a step of the training could not be recorded ({self.failure}); it goes on without recordings, which "
                "gives the same, but later",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        own, tasks = names
        self._recordings[key] = _Recording(static, replay, numbers, (own, tasks), gradients)
        return self._recordings[key]


def kind_of_step(model: VideoModel) -> Hashable | None:
    """What the model's own class says of its next step; None where only one that it derives from says something."""
    return model.kind_of_step() if "kind_of_step" in vars(type(model)) else None
