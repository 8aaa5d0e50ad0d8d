"""The models of the suite by the name that stages and grids use, and those that users bring in a file of their own."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mila.common.user_code import load_file
from mila.errors import UserError
from mila.tasks import Suite

if TYPE_CHECKING:
    from mila.video_model import VideoModel  # needs PyTorch, which naming a model does not

DepthName = Literal["depth", "slow", "fast"]
"""Constructor arguments that are depths of DeepLab-ResNets."""

DEPTHS: tuple[DepthName, ...] = get_args(DepthName)

WEIGHTS: dict[DepthName, str] = {"depth": "weights", "slow": "slow_weights", "fast": "fast_weights"}
"""Constructor arguments that give the ImageNet weights of the encoders with these depths."""

_MODELS = {
    "constant": ("baselines.constant", "Constant"),
    "single_task": ("baselines.single_task", "SingleTask"),
    "multi_task": ("baselines.multi_task", "MultiTask"),
    "mtan": ("baselines.mtan", "MTAN"),
    "cross_stitch": ("baselines.cross_stitch", "CrossStitch"),
    "segnet_mtan": ("baselines.segnet", "SegNetMTAN"),
    "segnet_cross_stitch": ("baselines.segnet", "SegNetCrossStitch"),
    "multinetpp": ("baselines.multinetpp", "MultiNetPP"),
    "svc": ("baselines.svc", "SVC"),
    "accel": ("baselines.flow_warping", "Accel"),
    "flownet": ("baselines.flownet", "FlowNet"),
    "slow_fast": ("baselines.slow_fast", "SlowFast"),
    "mila": ("mila.model", "MILA"),
}


def without_weights(arguments: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A stage's arguments for random weights, which neither costs nor times depend on."""
    return {name: value for name, value in arguments if not name.endswith("weights")}


def is_mila(name: str) -> bool:
    """Whether a model is the paper's own, the one with inter-frame attention and mimicry losses."""
    return name == "mila"


def follows_motion(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a model with these arguments carries features by comparing frames, as `mila.motion.carries` has it.

    Of the suite's own models; Accel has no features of the current frame that it could be asked with.
    """
    if name == "svc":
        return True
    return name in ("mila", "slow_fast") and arguments.get("propagation", "ila") not in ("concat", "none")


def module_of(name: str) -> str:
    """The Python module that a model lives in, or the path of the user's file that it is in."""
    return _place(name)[0]


def file_of(name: str) -> Path | None:
    """The user's file that a model is in; None for a model of the suite."""
    place, _ = _place(name)
    return Path(place) if place.endswith(".py") else None


def label_of(name: str) -> str:
    """What identifies a model wherever its file lies: its name, or its file's name and its class."""
    file = file_of(name)
    return name if file is None else f"{file.name}:{_place(name)[1]}"


def class_name_of(name: str) -> str:
    """The class of a model, in its module or file."""
    return _place(name)[1]


def _place(name: str) -> tuple[str, str]:
    """Module or file, and class. A model in a user's file is called `PATH.py:Class`."""
    if name in _MODELS:
        return _MODELS[name]
    path, _, attribute = name.rpartition(":")
    return path, attribute


def _class_of(name: str) -> type[VideoModel]:
    from mila.video_model import VideoModel

    place, attribute = _place(name)
    module = load_file(Path(place)) if place.endswith(".py") else import_module(place)
    model = getattr(module, attribute, None)
    if not (isinstance(model, type) and issubclass(model, VideoModel)):
        raise UserError(f"{place} has no class {attribute!r} that is a mila.video_model.VideoModel; define one.")
    return model


@lru_cache(maxsize=64)
def accepted(name: str) -> frozenset[str]:
    """Names of a model's constructor arguments; where it passes further ones on, those of its base as well."""
    names: set[str] = set()
    for base in _class_of(name).__mro__:
        parameters = inspect.signature(base).parameters.values()
        names |= {p.name for p in parameters}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return frozenset(names)


def build(name: str, suite: Suite, arguments: dict[str, Any]) -> VideoModel:
    """A freshly initialised model; draws from torch's global random generator."""
    return _class_of(name)(suite, **arguments)
