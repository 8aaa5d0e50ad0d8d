"""Stages: frozen descriptions of one piece of work each, with the stages they need and a stable hash.

The hash covers the configuration, the data manifest, the code that the stage runs and the stages it needs. It names the
stage's folder in the store, so equal work is done once, whoever asks for it.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from experiments.models import label_of, module_of
from experiments.sources import Source
from experiments.weights import NamedWeights, name_weights
from mila.common.versions import code_digest
from mila.names import AugmentationName, Precision, WeightingName
from mila.schedule import Schedule
from mila.tasks import FLOW, SUITES, Suite, suite_as_json

Arguments = tuple[tuple[str, Any], ...]
"""Constructor arguments of a model, sorted by name; hashable."""


def arguments(**values: Any) -> Arguments:
    """Constructor arguments as stages keep them."""
    return tuple(sorted(values.items()))


def as_json(given: Arguments) -> dict[str, Any]:
    """Constructor arguments by name; those that are frozen dataclasses, such as `mila.model.Architecture`, as dicts."""
    return {name: vars(value) if is_dataclass(value) else value for name, value in given}


@dataclass(frozen=True)
class Stage(ABC):
    """Base of all stages.

    Attributes:
        title: for people; not part of the hash.
    """

    kind: ClassVar[str]
    title: str

    @property
    def needs(self) -> tuple[Stage, ...]:
        """Stages that must be finished first."""
        return ()

    @property
    def together(self) -> tuple[Stage, ...]:
        """Other stages that one attempt does along with this one, if they are not done and nobody is at work on them.

        It costs less than one after the other, and every result is the same.
        """
        return ()

    @property
    @abstractmethod
    def work(self) -> float:
        """About how long it takes compared with others; weighs the overall progress bar, nothing else."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What it computes, as JSON, without what it needs."""

    @abstractmethod
    def modules(self) -> tuple[str, ...]:
        """Python modules whose code decides the result."""

    @cached_property
    def key(self) -> str:
        """The stage's hash: 16 hex digits."""
        return hash_of(self.description())

    @cached_property
    def identity(self) -> str:
        """What it computes, whatever code does: a hash like `key` that leaves the digests of code out."""
        return identity_of(self.kind, self.config(), [stage.identity for stage in self.needs])

    def description(self) -> dict[str, Any]:
        """Everything that the hash covers."""
        return {
            "kind": self.kind,
            "config": self.config(),
            "code": code_digest(*self.modules()),
            "needs": [stage.key for stage in self.needs],
        }


@dataclass(frozen=True)
class Data(Stage):
    """Render or read a split once, into packed clips."""

    kind: ClassVar[str] = "data"
    source: Source
    length: int

    @property
    def work(self) -> float:
        """See `Stage`."""
        return 0.02 * self.length * self.count

    @property
    def count(self) -> int:
        """Number of clips."""
        return len(self.source.open())

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What identifies the data, as they were when the hash was made."""
        return self.source.manifest()

    def config(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"manifest": self.manifest, "length": self.length}

    def modules(self) -> tuple[str, ...]:
        """See `Stage`."""
        return (*self.source.modules, "mila.data.prepare")


@dataclass(frozen=True)
class Start:
    """Initial weights: the parameters under `theirs` of a finished training, taken over under `ours`."""

    ours: str
    stage: Train
    theirs: str


_STEP = {"segnet_mtan": 0.26, "segnet_cross_stitch": 0.19}
"""Seconds that a step of `quick` takes of models that take longer than the others: what is longest begins first."""
_HEAD_START = {"mtan": 0.16, "cross_stitch": 0.19, "mila": 0.07}
"""Likewise while the encoders are frozen, of models that have much to train then."""


@dataclass(frozen=True)
class Train(Stage):
    """Train one model with one seed. A model without a schedule is fitted instead of trained.

    Attributes:
        last_epochs: the states after so many last epochs are kept and scored; 1 for the final state alone.
    """

    kind: ClassVar[str] = "train"
    model: str
    arguments: Arguments
    data: Data
    seed: int
    schedule: Schedule | None
    starts: tuple[Start, ...] = ()
    weighting: WeightingName = "equal"
    augmentation: AugmentationName = "none"
    last_epochs: int = 1
    precision: Precision = "float32"

    @property
    def needs(self) -> tuple[Stage, ...]:
        """See `Stage`."""
        return (self.data, *(start.stage for start in self.starts))

    @property
    def work(self) -> float:
        """See `Stage`."""
        if self.schedule is None:
            return 2.0
        a_step = 0.02 if self.data.source.suite == FLOW else _STEP.get(self.model, 0.13)
        frozen = _HEAD_START.get(self.model, 0.035)
        twice = dict(self.arguments).get("keyframe_interval", 1) > 1
        return sum(
            part.steps(self.data.count)
            * (frozen if part.encoders == "frozen" else a_step)
            * (1.7 if part.keyframes and twice else 1)
            for part in self.schedule.parts
        )

    def config(self) -> dict[str, Any]:
        """See `Stage`."""
        parts = [vars(part) | {"betas": list(part.betas)} for part in self.schedule.parts] if self.schedule else None
        weights = self.initial_weights()
        return {
            "model": label_of(self.model),
            "arguments": as_json(self.arguments) | {name: known.name for name, known in weights.items()},
            "seed": self.seed,
            "schedule": parts,
            "weights": {name: known.digest[:16] for name, known in weights.items() if known.digest is not None},
            "starts": [[start.ours, start.theirs] for start in self.starts],
            "weighting": self.weighting,
            "augmentation": self.augmentation,
            "last_epochs": self.last_epochs,
            "precision": self.precision,
        }

    def initial_weights(self) -> dict[str, NamedWeights]:
        """What the initial weights are, wherever their files lie, by the arguments that give them."""
        given = {name: value for name, value in self.arguments if name.endswith("weights") and value is not None}
        return {name: name_weights(value) for name, value in given.items()}

    def states(self, clips: int) -> tuple[str, ...]:
        """Files of the states that are scored, the final one last, of a training on `clips` clips."""
        if self.schedule is None or self.last_epochs == 1:
            return ("model.pt",)
        epochs = self.schedule.last_epochs(clips, self.last_epochs)
        return (*(f"epoch-{epoch:04d}.pt" for epoch in epochs[:-1]), "model.pt")

    def modules(self) -> tuple[str, ...]:
        """See `Stage`."""
        return (module_of(self.model), "mila.training")


@dataclass(frozen=True)
class Evaluate(Stage):
    """Score a trained model on a split at one keyframe offset, and keep its predictions of a few clips."""

    kind: ClassVar[str] = "evaluate"
    train: Train
    data: Data
    offset: int
    pictures: int = 3

    @property
    def needs(self) -> tuple[Stage, ...]:
        """See `Stage`."""
        return (self.train, self.data)

    @cached_property
    def together(self) -> tuple[Evaluate, ...]:
        """See `Stage`: the training's scores at the other offsets, which share what its networks make of the frames."""
        return tuple(
            replace(self, title=score_title(self.train, offset), offset=offset)
            for offset in range(dict(self.train.arguments).get("keyframe_interval", 1))
            if offset != self.offset
        )

    @property
    def work(self) -> float:
        """See `Stage`."""
        return 0.02 * self.data.count

    def config(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"offset": self.offset, "pictures": self.pictures}

    def modules(self) -> tuple[str, ...]:
        """See `Stage`."""
        return (module_of(self.train.model), "mila.evaluation")


