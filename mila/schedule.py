"""How long and how fast a network is trained, in parts that follow each other. Needs no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

EncoderState = Literal["trained", "fixed_norm", "frozen"]
"""What becomes of the parts of a model that begin as trained networks (`VideoModel.pretrained`) while it is trained:
they are trained as everything else; or so, but their batch norms keep the statistics that they have; or they stay as
they are, and what they give for a frame is kept."""


@dataclass(frozen=True)
class Part:
    """One part of a schedule (Section 4.1 has one: Adam, 1e-4, batch 4, 50 epochs).

    Attributes:
        epochs: passes over the training clips.
        batch: clips a step.
        lr: learning rate of Adam.
        betas: of Adam; (0.9, 0.99) in the paper.
        decay: `"none"` keeps the rate, `"cosine"` takes it to 0 over the part, `"step"` divides it by 10 (appendix A)
            after `decay_at` of it. When the paper does so it does not say.
        decay_at: of the steps, before the rate of `"step"` falls.
        name: for people.
        encoders: see `EncoderState`. While they are frozen, L1 alone of MILA's own losses counts, unless it is
            told otherwise (`mila.switches.MimicryOptions.head_start`).
        keyframes: whether every batch is predicted twice, at the offset that was drawn and as keyframes (offset 0),
            and a step minimises the mean of both. The paper does not say how offsets are drawn in training. No matter
            to a model that has no keyframes.
    """

    epochs: float
    batch: int = 4
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    decay: Literal["none", "cosine", "step"] = "none"
    decay_at: float = 0.8
    name: str = "all layers"
    encoders: EncoderState = "trained"
    keyframes: bool = False

    def steps(self, clips: int) -> int:
        """Optimiser steps on a training set of `clips` clips; an incomplete last batch of an epoch is left out."""
        return max(1, round(self.epochs * self.steps_an_epoch(clips)))

    def steps_an_epoch(self, clips: int) -> int:
        """Full batches in one pass."""
        return max(1, clips // self.batch)

    def rate(self, step: int, total: int) -> float:
        """Learning rate at `step` of `total`."""
        if self.decay == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * step / total))
        return self.lr * 0.1 if self.decay == "step" and step >= self.decay_at * total else self.lr


class Place(NamedTuple):
    """Where a step is: in which part, and which step of it."""

    number: int
    part: Part
    step: int


@dataclass(frozen=True)
class Schedule:
    """Parts of a training that follow each other, each with an optimiser of its own.

    Raises:
        ValueError: there is no part.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a schedule has at least one part")

    def steps(self, clips: int) -> int:
        """Optimiser steps in all."""
        return sum(part.steps(clips) for part in self.parts)

    def place(self, step: int, clips: int) -> Place:
        """Where step number `step` is; from the end on, the end of the last part."""
        for index, part in enumerate(self.parts[:-1]):
            if step < part.steps(clips):
                return Place(index, part, step)
            step -= part.steps(clips)
        return Place(len(self.parts) - 1, self.parts[-1], step)

    def last_epochs(self, clips: int, count: int) -> list[int]:
        """The last `count` full epochs of the last part, numbered from 1, whose ends are reached."""
        last = self.parts[-1]
        full = last.steps(clips) // last.steps_an_epoch(clips)
        return list(range(max(1, full - count + 1), full + 1))


def one_part(
    epochs: float,
    batch: int = 4,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    decay: Literal["none", "cosine", "step"] = "none",
    decay_at: float = 0.8,
) -> Schedule:
    """A schedule of a single `Part`, in which everything is trained."""
    return Schedule((Part(epochs, batch, lr, betas, decay, decay_at),))
