"""What is counted and shown of costs, as plain values: cells of the audit, and costs, memory and parts of rows.

Nothing here counts, and nothing needs PyTorch: `audit`, `rows` and `table7` count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from experiments.grids.ablations import TABLE3, TABLE4, TABLE10
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.grids.propagation import TABLE5, TABLE6, TABLE11

if TYPE_CHECKING:
    from mila.cost.conventions import Cost
    from mila.cost.memory import MemoryUse

Column = Literal["GFLOPs", "convolutions", "parameters (M)"]


class PrintedNumber(Protocol):
    """A number of the paper."""

    @property
    def text(self) -> str:
        """As printed, with its decimals."""

    @property
    def value(self) -> float:
        """The number, in the printed unit."""

    @property
    def decimals(self) -> int:
        """Digits behind the point."""


PrintedTable = Mapping[str, Mapping[str, PrintedNumber]]
"""A table of the paper by row and metric, both as `published.csv` calls them."""

_MODELS = (
    "thop's multiply-accumulates / 10^9, (keyframe + 4 non-keyframes) / 5, decoders left out, ILA's h on both maps of "
    "each propagation, ceil-mode feature maps"
)
CONVENTIONS: dict[tuple[int, Column], str] = {
    (1, "GFLOPs"): _MODELS,
    (2, "GFLOPs"): _MODELS,
    (7, "GFLOPs"): (
        "thop's multiply-accumulates / 10^9 of the module alone, once: 512 channels, maps of H/8 x W/8 (as Table 4 has "
        "them: 64 columns at 512 pixels), FlowNet-S on half-size frames, ILA's h on the current frame"
    ),
    (7, "convolutions"): "convolutions of the module alone, transposed ones included",
    (7, "parameters (M)"): "parameters of the module alone / 10^6",
}
"""How each column is counted."""


@dataclass(frozen=True)
class Reading:
    """Another way to count a cell, and what it gives."""

    what: str
    value: float


@dataclass(frozen=True)
class Cell:
    """A published cost and what is measured for it.

    Attributes:
        table: its number.
        row: model or module, as `published.csv` has it.
        column: what is printed.
        size: of the input, "height x width".
        published: as printed.
        measured: under the column's convention.
        complete: under `mila.cost.conventions.COMPLETE`, in the same unit.
        readings: how else it was counted, where it does not hold.
        note: why it does not hold, or empty.
    """

    table: int
    row: str
    column: Column
    size: str
    published: PrintedNumber
    measured: float
    complete: float
    readings: tuple[Reading, ...] = ()
    note: str = ""

    @property
    def convention(self) -> str:
        """How the whole column is counted."""
        return CONVENTIONS[self.table, self.column]

    @property
    def difference(self) -> float:
        """Measured less published."""
        return self.measured - self.published.value

    @property
    def holds(self) -> bool:
        """Whether the two agree within rounding."""
        return within_rounding(self.measured, self.published)


def within_rounding(measured: float, published: PrintedNumber) -> bool:
    """Whether a number lies within half a unit of the last digit that is printed."""
    return abs(measured - published.value) <= 0.5 * 10.0**-published.decimals + 1e-9


COSTED: tuple[Grid, ...] = (TABLE3, TABLE4, TABLE5, TABLE11, TABLE6[0], TABLE10)
"""Tables without costs: losses, windows, keyframe intervals, fast and slow networks, kinds of propagation."""

REMEMBERED: tuple[Grid, ...] = (TABLE1, TABLE2, TABLE4)
"""Tables whose models' memory is shown."""

SPLIT: tuple[Grid, ...] = (TABLE1, TABLE2)
"""Tables whose models' costs are split by part."""


@dataclass(frozen=True)
class RowCost:
    """What a row's model costs at the paper's size.

    Attributes:
        grid, label: which row of which grid.
        published_row: its name in `published.csv`, or None.
        interval: keyframe interval K.
        published, complete: under the convention of that name.
    """

    grid: str
    label: str
    published_row: str | None
    interval: int
    published: Cost
    complete: Cost


@dataclass(frozen=True)
class RowMemory:
    """What a row's model keeps in memory at the paper's size, see `RowCost` and `mila.cost.memory`."""

    grid: str
    label: str
    memory: MemoryUse


@dataclass(frozen=True)
class RowSplit:
    """Where a row's model spends its operations at the paper's size, see `RowCost`; `cost` is the complete one."""

    grid: str
    label: str
    interval: int
    cost: Cost
