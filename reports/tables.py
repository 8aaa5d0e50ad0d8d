"""The table of a report: rows with published and measured cells, kept apart, and their marks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from experiments.collect import RowResult, Value
from experiments.plan import Plan
from mila.tasks import NYUV2, Suite
from reports.published_numbers import PublishedCell, read_published

Better = Literal["higher", "lower"]
Mark = Literal["", "best", "second"]

TASK_TITLES = {"segmentation": "Segmentation", "depth": "Depth", "normals": "Normals, angle error"}
DATASET_TITLES = {
    "nyuv2": "NYUd v2",
    "nyuv2-40": "NYUd v2",
    "cityscapes": "Cityscapes",
    "cityscapes-metres": "Cityscapes",
    "cityscapes7": "Cityscapes",
    "cityscapes19": "Cityscapes",
}
"""By name of the suite, and of the real data set."""


COST = "gflops"
"""Key of the cost column; its unit is 10^9 multiply-accumulates a frame, which the paper calls GFLOPs."""

_DECIMALS = 1  # where the paper has no such column

_BARS: dict[str, tuple[str, float]] = {"miou": ("≥", 2.5), "depth_abs": ("≤", 0.7), "normal_mean": ("≤", 0.8)}
"""What a trained model must reach, as a ratio to the constant predictor."""


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        key: the metric's name.
        task: the task's title.
        label, unit, better: what the header says.
        scale: printed value = `scale` x recorded value.
        decimals: of measured numbers: as the paper prints the column, or more where these are smaller.
        headline: whether the paper's tables have such a column.
        published: whether this one has it.
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
    """

    value: float | None = None
    text: str = "–"
    std: float | None = None
    spread: str = ""
    n: int = 0
    mark: Mark = ""


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
    """

    label: str
    constant: bool
    in_paper: bool
    published: Mapping[str, Cell]
    measured: Mapping[str, Cell]
    missing: str
    checks: tuple[Check, ...]
    seeds: int


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
    """

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    bars: tuple[Bar, ...]
    spread: bool

    @property
    def headline(self) -> tuple[Column, ...]:
        """The columns that the paper's tables have: what is shown as measured."""
        return tuple(c for c in self.columns if c.headline)

    @property
    def published(self) -> tuple[Column, ...]:
        """Those of them that this table has."""
        return tuple(c for c in self.columns if c.published)

    @property
    def published_cost(self) -> bool:
        """Whether this table has a column of costs."""
        return any(COST in line.published for line in self.lines)

    @property
    def definitions(self) -> tuple[Column, ...]:
        """All columns of the tasks that have metrics beyond the paper's columns."""
        tasks = {c.task for c in self.columns if not c.headline}
        return tuple(c for c in self.columns if c.task in tasks)


def make_table(plan: Plan, results: list[RowResult]) -> ResultTable:
    """Put the collected results beside the published numbers.

    Raises:
        KeyError: a row names a published one that the table does not have.
    """
    suite = plan.suite
    printed = _comparable(plan, read_published(plan.grid.table, "nyuv2" if plan.grid.suite == NYUV2 else "cityscapes"))
    columns = _columns(suite, printed, results)
    bars = tuple(Bar(c, *_BARS[c.key]) for c in columns if c.key in _BARS)
    constant = next((r for r in results if r.plan.is_constant), None)
    published_marks = {key: _rank(key, columns, printed) for key in (*(c.key for c in columns), COST)}
    measured_marks = {c.key: _leader(c, results) for c in columns}
    lines = []
    for result in results:
        name = result.plan.published
        cells = {} if name is None else printed[name]
        lines.append(
            Line(
                label=result.plan.label,
                constant=result is constant,
                in_paper=name is not None,
                published={
                    key: Cell(cell.value, cell.text, mark=published_marks[key].get(name or "", ""))
                    for key, cell in cells.items()
                },
                measured=_measured(result, columns, measured_marks),
                missing=result.missing,
                checks=() if result is constant else tuple(_check(bar, result, constant) for bar in bars),
                seeds=len(result.evaluations),
            )
        )
    spread = any(cell.std is not None for line in lines for cell in line.measured.values())
    return ResultTable(columns, tuple(lines), bars, spread)


