"""How fast a machine is: what stages take on it, from measurements of a few seconds, as plain numbers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from experiments.stages import Data, Evaluate, Measure, Stage, Train

COUNTING = 3.0
"""Seconds until the cost of a model is counted: 0.9 to 2.8 on slow cores that others used as well."""


def kind_of_data(data: Data) -> Hashable:
    """What a clip of a split takes to render depends on this alone."""
    return replace(data.source, split="train", clips=None), data.length


def kind_of_training(train: Train) -> Hashable:
    """What a step of a training takes depends on this alone."""
    return train.model, train.arguments, train.weighting, train.precision, kind_of_data(train.data)


@dataclass(frozen=True)
class RenderingPace:
    """Of a kind of data.

    Attributes:
        begin: seconds until all cores are at work.
        clip: seconds a clip, all cores working.
    """

    begin: float
    clip: float


@dataclass(frozen=True)
class PartPace:
    """Of a part of a schedule.

    Attributes:
        begin: seconds until its first step is done; of a part with frozen encoders, whose maps of every clip are
            computed then, on the clips that it was measured on.
        step: seconds of each further one.
    """

    begin: float
    step: float


@dataclass(frozen=True)
class TrainingPace:
    """Of a kind of training.

    Attributes:
        clips: that it was measured on.
        build: seconds until the network is made.
        keep: seconds until its state is written and read again.
        parts: of its schedule; of a model that is fitted one that begins with it, and has no steps.
        score: seconds a clip at all offsets together.
    """

    clips: int
    build: float
    keep: float
    parts: tuple[PartPace, ...]
    score: float


@dataclass(frozen=True)
class Pace:
    """What was measured.

    Attributes:
        worker: seconds until a worker process is ready.
        rendering: by `kind_of_data`.
        training: by `kind_of_training`.
    """

    worker: float
    rendering: Mapping[Hashable, RenderingPace]
    training: Mapping[Hashable, TrainingPace]

    def seconds(self, stage: Stage) -> float:
        """About how long a stage takes; of a score, with those at all other offsets, which are done along with it.

        Raises:
            KeyError: nothing of its kind was measured.
            ValueError: a stage of another kind than these.
        """
        if isinstance(stage, Data):
            rendering = self.rendering[kind_of_data(stage)]
            return rendering.begin + rendering.clip * stage.count
        if isinstance(stage, Train):
            return self._training(stage)
        if isinstance(stage, Evaluate):
            pace = self.training[kind_of_training(stage.train)]
            return pace.build + pace.keep + pace.score * stage.data.count
        if isinstance(stage, Measure):
            return COUNTING
        raise ValueError(f"nobody knows how long {stage.title!r} takes")

    def _training(self, stage: Train) -> float:
        pace, clips = self.training[kind_of_training(stage)], stage.data.count
        total = pace.build + pace.keep * (1 + len(stage.starts))
        if stage.schedule is None:
            return total + pace.parts[0].begin * clips / pace.clips
        for part, measured in zip(stage.schedule.parts, pace.parts, strict=True):
            encodes = clips / pace.clips if part.encoders == "frozen" else 1.0
            total += measured.begin * encodes + measured.step * part.steps(clips)
        return total


def rendering_pace(calls: Sequence[tuple[float, int]], total: int) -> RenderingPace:
    """From when how many of `total` clips were rendered, the last call included.

    The first clip is rendered alone, then workers begin, and the later half of the clips is made at full speed.

    Args:
        calls: seconds since the beginning, clips done; ascending.
        total: clips in all.
    """
    end = calls[-1][0]
    begun, done = next(((at, n) for at, n in calls if 2 * n >= total and n < total), (0.0, 0))
    clip = (end - begun) / (total - done)
    return RenderingPace(max(0.0, begun - clip * done), clip)
