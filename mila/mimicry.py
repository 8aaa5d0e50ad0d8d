"""Mimicry (Section 3.3, Eq. 3): the fast network learns to give the features that the slow one gives.

L = alpha L1 + adversarial, where Eq. 3's `-beta min_D` is a discriminator behind a gradient-reversal layer: the
discriminator learns to tell slow from fast features, the fast network to confuse it. (Eq. 3 prints the inner minimum
with the usual sign reversed; note 5. Here the discriminator minimises its cross-entropy, as in Ganin et al.)
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * grads[0], None


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """Identity forward; backward the gradient times -`factor` (Ganin et al. 2016)."""
    same: Tensor = _Reverse.apply(x, factor)
    return same


class Discriminator(nn.Module):
    """Slow or fast? Three 3x3 convolutions with ReLU between them, global average pool, sigmoid (Figure 6).

    Args:
        channels: C of the features.
        widths: features after the first two convolutions, which the paper does not name; by default C/2 and C/4.
    """

    def __init__(self, channels: int, widths: tuple[int, int] | None = None) -> None:
        super().__init__()
        first, second = widths or (max(1, channels // 2), max(1, channels // 4))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, 1, 3, padding=1),
        )

    def logits(self, features: Tensor) -> Tensor:
        """What goes into the sigmoid: `[B, C, h, w]` to `[B]`."""
        logits: Tensor = self.layers(features).mean((1, 2, 3))
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """Probability `[B]` that the features `[B, C, h, w]` are the slow network's."""
        return torch.sigmoid(self.logits(features))


class Mimicry(nn.Module):
    """The two losses of Eq. 3 on the last residual features of both networks for the same images.

    Used in training only; it costs nothing at inference.

    Args:
        channels: C of the features.
        alpha: weight of the L1 term; 1 in the paper. 0 leaves the term out.
        beta: factor of the reversed gradient; 1 in the paper. 0 leaves the discriminator out.
        detach_slow: treat the slow features as given, so that only the fast network moves towards the slow one
            ("the Fast network is trained to mimic"); with False both are pulled.
        widths: see `Discriminator`.
    """

    def __init__(
        self,
        channels: int,
        alpha: float = 1.0,
        beta: float = 1.0,
        detach_slow: bool = True,
        widths: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.alpha, self.beta, self.detach_slow = alpha, beta, detach_slow
        self.discriminator = Discriminator(channels, widths) if beta else None

    def forward(self, slow: Tensor, fast: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name (scalars) for features `[B, C, h, w]` of the same images.

        `mimicry_l1`: alpha x mean absolute difference. `mimicry_adversarial`: the discriminator's cross-entropy; its
        gradient reaches the discriminator as it is and the fast features times -beta.
        """
        if self.detach_slow:
            slow = slow.detach()
        losses = {}
        if self.alpha:
            losses["mimicry_l1"] = self.alpha * (slow - fast).abs().mean()
        if self.discriminator is not None:
            real = self.discriminator.logits(slow if self.detach_slow else reverse_gradient(slow, self.beta))
            fake = self.discriminator.logits(reverse_gradient(fast, self.beta))
            # -log D(slow) - log(1 - D(fast)), as softplus of the logits
            losses["mimicry_adversarial"] = (F.softplus(-real) + F.softplus(fake)).mean()
        return losses
