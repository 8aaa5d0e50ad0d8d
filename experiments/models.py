"""The models of the suite by the name that stages and grids use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mila.tasks import Suite
from mila.video_model import VideoModel

_MODELS = {
    "constant": ("baselines.constant", "Constant"),
    "single_task": ("baselines.single_task", "SingleTask"),
    "multi_task": ("baselines.multi_task", "MultiTask"),
    "multinetpp": ("baselines.multinetpp", "MultiNetPP"),
    "mila": ("mila.model", "MILA"),
}


def module_of(name: str) -> str:
    """The Python module that a model lives in."""
    return _MODELS[name][0]


def build(name: str, suite: Suite, arguments: dict[str, Any]) -> VideoModel:
    """A freshly initialised model; draws from torch's global random generator."""
    module, attribute = _MODELS[name]
    model = getattr(import_module(module), attribute)(suite, **arguments)
    assert isinstance(model, VideoModel)
    return model
