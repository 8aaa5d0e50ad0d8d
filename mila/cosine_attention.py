"""Inter-frame local attention by cosines, a switch beyond the paper (`mila.switches.Architecture.cosine`).

Eq. 2's inner product grows with the length of `h(f)`: where the lengths are large, its softmax takes the one neighbour
that is best by a little, or that is merely long. Vectors of length 1 leave the angle, and a temperature says how much
of it counts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mila.attention import InterFrameLocalAttention, Window
from mila.propagation import Relation


class CosineAttention(InterFrameLocalAttention):
    """ILA whose weights are softmax(cos(h(f_k), h(f_t)) / temperature) over the window.

    Args:
        channels, embedding, window: see `InterFrameLocalAttention`.
        temperature: what the cosines are divided by.
        learned: train the temperature (its logarithm, so that it stays positive), from that value on.
    """

    def __init__(
        self,
        channels: int,
        embedding: int = 36,
        window: Window = 5,
        temperature: float = 0.1,
        learned: bool = False,
    ) -> None:
        super().__init__(channels, embedding, window)
        start = math.log(temperature)
        self.log_temperature = nn.Parameter(torch.tensor(start)) if learned else start

    def embed(self, compared: Tensor) -> Tensor:
        """`h(f) / |h(f)|`: `[B, C, H, W]` to `[B, C', H, W]`."""
        return _unit(self.h(compared)) if self.reuse_embeddings else compared

    def relate(self, current: Tensor, older: Tensor) -> Relation:
        """Query and key of Eq. 2, of length 1 / temperature and 1."""
        if not self.reuse_embeddings:
            current, older = (_unit(self.h(x)) for x in (current, older))
        log = self.log_temperature
        return current * (math.exp(-log) if isinstance(log, float) else torch.exp(-log)), older


def _unit(embedded: Tensor) -> Tensor:
    return F.normalize(embedded, dim=1, eps=1e-6)
