"""Numbers that nobody counted or measured, for the tests of claims."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.costs.values import Cell
from experiments.grids.multi_task import TABLE2
from experiments.plan import RowPlan
from experiments.profiles import SMOKE
from experiments.records import Record
from experiments.results import RowResult, Value
from experiments.runs import Runs, embedded_plan
from reports.claims.numbers import At, Number, Source
from reports.claims.scores import Score
from reports.claims.statements import Statement, Verdict
from reports.differences import Family
from reports.published.numbers import PublishedCell
from tests.support.fake_scores import by_seed


def verdict(statement: Statement, source: Source) -> Verdict | None:
    finding = statement.judge(source)
    return None if finding is None else finding.verdict


def cell(row: str, text: str, measured: float, complete: float) -> Cell:
    return Cell(2, row, "GFLOPs", "256x512", PublishedCell(text), measured, complete)


CELLS = [
    cell("D101-MultiTask", "93", 93.26, 134.0),
    cell("MTAN*", "161", 150.5, 191.0),
    cell("MILA", "70", 70.2, 79.0),
    Cell(7, "ila", "GFLOPs", "256x512", PublishedCell("0.2"), 0.34, 0.39),
]


def scores(numbers: Mapping[At, Sequence[float]]) -> Source:
    """Scores of rows of one table by seed, without sums of clips."""
    families = {
        metric: Family([by_seed(cell.row, *seeds) for cell, seeds in numbers.items() if cell.metric == metric])
        for metric in {cell.metric for cell in numbers}
    }

    def number(cell: At) -> Number:
        seeds = numbers[cell]
        mean, std = statistics.fmean(seeds), statistics.stdev(seeds) if len(seeds) > 1 else None
        return Number(mean, f"{mean:.4g}", std, len(seeds), Score(cell.row, families[cell.metric], 1.0))

    return {cell: number(cell) for cell in numbers}.get


def runs(**values: Sequence[float]) -> Runs:
    """Table 2 with made-up mIoU of some rows by seed, by published name without its star."""
    plan = embedded_plan(TABLE2, SMOKE)
    results = [row_result(row, values.get((row.published or "").replace("*", ""), ())) for row in plan.rows]
    return Runs(plan, tuple(results))


def row_result(
    row: RowPlan, miou: Sequence[float | Sequence[float]] = (), **others: Sequence[float | Sequence[float]]
) -> RowResult:
    """A row with metrics by seed, of which each may be several by offset."""
    metrics = {
        name: [[number] if isinstance(number, float) else list(number) for number in seeds]
        for name, seeds in {"miou": miou, **others}.items()
        if seeds
    }
    if not metrics:
        return RowResult(row, {}, "", None, (), (), None)
    by_seed = list(next(iter(metrics.values())))
    trains = tuple(_record({"config": {"seed": seed}}, {}) for seed in range(len(by_seed)))
    evaluations = tuple(
        tuple(
            _record({}, {"metrics": {name: numbers[seed][offset] for name, numbers in metrics.items()}})
            for offset in range(len(offsets))
        )
        for seed, offsets in enumerate(by_seed)
    )
    values = {name: _value(numbers) for name, numbers in metrics.items()}
    return RowResult(row, values, "", None, trains, evaluations, None)


def _value(numbers: list[list[float]]) -> Value:
    """From numbers by seed and offset."""
    means, several = [statistics.fmean(offsets) for offsets in numbers], len(numbers) > 1
    return Value(
        statistics.fmean(means),
        statistics.stdev(means) if several else None,
        len(numbers),
        tuple(map(statistics.fmean, zip(*numbers, strict=True))),
        tuple(map(statistics.stdev, zip(*numbers, strict=True))) if several else None,
    )


def _record(stage: dict[str, object], result: dict[str, object]) -> Record:
    return Record("0" * 16, stage, result, 1.0, "2026-01-02T03:04:05+00:00", {}, Path("nowhere"))
