"""Named switches of MILA: what the paper leaves open, and what goes beyond it. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Features = Literal["plain", "standardised", "unit"]
"""What of two maps is compared: the features as they are; each channel of each clip less its mean over the positions
and divided by its standard deviation, so that no network is told by how large its channels are; or each position's
vector divided by its length, so that its direction alone counts."""

HeadStart = Literal["none", "l1", "all"]
"""Which terms of Eq. 3 count while the encoders are frozen."""


@dataclass(frozen=True)
class Architecture:
    """What the paper leaves open between the networks; the defaults are architecture A (note 1.5).

    Attributes:
        embedding: channels of `h`.
        scaled: divide Eq. 2's inner products by sqrt(embedding).
        cosine: beyond the paper: Eq. 2 on vectors of length 1, `h(f) / |h(f)|`, their inner products divided by a
            temperature that is `"fixed"` or `"learned"`; `"none"` for the inner products of the paper.
        temperature: of `cosine`; where it is learned, its value at the start.
        propagate: what is carried on: `"encoded"`, a frame's own features after SE, as Section 3.2 says; `"fused"`,
            its features after fusion, so that information can travel further than one step.
        fusion_layers: convolutions of each fusion; 1 is what the cost columns say.

    Raises:
        ValueError: a name that there is not, a temperature that is not positive, or `scaled` and `cosine` at once.
    """

    embedding: int = 36
    scaled: bool = False
    cosine: Literal["none", "fixed", "learned"] = "none"
    temperature: float = 0.1
    propagate: Literal["encoded", "fused"] = "encoded"
    fusion_layers: int = 1

    def __post_init__(self) -> None:
        if self.propagate not in ("encoded", "fused"):
            raise ValueError(f"propagate is 'encoded' or 'fused', not {self.propagate!r}")
        if self.cosine not in ("none", "fixed", "learned"):
            raise ValueError(f"cosine is 'none', 'fixed' or 'learned', not {self.cosine!r}")
        if not self.temperature > 0:
            raise ValueError(f"a temperature is more than 0, not {self.temperature}")
        if self.scaled and self.cosine != "none":
            raise ValueError("inner products are divided by sqrt(embedding) or by a temperature, not by both")


@dataclass(frozen=True)
class MimicryOptions:
    """Eq. 3 and what it leaves open; the defaults are what the paper prints, and `head_start`, which it has not.

    Attributes:
        alpha: weight of the L1 term; 1 in the paper. 0 leaves the term out.
        beta: factor of the reversed gradient; 1 in the paper. 0 leaves the discriminator out.
        detach_slow: treat the slow features as given, so that only the fast network moves towards the slow one
            ("the Fast network is trained to mimic"); with False both are pulled.
        l1_on: what the L1 term compares.
        adversarial_on: what the discriminator sees.
        ramp: the reversed gradient grows from 0 to beta, by 2 / (1 + exp(-10 p)) - 1 at the share p of the part's
            steps with mimicry (Ganin et al. 2016; note 4.9): the discriminator learns before anybody listens to it.
            With each part of a schedule that has the term it begins anew.
        discriminator_rate: factor on the learning rate of the discriminator. (Adam takes no notice of a factor on its
            loss.)
        begin: share of the steps of a schedule's part without either term.
        head_start: which terms count while the encoders are frozen, too (`mila.schedule.Part.encoders`): `"none"`,
            `"l1"` or `"all"`. There the slow network's projection alone can move: it learns to give what the fast
            network gives, whatever `detach_slow` says of later. (The decoders begin as those that read the fast
            network.) The default was chosen on the validation split: with L1 the weights of Eq. 2 follow the motion,
            at no cost; with both terms keyframes lose 1.5 to 2 points of mIoU.
        widths: features of the discriminator after its first two convolutions, which the paper does not name; by
            default C/2 and C/4.

    Raises:
        ValueError: a negative factor, a share that is not in [0, 1), or a name that there is not.
    """

    alpha: float = 1.0
    beta: float = 1.0
    detach_slow: bool = True
    l1_on: Features = "plain"
    adversarial_on: Features = "plain"
    ramp: bool = False
    discriminator_rate: float = 1.0
    begin: float = 0.0
    head_start: HeadStart = "l1"
    widths: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "discriminator_rate"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is 0 or more, not {getattr(self, name)}")
        if not 0 <= self.begin < 1:
            raise ValueError(f"begin is a share from 0 up and less than 1, not {self.begin}")
        for name, known in (("l1_on", Features), ("adversarial_on", Features), ("head_start", HeadStart)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"{name} is one of {', '.join(get_args(known))}, not {getattr(self, name)!r}")

    @property
    def is_on(self) -> bool:
        """Whether any term is there."""
        return bool(self.alpha or self.beta)
