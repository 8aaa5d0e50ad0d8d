"""Ablations that the paper does not have: what it leaves open, switches beyond it; scored on `val`."""

from __future__ import annotations

from experiments.grids.grid import ALONE, Grid, Row, pair_row
from mila.switches import Architecture, MimicryOptions
from mila.tasks import CITYSCAPES


def _mimicry(label: str, mimicry: MimicryOptions | None) -> Row:
    return pair_row(label, None, mimicry=mimicry, **ALONE)


MIMICRY = Grid(
    name="ablation_mimicry",
    table=3,
    title="How the fast network mimics the slow one (Eq. 3), ILA on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        _mimicry("None", None),
        _mimicry("L1", MimicryOptions(beta=0.0)),
        _mimicry("L1, both pulled", MimicryOptions(beta=0.0, detach_slow=False)),
        _mimicry("L1 of standardised features", MimicryOptions(beta=0.0, l1_on="standardised")),
        _mimicry("L1, from the head start on", MimicryOptions(beta=0.0, head_start=True)),
        pair_row("L1, adversarial, as printed", None, **ALONE),
        _mimicry("L1, adversarial, both pulled", MimicryOptions(detach_slow=False)),
        _mimicry("+ standardised features", MimicryOptions(adversarial_on="standardised")),
        _mimicry("+ features of unit length", MimicryOptions(adversarial_on="unit")),
        _mimicry("+ ramped reversal", MimicryOptions(ramp=True)),
        _mimicry("+ discriminator at a tenth of the rate", MimicryOptions(discriminator_rate=0.1)),
        _mimicry("+ begun after half of the steps", MimicryOptions(begin=0.5)),
        _mimicry("+ from the head start on", MimicryOptions(head_start=True)),
        _mimicry(
            "+ standardised, ramped, a tenth of the rate",
            MimicryOptions(adversarial_on="standardised", ramp=True, discriminator_rate=0.1),
        ),
    ),
    visuals=("motion",),
    beyond=True,
    split="val",
)


def _matching(label: str, **switches: object) -> Row:
    """Without mimicry, which would change what is matched."""
    return pair_row(label, None, mimicry=None, architecture=Architecture(**switches), **ALONE)  # type: ignore[arg-type]


MATCHING = Grid(
    name="ablation_matching",
    table=4,
    title="What makes ILA match: inner products and cosines (Eq. 2) on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        pair_row("Inner products, Eq. 2", None, mimicry=None, **ALONE),
        _matching("Divided by the root of C'", scaled=True),
        _matching("Cosines, temperature 0.1", cosine="fixed"),
        _matching("Cosines, temperature 0.3", cosine="fixed", temperature=0.3),
        _matching("Cosines, learned temperature", cosine="learned"),
    ),
    visuals=("motion",),
    beyond=True,
    split="val",
)
