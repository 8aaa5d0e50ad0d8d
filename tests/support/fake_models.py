"""Small models whose batch norms have seen something, and a video of noise, for tests of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mila.tasks import NYUV2
from mila.video_model import VideoModel

Module = TypeVar("Module", bound=nn.Module)
Model = TypeVar("Model", bound=VideoModel)


def fake_statistics(norm: nn.BatchNorm2d, low: float = 0.5, high: float = 1.5) -> None:
    """Random running statistics, the variance from `low` to `high`."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_(0, 0.1)
    norm.running_var.uniform_(low, high)


def experienced(model: Module) -> Module:
    """The model in eval mode, its batch norms as if they had seen something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            fake_statistics(module)
    return model.eval()


def fake_model(model: Callable[..., Model], **switches: Any) -> Model:
    """A small model of the suite, `experienced`."""
    torch.manual_seed(0)
    return experienced(model(NYUV2, **{"width": 0.0625, **switches}))


def fake_video(frames: int, height: int = 24, width: int = 32) -> Tensor:
    """Two videos of noise, `[2, frames, 3, height, width]`; always the same."""
    return torch.randn(2, frames, 3, height, width, generator=torch.Generator().manual_seed(3))
