"""How long and how fast a network is trained. Needs no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """How long and how fast (Section 4.1: Adam, 1e-4, batch 4, 50 epochs).

    Attributes:
        epochs: passes over the training clips.
        batch: clips a step.
        lr: learning rate of Adam.
        betas: of Adam; (0.9, 0.99) in the paper.
        decay: `"none"` keeps the rate, `"cosine"` takes it to 0 over the run, `"step"` divides it by 10 (appendix A)
            after `decay_at` of the run. When the paper does so it does not say.
        decay_at: of the steps, before the rate of `"step"` falls.
    """

    epochs: float
    batch: int = 4
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    decay: Literal["none", "cosine", "step"] = "none"
    decay_at: float = 0.8

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

    def last_epochs(self, clips: int, count: int) -> list[int]:
        """The last `count` full epochs, numbered from 1, whose ends are reached."""
        full = self.steps(clips) // self.steps_an_epoch(clips)
        return list(range(max(1, full - count + 1), full + 1))
