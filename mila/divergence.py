"""Which step of a training was the first whose loss is not finite, without waiting for a GPU at every step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mila.errors import DivergedError


class Divergence:
    """Keeps the losses of the steps since the last check, where they are: on their device.

    Nothing is read until `check`, which waits for the device. Only what was checked may be written or shown.

    Args:
        total: steps of the training, for the sentence.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._unchecked: list[tuple[int, Tensor, dict[str, Tensor]]] = []

    def watch(self, step: int, loss: Tensor, losses: Mapping[str, Tensor]) -> None:
        """Take note of a step.

        Args:
            step: its number, from 1.
            loss: what it minimises, a scalar.
            losses: what that is made of, by name; for the sentence.
        """
        self._unchecked.append((step, loss.detach(), {name: each.detach() for name, each in losses.items()}))

    def check(self) -> None:
        """See whether every step so far was finite.

        Raises:
            DivergedError: one was not; names the first, and its losses.
        """
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        finite = torch.stack([loss for _, loss, _ in unchecked]).isfinite().tolist()
        if all(finite):
            return
        step, _, losses = unchecked[finite.index(False)]
        values = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
        raise DivergedError(f"training diverged at step {step} of {self._total} ({values}); lower the learning rate.")
