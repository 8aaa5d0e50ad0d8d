"""Mean losses over the steps of a training, summed where they are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class LossMeans:
    """Mean losses by name since the start, or since they were last taken.

    The sums stay on the losses' device until then: to read a number is to wait for the GPU. They are summed in double.
    """

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}
        self.sums: dict[str, Tensor] = {}

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Count one step's losses (scalars); not every step has every loss."""
        for name, loss in losses.items():
            value = loss.detach().double()
            self.steps[name] = self.steps.get(name, 0) + 1
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def take(self) -> dict[str, float]:
        """The means; and start anew."""
        means = {name: value.item() / self.steps[name] for name, value in self.sums.items()}
        self.steps, self.sums = {}, {}
        return means

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"steps": self.steps, "sums": self.sums}

    def load(self, state: Mapping[str, Any], device: torch.device | str) -> None:
        """Go on from what `state` gave."""
        self.steps = dict(state["steps"])
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
