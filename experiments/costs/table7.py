"""Table 7 counted anew: the three propagations alone, at both input sizes; and every other way to count that was tried.

The column's own way, `TABLE7`, was chosen as one that holds in the most of its six cells; no cell has a way of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Literal, get_args

import torch

from baselines.flow_warping import FlowWarping
from baselines.svc import KernelPrediction
from mila.attention import InterFrameLocalAttention
from mila.cost.conventions import COMPLETE, PUBLISHED
from mila.cost.propagation import PropagationCost, propagation_cost
from mila.propagation import Propagation

Module = Literal["optical flow", "svc", "ila"]
"""As `published.csv` calls them."""

MODULES: tuple[Module, ...] = get_args(Module)
SIZES = ((256, 512), (1024, 2048))

_CHANNELS = 512
_MAKE: Mapping[Module, Callable[[bool], Propagation]] = {
    "optical flow": lambda half: FlowWarping(half_resolution=half),
    "svc": lambda _: KernelPrediction(_CHANNELS),
    "ila": lambda _: InterFrameLocalAttention(_CHANNELS),
}


@dataclass(frozen=True)
class Way:
    """A way to count the column of GFLOPs.

    Attributes:
        counter: thop, or the convention `complete`.
        half: FlowNet-S looks at frames of half the size.
        maps: features of H/8 x W/8, or of the encoder's ceil-mode pool, H/8 + 1 x W/8 + 1.
        remembered: ILA's `h` is charged on the current frame alone, or on both.
        share: of the frames, that is charged: all, or the 4 non-keyframes of 5.
    """

    counter: Literal["thop", "complete"]
    half: bool
    maps: Literal["floor", "ceil"]
    remembered: bool
    share: float

    def gflops(self, module: Module, size: tuple[int, int]) -> float:
        """10^9 multiply-accumulates of a module at an input size, (height, width)."""
        way = replace(self, share=1.0)
        if module != "optical flow":
            way = replace(way, half=True)
        if module != "ila":
            way = replace(way, remembered=True)
        return self.share * cost_alone(module, size, way).macs / 1e9

    def describe(self, module: Module) -> str:
        """The way in words, as far as it matters to a module."""
        words = [self.counter, "maps of H/8 x W/8" if self.maps == "floor" else "ceil-mode maps"]
        if module == "optical flow":
            words.append("half-size frames" if self.half else "full-size frames")
        if module == "ila":
            words.append("h on the current frame" if self.remembered else "h on both frames")
        return ", ".join([*words, "every frame" if self.share == 1 else "4 frames of 5"])


TABLE7 = Way("thop", half=True, maps="floor", remembered=True, share=1.0)
WHOLE = Way("complete", half=True, maps="ceil", remembered=True, share=1.0)
"""Everything that the suite's own modules do."""


@lru_cache(maxsize=256)
def cost_alone(module: Module, size: tuple[int, int], way: Way) -> PropagationCost:
    """A module alone at an input size; `way.share` is not looked at."""
    height, width = (n // 8 + (way.maps == "ceil") for n in size)
    with torch.device("meta"):
        propagation = _MAKE[module](way.half)
    convention = PUBLISHED if way.counter == "thop" else COMPLETE
    return propagation_cost(propagation, _CHANNELS, size, (height, width), convention, remembered=way.remembered)


def ways() -> list[Way]:
    """Every way that was tried."""
    counters: tuple[Literal["thop", "complete"], ...] = ("thop", "complete")
    maps: tuple[Literal["floor", "ceil"], ...] = ("floor", "ceil")
    return [Way(*way) for way in product(counters, (True, False), maps, (True, False), (1.0, 0.8))]
