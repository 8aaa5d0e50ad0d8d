"""Mimicry (Section 3.3, Eq. 3): the fast network learns to give the features that the slow one gives.

L = alpha L1 + adversarial, where Eq. 3's `-beta min_D` is a discriminator behind a gradient-reversal layer: the
discriminator learns to tell slow from fast features, the fast network to confuse it. (Eq. 3 prints the inner minimum
with the usual sign reversed; note 5. Here the discriminator minimises its cross-entropy, as in Ganin et al.)
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mila.switches import Features, MimicryOptions


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


def ramp(progress: float) -> float:
    """Factor of the reversed gradient at a share of the steps: from 0 at 0 to almost 1 at 1 (Ganin et al. 2016)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def compared(features: Tensor, kind: Features) -> Tensor:
    """What of features `[B, C, h, w]` is compared, of the same shape; see `mila.switches.Features`."""
    if kind == "standardised":
        return F.instance_norm(features)
    return F.normalize(features, dim=1, eps=1e-6) if kind == "unit" else features


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
        options: see `MimicryOptions`.

    Attributes:
        progress: share of the steps that are made, in [0, 1]; whoever trains sets it.
        in_head_start: whether the encoders are frozen; likewise.
        accuracy: share of the latest maps, slow and fast, that the discriminator told rightly (scalar); None before any
            or without a discriminator.
    """

    def __init__(self, channels: int, options: MimicryOptions = MimicryOptions()) -> None:
        super().__init__()
        self.options = options
        self.discriminator = Discriminator(channels, options.widths) if options.beta else None
        self.progress, self.in_head_start = 0.0, False
        self.accuracy: Tensor | None = None

    @property
    def takes_part(self) -> bool:
        """Whether the losses count in this part of the training, from some step on."""
        head_start = self.options.head_start
        return not self.in_head_start or head_start == "all" or (head_start == "l1" and self.options.alpha > 0)

    @property
    def begins(self) -> bool:
        """Whether the losses count by now."""
        return self.takes_part and self.progress >= self.options.begin

    @property
    def reversal(self) -> float:
        """What the reversed gradient is multiplied with by now."""
        options = self.options
        return options.beta * (ramp((self.progress - options.begin) / (1 - options.begin)) if options.ramp else 1.0)

    def forward(self, slow: Tensor, fast: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name (scalars) for features `[B, C, h, w]` of the same images.

        `mimicry_l1`: alpha x mean absolute difference. `mimicry_adversarial`: the discriminator's cross-entropy; its
        gradient reaches the discriminator as it is and the fast features times -`reversal`.
        """
        options, self.accuracy = self.options, None
        detached = options.detach_slow and not self.in_head_start
        if detached:
            slow = slow.detach()
        losses = {}
        if options.alpha:
            ours, theirs = (compared(x, options.l1_on) for x in (fast, slow))
            losses["mimicry_l1"] = options.alpha * (theirs - ours).abs().mean()
        if self.discriminator is not None and (not self.in_head_start or options.head_start == "all"):
            ours, theirs = (compared(x, options.adversarial_on) for x in (fast, slow))
            theirs = theirs if detached else reverse_gradient(theirs, self.reversal)
            real = self.discriminator.logits(theirs)
            fake = self.discriminator.logits(reverse_gradient(ours, self.reversal))
            self.accuracy = torch.cat([real > 0, fake < 0]).float().mean()
            # -log D(slow) - log(1 - D(fast)), as softplus of the logits
            losses["mimicry_adversarial"] = (F.softplus(-real) + F.softplus(fake)).mean()
        return losses
