"""Which step of a training was the first whose loss is not finite, without waiting for a GPU at every step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mila.errors import DivergedError


class Divergence:
    """Looks at the loss of every step, and keeps the first that is not finite where the loss is: on its device.

    Nothing is read until `check`, which waits for the device. Only what was checked may be written or shown.

    Args:
        total: steps of the training, for the sentence.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._names: tuple[str, ...] = ()
        self._first: Tensor | None = None  # number of the first bad step since the last check, or 0
        self._values: Tensor | None = None  # its losses

    @torch.no_grad()
    def watch(self, step: int, loss: Tensor, losses: Mapping[str, Tensor]) -> None:
        """Look at a step.

        Args:
            step: its number, from 1.
            loss: what it minimises, a scalar.
            losses: what that is made of, by name; for the sentence.
        """
        names = tuple(losses)
        if names != self._names:
            self.check()
            self._names = names
        values = torch.stack([each.detach().double() for each in losses.values()])
        bad = torch.where(loss.detach().isfinite(), 0, step)
        if self._first is None or self._values is None:
            self._first, self._values = bad, values
            return
        self._values = torch.where(self._first > 0, self._values, values)
        self._first = torch.where(self._first > 0, self._first, bad)

    def check(self) -> None:
        """See whether every step so far was finite.

        Raises:
            DivergedError: one was not; names the first, and its losses.
        """
        first, values = self._first, self._values
        self._first = self._values = None
        if first is None or values is None or not first.item():
            return
        losses = ", ".join(f"{name} {value:.4g}" for name, value in zip(self._names, values.tolist(), strict=True))
        raise DivergedError(
            f"training diverged at step {int(first.item())} of {self._total} ({losses}); lower the learning rate."
        )
