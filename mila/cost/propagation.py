"""What a propagation costs alone, outside of any model (Table 7): one map brought from an older frame to another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mila.cost.conventions import Convention, tallier
from mila.cost.steps import meta_copy, without_numbers
from mila.propagation import Propagation


@dataclass(frozen=True)
class PropagationCost:
    """Multiply-accumulates of one propagation, parameters, and convolutions."""

    macs: float
    parameters: int
    conv_layers: int


class _Alone(nn.Module):
    """One propagation; what is compared of the older frame is remembered of it, or computed anew."""

    def __init__(self, propagation: Propagation, remembered: bool) -> None:
        super().__init__()
        self.model, self.remembered = propagation, remembered

    def forward(self, current: Tensor, older: Tensor, value: Tensor) -> Tensor:
        propagation = self.model
        embedded = older if self.remembered else propagation.embed(older)
        return propagation.move(propagation.relate(propagation.embed(current), embedded), value)


def propagation_cost(
    propagation: Propagation,
    channels: int,
    size: tuple[int, int],
    maps: tuple[int, int],
    convention: Convention,
    *,
    remembered: bool = True,
) -> PropagationCost:
    """Count a propagation alone.

    Args:
        propagation: is not touched.
        channels: C of the features.
        size: (height, width) of the frames, pixels.
        maps: (h, w) of the features.
        convention: its counter; what is compared of a frame is computed once a frame, whatever else it says.
        remembered: whether what is compared of the older frame was computed when that was the current one, as in a
            stream, or is charged as well.

    Raises:
        UserError: an operation that no counter knows, or one that needs numbers.
    """
    copied: Propagation = meta_copy(propagation)
    copied.reuse_embeddings = True
    with without_numbers(copied):
        value = torch.empty(1, channels, *maps)
        compared = torch.empty(1, 3, *size) if copied.compares == "frame" else value
        older = copied.embed(compared) if remembered else compared
        counted = tallier(copied, _Alone(copied, remembered), convention)(compared, older, value)
    parameters = sum(p.numel() for p in propagation.parameters())
    return PropagationCost(sum(counted.macs.values()), parameters, len(counted.convolutions))
