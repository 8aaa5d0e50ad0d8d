"""From collected results and the published numbers to a table: cells, their marks, links and differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from experiments.plan import Plan
from experiments.results import RowResult
from mila.tasks import Suite, TaskName
from reports.contrasts import Sample
from reports.differences import families, measured_marks, of_networks_alone
from reports.published.numbers import PublishedCell, dataset_of, read_published
from reports.statistics import Better, Mark, interval, published_marks, signed
from reports.tables.delta import (
    delta_column,
    headline_metrics,
    measured_deltas,
    published_deltas,
    single_task_row,
    why_not,
)
from reports.tables.table import COST, DELTA, Bar, Cell, Check, Column, Line, ResultTable, stage_href
from reports.titles import DATASET_TITLES, TASK_TITLES

_DECIMALS = 1  # where the paper has no such column

_BARS: dict[str, tuple[str, float]] = {"miou": ("≥", 2.5), "depth_abs": ("≤", 0.7), "normal_mean": ("≤", 0.8)}
"""What a trained model must reach, as a ratio to the constant predictor."""


def make_table(plan: Plan, results: Sequence[RowResult]) -> ResultTable:
    """Put the collected results beside the published numbers.

    Raises:
        KeyError: a row names a published one that the table does not have.
    """
    suite = plan.suite
    published = {} if plan.grid.beyond else read_published(plan.grid.table, dataset_of(plan.grid))
    printed = _comparable(plan, published)
    of_tasks = _columns(suite, printed, results)
    by_metric, deltas, columns = families(results), dict[str, float](), of_tasks
    single = single_task_row(plan)
    if single is not None:
        by_metric[DELTA] = measured_deltas(by_metric, single[0], headline_metrics(suite))
        values = {row: {key: cell.value for key, cell in cells.items()} for row, cells in printed.items()}
        deltas = published_deltas(values, single[1], headline_metrics(suite))
        columns = (*of_tasks, delta_column(published=bool(deltas)))
    bars = tuple(Bar(c, *_BARS[c.key]) for c in columns if c.key in _BARS)
    constant = next((r for r in results if r.plan.is_constant), None)
    marks = {c.key: _published_marks(c.key, c.better, printed) for c in columns}
    marks[COST] = _published_marks(COST, "lower", printed)
    marks[DELTA] = published_marks(deltas, "higher")
    networks = of_networks_alone(by_metric.values())
    measured_best = {
        c.key: measured_marks(by_metric[c.key], c.better, networks=networks) for c in columns if c.key in by_metric
    }
    lines = []
    for place, result in enumerate(results):
        name, anchor = result.plan.published, f"row-{place + 1}"
        cells = {
            key: Cell(cell.value, cell.text, mark=marks[key].get(name or "", ""))
            for key, cell in ({} if name is None else printed[name]).items()
        }
        if name in deltas:
            value = 100 * deltas[name]
            cells[DELTA] = Cell(value, signed(value, 1), mark=marks[DELTA].get(name, ""))
        measured = _measured(result, of_tasks, measured_best, anchor)
        sample = by_metric[DELTA].samples.get(result.plan.label) if DELTA in by_metric else None
        if sample is not None:
            mark = measured_best[DELTA].get(sample.row, "")
            measured[DELTA] = _delta(sample, columns[-1], mark, f"#{anchor}", len(result.evaluations))
        same = {COST} | (set() if plan.embedded else {c.key for c in columns})
        lines.append(
            Line(
                label=result.plan.label,
                constant=result is constant,
                in_paper=name is not None,
                published=cells,
                measured=measured,
                missing=result.missing,
                checks=() if result is constant else tuple(_check(bar, result, constant) for bar in bars),
                seeds=len(result.evaluations),
                anchor=anchor,
                difference={
                    key: _difference(measured[key], cells[key])
                    for key in cells
                    if key in same and measured.get(key, Cell()).value is not None
                },
            )
        )
    spread = any(cell.std is not None for line in lines for cell in line.measured.values())
    without = why_not(plan, measured=any(DELTA in line.measured for line in lines))
    return ResultTable(columns, tuple(lines), bars, spread, _left_out(plan), by_metric, without)


def _comparable(plan: Plan, printed: dict[str, dict[str, PublishedCell]]) -> dict[str, dict[str, PublishedCell]]:
    """Without the numbers of tasks, of other classes or in units that the run at hand does not have."""
    if plan.own_data:
        return {row: {} for row in printed}
    others = _of_other_classes(plan)

    def units(suite: Suite) -> set[tuple[str, str]]:
        return {(m.name, m.unit) for task in suite.tasks if task.name not in others for m in task.metrics}

    kept = {name for name, _ in units(plan.suite) & units(plan.grid.suite)} | {COST}
    return {row: {key: cell for key, cell in cells.items() if key in kept} for row, cells in printed.items()}


def _of_other_classes(plan: Plan) -> dict[TaskName, tuple[int, int]]:
    """Classes of the paper's table and of the run at hand, by task, where they are not the same.

    What stands in for the paper's tasks on an embedded world has classes of its own on purpose.
    """
    if plan.embedded and plan.suite == plan.grid.stand_in:
        return {}
    ours = {task.name: task.classes for task in plan.suite.tasks}
    theirs = {task.name: task.classes for task in plan.grid.suite.tasks}
    return {
        name: (len(theirs[name]), len(classes))
        for name, classes in ours.items()
        if theirs.get(name, classes) != classes
    }


def _left_out(plan: Plan) -> str:
    """Which published numbers are not shown, and why; empty where all are."""
    if plan.own_data:
        title = DATASET_TITLES[plan.grid.suite.name]
        return (
            ""
            if plan.grid.beyond
            else f"The paper’s numbers are of {title}, those here of other data; they are not comparable, and left out."
        )
    return " ".join(
        f"The paper’s numbers of {TASK_TITLES[name].lower()} are of {theirs} classes, those here of {ours}; "
        "they are not comparable, and left out."
        for name, (theirs, ours) in _of_other_classes(plan).items()
    )


def _columns(
    suite: Suite, printed: dict[str, dict[str, PublishedCell]], results: Sequence[RowResult]
) -> tuple[Column, ...]:
    columns = []
    for task in suite.tasks:
        for m in task.metrics:
            cells = [row[m.name] for row in printed.values() if m.name in row]
            measured = [r.values[m.name] for r in results if m.name in r.values]
            means = [m.scale * value.mean for value in measured]
            spreads = [m.scale * value.std for value in measured if value.std is not None]
            as_printed = max((cell.decimals for cell in cells), default=_DECIMALS)
            usual = max(as_printed, needed_decimals(means, 3))
            decimals = max(usual, min(usual + 1, needed_decimals(spreads, 1)))
            title = TASK_TITLES[task.name]
            in_print = (m.headline, bool(cells), m == task.main_metric)
            columns.append(Column(m.name, title, m.label, m.unit, m.better, m.scale, decimals, *in_print))
    return tuple(columns)


def needed_decimals(values: list[float], digits: int) -> int:
    """How many places behind the point show half of the values that are not 0 with `digits` digits; at most four."""
    sizes = sorted(abs(v) for v in values if math.isfinite(v) and v)
    if not sizes:
        return 0
    return min(4, max(0, digits - 1 - math.floor(math.log10(sizes[len(sizes) // 2]))))


def _measured(
    result: RowResult, columns: tuple[Column, ...], marks: Mapping[str, Mapping[str, Mark]], anchor: str
) -> dict[str, Cell]:
    cells = {}
    for column in columns:
        value = result.values.get(column.key)
        if value is None or math.isnan(value.mean):
            continue
        std = None if value.std is None else column.scale * value.std
        mark = marks.get(column.key, {}).get(result.plan.label, "")
        mean = column.scale * value.mean
        text = f"{mean:.{column.decimals}f}"
        cells[column.key] = _cell(mean, text, std, value.seeds, column.decimals, mark, _href(result, anchor))
    if result.gflops is not None and result.measure is not None:
        cells[COST] = Cell(result.gflops, f"{result.gflops:.1f}", href=stage_href(result.measure.key))
    return cells


def _cell(mean: float, text: str, std: float | None, n: int, decimals: int, mark: Mark, href: str) -> Cell:
    low, high = (None, None) if std is None else interval(mean, std, n)
    return Cell(
        value=mean,
        text=text,
        std=std,
        spread="" if std is None else f"±{std:.{decimals}f}",
        n=n,
        mark=mark,
        low=low,
        high=high,
        interval="" if low is None else f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-", "−"),
        href=href,
    )


def _delta(sample: Sample, column: Column, mark: Mark, href: str, seeds: int) -> Cell:
    numbers = [column.scale * number for number in sample.by_seed.values()]
    mean, std = statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None
    n = len(numbers)  # the single-task row may have fewer
    text = signed(mean, column.decimals) + f" (n = {n})" * (n != seeds)
    return _cell(mean, text, std, n, column.decimals, mark, href)


def _href(result: RowResult, anchor: str) -> str:
    keys = [record.key for seed in result.evaluations for record in seed]
    return stage_href(keys[0]) if len(keys) == 1 else f"#{anchor}"


def _difference(measured: Cell, published: Cell) -> Cell:
    """Measured minus published, with the published number's digits."""
    if measured.value is None or published.value is None:
        return Cell()
    value = measured.value - published.value
    return Cell(value, signed(value, max(1, len(published.text.partition(".")[2]))))


def _published_marks(key: str, better: Better, printed: dict[str, dict[str, PublishedCell]]) -> dict[str, Mark]:
    return published_marks({name: row[key].value for name, row in printed.items() if key in row}, better)


def _check(bar: Bar, result: RowResult, constant: RowResult | None) -> Check:
    ours = result.values.get(bar.column.key)
    theirs = None if constant is None else constant.values.get(bar.column.key)
    if ours is None or theirs is None or not theirs.mean or math.isnan(ours.mean / theirs.mean):
        return Check()
    ratio = ours.mean / theirs.mean
    return Check(f"{ratio:.2f}", ratio >= bar.limit if bar.sign == "≥" else ratio <= bar.limit)