def score_title(train: Train, offset: int) -> str:
    """Title of a score of a table's row."""
    return f"score {train.title}, offset {offset}"


@dataclass(frozen=True)
class Measure(Stage):
    """Count a model's cost for the tasks of a suite and at its size, under the published convention."""

    kind: ClassVar[str] = "measure"
    model: str
    arguments: Arguments
    suite: Suite

    @property
    def work(self) -> float:
        """See `Stage`."""
        return 3.0

    def config(self) -> dict[str, Any]:
        """See `Stage`."""
        suite = self.suite
        about: dict[str, Any] = {"suite": suite.name, "size": [suite.height, suite.width]}
        if SUITES.get(suite.name) != suite:  # its name does not say it
            about["tasks"] = suite_as_json(suite)["tasks"]
        return {"model": label_of(self.model), "arguments": as_json(self.arguments), **about}

    def modules(self) -> tuple[str, ...]:
        """See `Stage`."""
        return (module_of(self.model), "mila.cost.conventions")


@dataclass(frozen=True)
class Visual(Stage):
    """Base of what is kept of a trained model for people to look at; nothing is scored."""

    train: Train
    data: Data

    @property
    def needs(self) -> tuple[Stage, ...]:
        """See `Stage`."""
        return (self.train, self.data)

    @property
    def work(self) -> float:
        """See `Stage`."""
        return 2.0

    def modules(self) -> tuple[str, ...]:
        """See `Stage`."""
        return (module_of(self.train.model), "mila.visualisation")


@dataclass(frozen=True)
class Attend(Visual):
    """Attention weights and task-specific features of a few clips at one keyframe offset (Figures 4 and 5)."""

    kind: ClassVar[str] = "attention"
    offset: int
    pictures: int = 3

    def config(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"offset": self.offset, "pictures": self.pictures}


@dataclass(frozen=True)
class PredictVideo(Visual):
    """Predictions along whole clips, with the model's keyframe interval and with every frame a keyframe."""

    kind: ClassVar[str] = "film"

    def config(self) -> dict[str, Any]:
        """See `Stage`."""
        return {}


@dataclass(frozen=True)
class FollowMotion(Visual):
    """How what a model carries from the keyframe agrees with the exact motion of a world's clips, by offset.

    Attributes:
        interval: K; offsets 1 to K - 1 are looked at.
        clips: how many.
    """

    kind: ClassVar[str] = "motion"
    interval: int
    clips: int = 64

    @property
    def work(self) -> float:
        """See `Stage`."""
        return 0.02 * self.clips * (self.interval - 1)

    def config(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"interval": self.interval, "clips": self.clips}

    def modules(self) -> tuple[str, ...]:
        """See `Stage`."""
        return (module_of(self.train.model), "mila.motion", *self.data.source.modules)


def hash_of(description: dict[str, Any]) -> str:
    """The hash of a stage that is described like this."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def identity_of(kind: str, config: dict[str, Any], needs: Sequence[str]) -> str:
    """See `Stage.identity`.

    Args:
        kind: of the stage.
        config: likewise.
        needs: identities of the stages that it needs, in their order.
    """
    return hash_of({"kind": kind, "config": config, "needs": list(needs)})


def known_kinds() -> tuple[str, ...]:
    """The kinds of all stages that there are."""
    found: dict[str, None] = {}
    classes = list(Stage.__subclasses__())
    while classes:
        cls = classes.pop(0)
        classes += cls.__subclasses__()
        if "kind" in vars(cls):
            found[cls.kind] = None
    return tuple(found)


def in_order(stages: list[Stage]) -> list[Stage]:
    """The stages and all that they need, each once (by hash), every stage after the ones it needs."""
    ordered: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in ordered:
            for needed in stage.needs:
                visit(needed)
            ordered[stage.key] = stage

    for stage in stages:
        visit(stage)
    return list(ordered.values())
