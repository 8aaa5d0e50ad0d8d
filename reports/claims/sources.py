"""Where the numbers of claims come from: the paper's tables, counted costs, finished runs, measured times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from experiments.costs.latency import LatencyRecord, find_row
from experiments.costs.values import COSTED
from experiments.grids import GRIDS
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.plan import RowPlan
from experiments.results import Value
from experiments.runs import Runs
from reports.claims.numbers import At, Number, Source, digits
from reports.claims.scores import Score
from reports.differences import Family, families
from reports.published.numbers import PublishedCell, dataset_of, read_published

_COLUMNS = {"GFLOPs": "gflops", "convolutions": "conv_layers", "parameters (M)": "params_millions"}


@lru_cache(maxsize=32)
def _published(table: int, dataset: str) -> dict[str, dict[str, PublishedCell]]:
    return read_published(table, dataset)


def published(cell: At) -> Number | None:
    """The paper's own number."""
    found = _published(cell.table, cell.dataset).get(cell.row, {}).get(cell.metric)
    return None if found is None else Number(found.value, found.text)


def counted(lines: Sequence[Mapping[str, str]], *, complete: bool) -> Source:
    """Costs as published or complete: those of the audit, and those that the paper does not print.

    Args:
        lines: of `reports.pages.costs.read_costs`.
        complete: which of the two.
    """
    names = {(str(grid.table), row.label): row.published for grid in COSTED for row in grid.rows}
    datasets = {str(grid.table): dataset_of(grid) for grid in (TABLE1, TABLE2, *COSTED)}  # Table 7 is of none
    numbers: dict[At, float] = {}
    for line in lines:
        table, row, quantity = line["table"], line["row"], line["quantity"]
        printed = bool(line["published"])
        if not printed and quantity != "GFLOPs, average":
            continue
        if not printed:
            row = names[table, row] or row
        elif table == "7":
            row = f"feature propagation module / {row} / {line['size']}"
        at = At(int(table), datasets.get(table, ""), row, _COLUMNS[quantity] if printed else "gflops")
        numbers[at] = float(line["measured_complete" if complete else "measured_as_published"])

    def find(cell: At) -> Number | None:
        value = numbers.get(cell)
        return None if value is None else Number(value, f"{value:.4g}")

    return find


def measured(runs: Sequence[Runs]) -> Source:
    """Scores of finished runs in the printed units: means over seeds of the means over offsets, and at two offsets.

    Those of `repeated` rows are left out.
    """
    numbers: dict[At, Number] = {}
    left_out = repeated(runs)
    for run in runs:
        scales = {m.name: m.scale for task in run.plan.suite.tasks for m in task.metrics}
        for suffix, offset in (("", None), ("@first", 0), ("@last", -1)):
            tested = families(run.results, offset)
            for result in run.results:
                for metric, value in result.values.items():
                    if offset is not None and len(value.by_offset) == 1:
                        continue
                    row = _place(run, result.plan)
                    if row not in left_out:
                        at = At(*row, metric + suffix)
                        found = _number(result.plan.label, value, offset, scales[metric], tested.get(metric))
                        printed = published(at)
                        numbers[at] = replace(found, printed=None if printed is None else printed.value)
    return numbers.get


def repeated(runs: Sequence[Runs]) -> dict[tuple[int, str, str], str]:
    """Rows of other networks in the paper that a profile trains as one, but the first: the first one's label.

    Small profiles have one network for two depths; what it shows is evidence once.

    Returns:
        By table, data set and row, as in `At`.
    """
    first: dict[tuple[str, ...], RowPlan] = {}
    found: dict[tuple[int, str, str], str] = {}
    for run in sorted(runs, key=lambda run: run.plan.grid.table):
        for row in run.plan.rows:
            if row.measure is None:
                continue
            same = first.setdefault(tuple(stage.key for seed in row.evaluations for stage in seed), row)
            if same.measure is not None and same.measure.key != row.measure.key:  # at the paper's size they differ
                found[_place(run, row)] = same.label
    return found


def _place(run: Runs, row: RowPlan) -> tuple[int, str, str]:
    return run.plan.grid.table, dataset_of(run.plan.grid), row.published or row.label


def _number(row: str, value: Value, offset: int | None, scale: float, family: Family | None) -> Number:
    mean, std = value.mean, value.std
    if offset is not None:
        mean = value.by_offset[offset]
        std = None if value.by_offset_std is None else value.by_offset_std[offset]
    score = None if family is None or row not in family.samples else Score(row, family, scale)
    mean, std = scale * mean, None if std is None else scale * std
    return Number(mean, f"{mean:.4g}", std, value.seeds, score)


def timed(record: LatencyRecord) -> Source:
    """Milliseconds a frame of whole streams, medians; told apart where the quartiles do not overlap."""

    def find(cell: At) -> Number | None:
        if cell.metric != "latency":
            return None
        for grid in GRIDS.values():
            row = find_row(record.rows, grid.name, cell.row)
            if row is not None and (grid.table, dataset_of(grid)) == (cell.table, cell.dataset):
                times = row.latency.stream
                half = 1e3 * max(times.upper - times.median, times.median - times.lower)
                return Number(1e3 * times.median, f"{digits(1e3 * times.median, 3)} ms", half)
        return None

    return find
