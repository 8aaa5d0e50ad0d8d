"""A stream taken apart into steps: functions of the frame and of what is carried, which can be exported one by one.

Which tensors are carried depends on the place in the video: the first keyframe has none, the frame after it has those
of a keyframe alone, and so on. Each such kind of step is a function of its own; from some frame on they repeat with the
keyframe interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mila.data.clips import normalise
from mila.errors import UserError
from mila.video_model import ResumableStream, VideoModel


@dataclass(frozen=True)
class Kind:
    """A kind of step: whether its frame is a keyframe, and the names of what is carried to it, sorted."""

    keyframe: bool
    names: tuple[str, ...]


@dataclass(frozen=True)
class Rehearsal:
    """A video of noise, stepped through: two keyframe intervals and a frame.

    Attributes:
        frames: `[T, 1, 3, H, W]`, normalised.
        predictions: of each frame, by task.
        kinds: of each step.
        carried: what was carried to the first step of each kind, by name.
        changed: names of what each kind carries on and was not handed to it as it is.
    """

    frames: Tensor
    predictions: Sequence[Mapping[str, Tensor]]
    kinds: Sequence[Kind]
    carried: Mapping[Kind, Mapping[str, Tensor]]
    changed: Mapping[Kind, tuple[str, ...]]


@torch.no_grad()
def rehearse(model: VideoModel, height: int, width: int) -> Rehearsal:
    """Step through a video of noise, always the same, whose frames are `[1, 3, height, width]`.

    The model is in eval mode, on the CPU.

    Raises:
        UserError: the model's stream cannot be taken apart.
    """
    interval = model.keyframe_interval
    generator = torch.Generator().manual_seed(0)
    size = (2 * interval + 1, 1, 3, height, width)
    frames = normalise(torch.randint(256, size, generator=generator, dtype=torch.uint8))
    stream = model.stream()
    if not isinstance(stream, ResumableStream):
        raise UserError(
            f"{type(model).__name__} cannot be exported, for its stream does not say what it carries from frame to "
            "frame; give it the methods carried() and resume() of mila.video_model.ResumableStream."
        )
    kinds: list[Kind] = []
    predictions, carried, changed = [], dict[Kind, Mapping[str, Tensor]](), dict[Kind, tuple[str, ...]]()
    for place, frame in enumerate(frames):
        before = stream.carried()
        kind = Kind(place % interval == 0, tuple(sorted(before)))
        carried.setdefault(kind, {name: tensor.clone() for name, tensor in before.items()})
        predictions.append(stream.step(frame))
        after = stream.carried()
        changed.setdefault(kind, tuple(sorted(n for n in after if n not in before or after[n] is not before[n])))
        kinds.append(kind)
    steady = kinds[interval:]
    if steady[0] != steady[-1] or any(x.dtype != torch.float32 for each in carried.values() for x in each.values()):
        raise UserError(
            f"{type(model).__name__} cannot be exported, for what its stream carries is not the same in every keyframe "
            "interval, or not float32; let carried() give the same names at the same place of each."
        )
    return Rehearsal(frames, predictions, kinds, carried, changed)


class Step(nn.Module):
    """One kind of step as a module: from a frame and tensors of the state to predictions and new tensors of the state.

    Args:
        model: whose step it is.
        kind: which.
        carried: an example of what is carried to it.
        inputs: names of the state that it is given; what else is carried does not matter to it.
        outputs: names of the state that it gives.
    """

    def __init__(
        self,
        model: VideoModel,
        kind: Kind,
        carried: Mapping[str, Tensor],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        self.model, self.kind = model, kind
        self.shapes = {name: tuple(carried[name].shape) for name in kind.names}
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Predictions in the order of the suite's tasks, then `outputs`.

        Args:
            frame: `[1, 3, H, W]`.
            state: `inputs`.
        """
        given = dict(zip(self.inputs, state, strict=True))
        carried = {n: given[n] if n in given else frame.new_zeros(self.shapes[n]) for n in self.kind.names}
        stream = self.model.stream()
        assert isinstance(stream, ResumableStream)
        stream.resume(carried, 0 if self.kind.keyframe else 1)
        predictions = stream.step(frame)
        after = stream.carried()
        own = [predictions[task.name] for task in self.model.suite.tasks]
        taken = [frame, *carried.values(), *own]
        for name in self.outputs:
            tensor = after[name]
            # a tensor has one name in a graph
            own.append(tensor.clone() if any(tensor is other for other in taken) else tensor)
            taken.append(tensor)
        return tuple(own)
