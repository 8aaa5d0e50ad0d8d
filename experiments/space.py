"""How much room on the disk stages take: what stays of them, and what they need beside it while they run."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch

from experiments.models import build, file_of, without_weights
from experiments.runner.blame import blaming, doing
from experiments.stages import Arguments, Attend, Data, Evaluate, PredictVideo, Stage, Train
from mila.data.prepare import space_needed
from mila.kept import kept_bytes
from mila.tasks import Suite
from mila.video_model import VideoModel

_SUMS = 1024
"""Bytes that the sums of a clip take in one state, about."""


@dataclass(frozen=True)
class Space:
    """Bytes.

    Attributes:
        stays: what is left when all is done.
        meanwhile: what is needed beside it at most, while stages run.
    """

    stays: int = 0
    meanwhile: int = 0

    @property
    def most(self) -> int:
        """Both together."""
        return self.stays + self.meanwhile


def space_of(stage: Stage, *, keep_states: bool = False) -> Space:
    """What one stage takes, to a few percent; with `keep_states` the states that are scored stay (`Train.states`).

    Raises:
        UserError: a method of the user's own cannot be built.
    """
    if isinstance(stage, Data):
        return Space(0 if stage.source.is_packed else sum(space_needed(stage.source.open(), stage.length).values()))
    if isinstance(stage, Train):
        return _of_training(stage, keep_states)
    if isinstance(stage, Evaluate):
        states = len(stage.train.states(stage.train.data.count))
        return Space(stage.data.count * states * _SUMS + stage.pictures * _picture(stage.data))
    if isinstance(stage, Attend):
        return Space(stage.pictures * _picture(stage.data))
    if isinstance(stage, PredictVideo):
        return Space(2 * stage.data.length * _picture(stage.data))
    return Space()


def space_of_all(stages: Iterable[Stage], jobs: int, *, keep_states: bool = False) -> Space:
    """What stages take of which `jobs` run at once."""
    spaces = [space_of(stage, keep_states=keep_states) for stage in stages]
    meanwhile = sorted((space.meanwhile for space in spaces), reverse=True)
    return Space(sum(space.stays for space in spaces), sum(meanwhile[:jobs]))


def _picture(data: Data) -> int:
    """Bytes of the predictions of a frame: class indices, and four bytes for every other channel."""
    channels = sum(1 if task.name == "segmentation" else 4 * task.channels for task in data.source.suite.tasks)
    return data.source.height * data.source.width * channels


def _of_training(stage: Train, keep_states: bool) -> Space:
    source = stage.data.source
    arguments = tuple(without_weights(stage.arguments).items())
    file = file_of(stage.model)
    with nullcontext() if file is None else blaming(file, stage, "cpu"), doing("its size was found"):
        weights, maps = _of_model(stage.model, arguments, source.suite, source.height, source.width)
    if stage.schedule is None:
        return Space(weights)
    states = (len(stage.states(stage.data.count)) - 1) * weights
    keeps = stage.augmentation == "none" and any(part.encoders == "frozen" for part in stage.schedule.parts)
    meanwhile = 3 * weights + (maps * stage.data.count if keeps else 0)  # Adam has two averages of each weight
    return Space(weights + states, meanwhile) if keep_states else Space(weights, meanwhile + states)


@lru_cache(maxsize=256)
def _of_model(name: str, arguments: Arguments, suite: Suite, height: int, width: int) -> tuple[int, int]:
    """Bytes of a model's state, and of the maps that are kept of a clip while its encoders are frozen."""
    with torch.device("meta"), torch.no_grad():
        model: VideoModel = build(name, suite, dict(arguments)).eval()
        state = sum(value.nbytes for value in model.state_dict().values())
        return state, kept_bytes(model, height, width)
