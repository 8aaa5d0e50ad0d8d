"""Running a model for its cost alone: a copy without numbers in it, in the middle of a stream."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mila.errors import UserError
from mila.video_model import Stream, VideoModel


def meta_copy(model: nn.Module) -> Any:
    """A copy in eval mode whose tensors are meta tensors: shapes without numbers. The model is not touched.

    The numbers are never copied, so it costs no memory to speak of.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in module._buffers.values():
            if tensor is not None:
                memo[id(tensor)] = torch.empty_like(tensor, device="meta", requires_grad=False)
        for value in vars(module).values():
            if isinstance(value, Tensor):  # a constant that is no buffer
                memo[id(value)] = torch.empty_like(value, device="meta", requires_grad=False)
        for parameter in module._parameters.values():
            if parameter is not None:
                empty = torch.empty_like(parameter, device="meta", requires_grad=False)
                memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    return copy.deepcopy(model, memo).eval()


class Step(nn.Module):
    """One step of a running stream as a module, for the counters that want one.

    Args:
        model: whose stream it is.
        before: steps that come before it.
        frame: the input, `[B, 3, H, W]`.
    """

    def __init__(self, model: VideoModel, before: int, frame: Tensor) -> None:
        super().__init__()
        self.model = model
        stream = model.stream()
        with torch.no_grad():
            for _ in range(before):
                stream.step(frame)
        self._stream: tuple[Stream] = (stream,)  # in a tuple, lest it be taken for a submodule

    def forward(self, frame: Tensor) -> dict[str, Tensor]:
        """See `Stream.step`."""
        return self._stream[0].step(frame)


def check_size(height: int, width: int) -> None:
    """Raise `UserError` unless both are at least 1."""
    if min(height, width) < 1:
        raise UserError(f"a frame of {height}x{width} pixels cannot be counted; give a height and width of at least 1.")


@contextmanager
def without_numbers(model: nn.Module) -> Iterator[None]:
    """Everything in it is made of meta tensors; where an operation needs numbers, a `UserError` that says so."""
    try:
        with torch.device("meta"), torch.no_grad():
            yield
    except (NotImplementedError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        if "meta" not in reason.lower():
            raise
        raise UserError(
            f"{type(model).__name__} cannot be counted, as one of its operations needs numbers and not shapes alone "
            f"({reason}); let what it computes depend on shapes only."
        ) from error