def _comparable(plan: Plan, printed: dict[str, dict[str, PublishedCell]]) -> dict[str, dict[str, PublishedCell]]:
    """Without the numbers of tasks, or in units, that the run at hand does not have."""

    def units(suite: Suite) -> set[tuple[str, str]]:
        return {(m.name, m.unit) for task in suite.tasks for m in task.metrics}

    kept = {name for name, _ in units(plan.suite) & units(plan.grid.suite)} | {COST}
    return {row: {key: cell for key, cell in cells.items() if key in kept} for row, cells in printed.items()}


def _columns(
    suite: Suite, printed: dict[str, dict[str, PublishedCell]], results: list[RowResult]
) -> tuple[Column, ...]:
    columns = []
    for task in suite.tasks:
        for m in task.metrics:
            cells = [row[m.name] for row in printed.values() if m.name in row]
            measured = [m.scale * r.values[m.name].mean for r in results if m.name in r.values]
            as_printed = max((cell.decimals for cell in cells), default=_DECIMALS)
            decimals = max(as_printed, _needed_decimals(measured))
            title = TASK_TITLES[task.name]
            columns.append(Column(m.name, title, m.label, m.unit, m.better, m.scale, decimals, m.headline, bool(cells)))
    return tuple(columns)


def _needed_decimals(values: list[float]) -> int:
    """Digits behind the point that show the largest value with three digits; at most four."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 0 if largest == 0 else min(4, max(0, 2 - math.floor(math.log10(largest))))


def _measured(result: RowResult, columns: tuple[Column, ...], leaders: dict[str, str]) -> dict[str, Cell]:
    cells = {}
    for column in columns:
        value = result.values.get(column.key)
        if value is None or math.isnan(value.mean):
            continue
        std = None if value.std is None else column.scale * value.std
        mean = column.scale * value.mean
        cells[column.key] = Cell(
            value=mean,
            text=f"{mean:.{column.decimals}f}",
            std=std,
            spread="" if std is None else f"±{std:.{column.decimals}f}",
            n=value.seeds,
            mark="best" if leaders[column.key] == result.plan.label else "",
        )
    if result.gflops is not None:
        cells[COST] = Cell(result.gflops, f"{result.gflops:.1f}")
    return cells


def _rank(key: str, columns: tuple[Column, ...], printed: dict[str, dict[str, PublishedCell]]) -> dict[str, Mark]:
    """Best and second best published numbers of a column, equal ones together."""
    higher = any(c.key == key and c.better == "higher" for c in columns)
    values = {name: row[key].value for name, row in printed.items() if key in row}
    order = sorted(set(values.values()), reverse=higher)
    names: tuple[Mark, ...] = ("best", "second")
    marks = dict(zip(order, names, strict=False))
    return {name: marks[value] for name, value in values.items() if value in marks}


def _leader(column: Column, results: list[RowResult]) -> str:
    """The row that is ahead of every other by more than both spreads together; empty where none is.

    Rows with one seed have no spread, so nothing can be said about a column that holds one.
    """
    rivals: list[tuple[str, Value]] = [
        (r.plan.label, r.values[column.key])
        for r in results
        if not r.plan.is_constant and column.key in r.values and not math.isnan(r.values[column.key].mean)
    ]
    if len(rivals) < 2 or any(value.std is None for _, value in rivals):
        return ""
    sign = 1 if column.better == "higher" else -1
    rivals.sort(key=lambda rival: -sign * rival[1].mean)
    label, best = rivals[0]
    ahead = all(sign * (best.mean - v.mean) > (best.std or 0.0) + (v.std or 0.0) for _, v in rivals[1:])
    return label if ahead else ""


def _check(bar: Bar, result: RowResult, constant: RowResult | None) -> Check:
    ours = result.values.get(bar.column.key)
    theirs = None if constant is None else constant.values.get(bar.column.key)
    if ours is None or theirs is None or not theirs.mean or math.isnan(ours.mean / theirs.mean):
        return Check()
    ratio = ours.mean / theirs.mean
    return Check(f"{ratio:.2f}", ratio >= bar.limit if bar.sign == "≥" else ratio <= bar.limit)
