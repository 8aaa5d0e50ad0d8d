"""What a model keeps in memory at inference: parameters, activations of a step, and what a stream carries on.

A step is run without numbers (meta tensors) while the life of every tensor that the program makes is followed; tensors
that share their memory count once. What kernels take for themselves inside one operation (workspaces of convolutions,
copies in other layouts) is not in it, and allocators round up: a device reports somewhat more.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mila.cost.steps import check_size, meta_copy, without_numbers
from mila.video_model import VideoModel


@dataclass(frozen=True)
class MemoryUse:
    """Memory of a model, in MB (10^6 bytes), for one video.

    Attributes:
        parameters: weights and buffers; what only training needs is left out.
        keyframe, non_keyframe: most that is alive at once during such a step in the middle of a stream: the frame, what
            the stream carries, activations and predictions; without the parameters.
        state: most that the stream carries from any frame to the next, without the parameters.
    """

    parameters: float
    keyframe: float
    non_keyframe: float
    state: float


class LiveTensors(TorchDispatchMode):
    """Follows the memory of all tensors that are made inside it.

    Args:
        known: tensors that are not counted, parameters for instance, nor what shares their memory.

    Attributes:
        held: bytes that are alive now.
        peak: most bytes alive at once since `restart`.
    """

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {x.untyped_storage()._cdata for x in known}
        self._alive: dict[int, int] = {}
        self.held = self.peak = 0

    def restart(self) -> None:
        """Measure the peak from here on."""
        self.peak = self.held

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and note what it made."""
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self._note(x.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place in self._known or place in self._alive:
            return
        self._alive[place] = storage.nbytes()
        self.held += storage.nbytes()
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._forget, place).atexit = False

    def _forget(self, place: int) -> None:
        self.held -= self._alive.pop(place)


def memory(model: VideoModel, height: int, width: int) -> MemoryUse:
    """Memory at inference for frames of `height` x `width` pixels. The model itself is not touched.

    Raises:
        UserError: an impossible size, or an operation that needs numbers.
    """
    check_size(height, width)
    model = meta_copy(model)
    model.for_inference()
    known = _tensors(model)
    peaks, carried = [], []
    with without_numbers(model), LiveTensors(known) as live:
        stream = model.stream()
        # Once through an interval until the stream is full, then each frame of another one.
        for _ in range(model.keyframe_interval):
            stream.step(torch.empty(1, 3, height, width))
        for _ in range(model.keyframe_interval):
            live.restart()
            stream.step(torch.empty(1, 3, height, width))
            peaks.append(live.peak)
            gc.collect()
            carried.append(live.held)
    parameters = {x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in known}
    return MemoryUse(
        parameters=sum(parameters.values()) / 1e6,
        keyframe=peaks[0] / 1e6,
        non_keyframe=max(peaks[1:], default=peaks[0]) / 1e6,
        state=max(carried) / 1e6,
    )


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
