"""The table of a report: rows with published, measured and difference cells, kept apart, and their marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from reports.differences import Family, test_in_words
from reports.statistics import Better, Mark

TellsApart = Literal["methods", "networks", ""]

DELTA = "delta_mtl"
"""Key of the column of the average over tasks against the single-task row, see `reports.tables.delta`."""
COST = "gflops"
"""Key of the cost column; its unit is 10^9 multiply-accumulates a frame, which the paper calls GFLOPs."""


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        key: the metric's name.
        task: the task's title.
        label, unit, better: what the header says.
        scale: printed value = `scale` x recorded value.
        decimals: of measured numbers: as the paper prints the column, or more where these, or their spreads, are small.
        headline: whether the paper's tables have such a column.
        published: whether this one has it.
        main: whether it is what the task is judged by, see `mila.tasks.Task.main_metric`.
    """

    key: str
    task: str
    label: str
    unit: str
    better: Better
    scale: float
    decimals: int
    headline: bool
    published: bool
    main: bool = False

    @property
    def short_task(self) -> str:
        """The task in one word."""
        return self.task.split(",")[0]

    @property
    def arrow(self) -> str:
        """The direction of better."""
        return "↑" if self.better == "higher" else "↓"


@dataclass(frozen=True)
class Cell:
    """One number in the printed unit.

    Attributes:
        value: None where there is none.
        text: rounded; a dash where there is none.
        std: sample standard deviation over seeds; None with one seed.
        spread: it, rounded; empty with one seed.
        n: seeds; 0 for published numbers.
        mark: best or second best of the column.
        low, high: 95 % interval of the mean, Student's t over seeds; None with one seed.
        interval: it, rounded; empty with one seed.
        href: the page of the stage that it came from, or the place of this page that lists several.
    """

    value: float | None = None
    text: str = "–"
    std: float | None = None
    spread: str = ""
    n: int = 0
    mark: Mark = ""
    low: float | None = None
    high: float | None = None
    interval: str = ""
    href: str = ""


@dataclass(frozen=True)
class Check:
    """A row against the constant predictor on one metric.

    Attributes:
        text: the ratio of the means, rounded.
        passed: whether it reaches the bar; None where there is no ratio.
    """

    text: str = "–"
    passed: bool | None = None


@dataclass(frozen=True)
class Line:
    """One row of the table; the cells by the column's key, `COST` among them.

    Attributes:
        missing: why measured numbers are missing, in words.
        constant: whether it is the constant predictor.
        in_paper: whether the paper's table has the row.
        checks: against the constant predictor, in the order of `ResultTable.bars`; empty for itself.
        seeds: how many seeds the measured cells hold.
        anchor: of the row's list of stages in the page.
        difference: measured minus published, where both are of the same data or of no data (cost).
    """

    label: str
    constant: bool
    in_paper: bool
    published: Mapping[str, Cell]
    measured: Mapping[str, Cell]
    missing: str
    checks: tuple[Check, ...]
    seeds: int
    anchor: str
    difference: Mapping[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """A requirement against the constant predictor: `sign` is ≥ or ≤, `limit` a ratio of means."""

    column: Column
    sign: str
    limit: float

    @property
    def name(self) -> str:
        """The metric, with its task where that is needed to understand it."""
        label = self.column.label
        return label if self.column.key == "miou" else f"{self.column.short_task} {label.lower()}"


@dataclass(frozen=True)
class ResultTable:
    """A published table and what was measured for it.

    Attributes:
        columns: all metrics of the suite, by task.
        lines: in the paper's order, the constant predictor last.
        bars: what must beat the constant predictor by how much.
        spread: whether any measured cell has a standard deviation.
        left_out: which published numbers are not shown, and why; empty where all are.
        families: by metric, all rows with a number, in SI units: what tells them apart.
        without_delta: why there is no average over tasks against the single-task row; empty where there is.
    """

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    bars: tuple[Bar, ...]
    spread: bool
    left_out: str = ""
    families: Mapping[str, Family] = field(default_factory=dict)
    without_delta: str = ""

    @property
    def tells_apart(self) -> TellsApart:
        """What the runs can tell apart: methods where two rows have several seeds, networks with one, or nothing."""
        pairs = [d for family in self.families.values() for d in family.pairs.values() if d.p is not None]
        return "" if not pairs else "methods" if any(d.n > 1 for d in pairs) else "networks"

    @property
    def test(self) -> str:
        """How rows are told apart, in words."""
        return test_in_words(self.families.values())

    @property
    def headline(self) -> tuple[Column, ...]:
        """The columns that the paper's tables have: what is shown as measured."""
        return tuple(c for c in self.columns if c.headline)

    @property
    def main_columns(self) -> tuple[Column, ...]:
        """One of them a task: what plots show."""
        return tuple(c for c in self.columns if c.main)

    @property
    def delta_columns(self) -> tuple[Column, ...]:
        """That of the average over tasks, where there is one."""
        return tuple(c for c in self.columns if c.key == DELTA)

    @property
    def published(self) -> tuple[Column, ...]:
        """The columns that this table of the paper has."""
        return tuple(c for c in self.columns if c.published)

    @property
    def published_cost(self) -> bool:
        """Whether this table has a column of costs."""
        return any(COST in line.published for line in self.lines)

    @property
    def differences(self) -> tuple[Column, ...]:
        """Those of which measured and published numbers are of the same data."""
        return tuple(c for c in self.columns if any(c.key in line.difference for line in self.lines))

    @property
    def intervals(self) -> bool:
        """Whether any measured cell has a 95 % interval."""
        return any(cell.interval for line in self.lines for cell in line.measured.values())

    @property
    def definitions(self) -> tuple[Column, ...]:
        """All columns of the tasks that have metrics beyond the paper's columns."""
        tasks = {c.task for c in self.columns if not c.headline}
        return tuple(c for c in self.columns if c.task in tasks)


def stage_href(key: str) -> str:
    """The address of a stage's page, from a page beside the folder of them."""
    return f"stages/{key}.html"
