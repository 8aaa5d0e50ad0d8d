"""Ablations that the paper does not have: what it leaves open, switches beyond it; scored on `val`."""

from __future__ import annotations

from dataclasses import replace

from experiments.grids.grid import ALONE, Grid, Row, pair_row
from mila.switches import Architecture, MimicryOptions
from mila.tasks import CITYSCAPES


def _mimicry(label: str, mimicry: MimicryOptions | None) -> Row:
    return pair_row(label, None, mimicry=mimicry, **ALONE)


_LATE = MimicryOptions(head_start="none")
_L1 = replace(_LATE, beta=0.0)
_TAMED = replace(_LATE, adversarial_on="standardised", ramp=True, discriminator_rate=0.1)

MIMICRY = Grid(
    name="ablation_mimicry",
    table=3,
    title="How the fast network mimics the slow one (Eq. 3), ILA on Cityscapes",
    suite=CITYSCAPES,
    rows=(
        _mimicry("None", None),
        _mimicry("L1", _L1),
        _mimicry("L1, both pulled", replace(_L1, detach_slow=False)),
        _mimicry("L1 of standardised features", replace(_L1, l1_on="standardised")),
        _mimicry("L1, from the head start on", replace(_L1, head_start="l1")),
        _mimicry("L1, adversarial", _LATE),
        _mimicry("L1, adversarial, both pulled", replace(_LATE, detach_slow=False)),
        _mimicry("+ standardised features", replace(_LATE, adversarial_on="standardised")),
        _mimicry("+ features of unit length", replace(_LATE, adversarial_on="unit")),
        _mimicry("+ ramped reversal", replace(_LATE, ramp=True)),
        _mimicry("+ discriminator at a tenth of the rate", replace(_LATE, discriminator_rate=0.1)),
        _mimicry("+ begun after half of the steps", replace(_LATE, begin=0.5)),
        _mimicry("+ standardised, ramped, a tenth of the rate", _TAMED),
        _mimicry("+ both from the head start on", replace(_LATE, head_start="all")),
        _mimicry("+ so tamed, both from the head start on", replace(_TAMED, head_start="all")),
        pair_row("+ L1 from the head start on (default)", None, **ALONE),
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
