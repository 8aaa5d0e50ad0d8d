"""The average over tasks against the single-task row: against loops, by seed, and where there is none."""

from __future__ import annotations

import csv
import io
import math
import statistics

import numpy as np
import pytest

from experiments.grids import GRIDS
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.profiles import SMOKE
from experiments.runs import embedded_plan
from mila.tasks import CITYSCAPES, NYUV2, Suite
from reports.contrasts import Sample
from reports.differences import Family
from reports.provenance import about
from reports.published.numbers import read_published
from reports.tables.build_table import make_table
from reports.tables.csv_file import to_csv
from reports.tables.delta import headline_metrics, measured_deltas, published_deltas
from reports.tables.latex_markdown import to_latex, to_markdown
from reports.tables.table import DELTA
from tests.support.fake_claims import row_result
from tests.support.fake_results import fake_clip_sums, plan_of

LOWER = ("depth_abs", "depth_rel", "normal_mean", "normal_median")
METRICS = ("miou", "pixel_acc", "depth_abs", "depth_rel")


def slow_delta(suite: Suite, row: dict[str, float], single: dict[str, float]) -> float:
    of_tasks = []
    for task in suite.tasks:
        parts = []
        for metric in task.metrics:
            if metric.headline:
                better = row[metric.name] - single[metric.name]
                parts.append((-better if metric.name in LOWER else better) / single[metric.name])
        of_tasks.append(statistics.fmean(parts))
    return statistics.fmean(of_tasks)


@pytest.mark.parametrize(("table", "dataset", "suite"), [(1, "nyuv2", NYUV2), (2, "cityscapes", CITYSCAPES)])
def test_of_printed_numbers(table: int, dataset: str, suite: Suite) -> None:
    printed = {
        row: {key: cell.value for key, cell in cells.items()} for row, cells in read_published(table, dataset).items()
    }
    single = printed["D101-SingleTask"]
    found = published_deltas(printed, "D101-SingleTask", headline_metrics(suite))
    assert found == pytest.approx({row: slow_delta(suite, cells, single) for row, cells in printed.items()})
    assert found["D101-SingleTask"] == 0
    del single["miou"]
    assert published_deltas(printed, "D101-SingleTask", headline_metrics(suite)) == {}


def test_measured_numbers_are_compared_seed_by_seed() -> None:
    numbers = np.random.default_rng(0).uniform(0.2, 0.8, (2, 4, 3))  # [rows, metrics, seeds]
    seeds = {"single": (0, 1, 2), "row": (1, 2, 3)}
    families = {
        metric: Family(
            [Sample(row, dict(zip(seeds[row], numbers[i, j], strict=True)), {}) for i, row in enumerate(seeds)]
        )
        for j, metric in enumerate(METRICS)
    }
    found = measured_deltas(families, "single", headline_metrics(CITYSCAPES)).samples
    assert found["single"].by_seed == {0: 0, 1: 0, 2: 0}
    for seed, (place, other) in {1: (0, 1), 2: (1, 2)}.items():
        row, single = (dict(zip(METRICS, numbers[i, :, s], strict=True)) for i, s in ((1, place), (0, other)))
        assert found["row"].by_seed[seed] == pytest.approx(slow_delta(CITYSCAPES, row, single))
    assert set(found["row"].by_seed) == {1, 2}
    assert measured_deltas({"miou": families["miou"]}, "single", headline_metrics(CITYSCAPES)).samples == {}


def test_its_error_over_clips_is_that_of_a_bootstrap() -> None:
    plan, metrics = plan_of(0), headline_metrics(NYUV2)
    sums = {"single": fake_clip_sums(plan, 0.0, [1], 150), "row": fake_clip_sums(plan, 0.2, [2], 150)}
    values = {row: (s.metrics(), s.jackknife()) for row, s in sums.items()}
    families = {
        m.name: Family([Sample(row, {0: whole[m.name]}, {0: clips[m.name]}) for row, (whole, clips) in values.items()])
        for _, m in metrics
    }
    found = measured_deltas(families, "single", metrics).difference("row", "single")
    assert found is not None
    assert found.error is not None
    weights = np.random.default_rng(0).multinomial(150, [1 / 150] * 150, 3000)
    row, single = (sums[name].weighted(weights) for name in ("row", "single"))
    drawn = [
        slow_delta(NYUV2, {k: v[i] for k, v in row.items()}, {k: v[i] for k, v in single.items()}) for i in range(3000)
    ]
    assert found.error == pytest.approx(np.std(drawn), rel=0.08)
    assert found.mean == pytest.approx(slow_delta(NYUV2, sums["row"].metrics(), sums["single"].metrics()))


def test_it_is_a_column_of_the_table_and_of_its_files() -> None:
    plan = embedded_plan(TABLE2, SMOKE, (0, 1))
    scores = {"D101-SingleTask": (0.5, 0.8, 0.04, 0.2), "MILA": (0.55, 0.8, 0.03, 0.2)}
    results = [
        row_result(
            row,
            **{
                n: (x, x + (n == "miou") * 0.05)
                for n, x in zip(METRICS, scores.get(row.published or "", ()), strict=False)
            },
        )
        for row in plan.rows
    ]
    table = make_table(plan, results)
    (mila,) = [line for line in table.lines if line.label == "MILA (ours)"]
    cell = mila.measured[DELTA]
    # 10 % of the mIoU at one seed, 9.09 at the other, and none of the accuracy; 25 % of one of depth's two errors
    wanted = [100 * (statistics.fmean((gain, 0)) + 0.125) / 2 for gain in (0.1, 0.05 / 0.55)]
    assert cell.value == pytest.approx(statistics.fmean(wanted))
    assert cell.std == pytest.approx(statistics.stdev(wanted))
    assert (cell.text, cell.n) == ("+8.6", 2)
    printed = mila.published[DELTA]
    assert printed.text.startswith(("+", "−"))
    of = about(plan, {})
    lines = {r["row"]: r for r in csv.DictReader(io.StringIO(to_csv(table, of, None))) if r["metric"] == DELTA}
    assert float(lines["MILA (ours)"]["measured_mean"]) == pytest.approx(statistics.fmean(wanted))
    assert float(lines["MILA (ours)"]["published"]) == pytest.approx(printed.value, abs=0.05)
    assert lines["MTAN*"]["missing"]
    assert lines["Constant predictor"]["measured_mean"] == lines["Constant predictor"]["missing"] == ""
    assert r"$\Delta$ MTL" in to_latex(table, of, "Table 2")
    assert "Δ MTL (computed; the paper does not print it): relative difference from" in to_markdown(
        table, of, "Table 2"
    )


def test_of_fewer_seeds_than_its_row_it_says_how_many() -> None:
    plan = embedded_plan(TABLE2, SMOKE, (0, 1))
    scores = {
        "D101-SingleTask": ((0.5,), (0.8,), (0.04,), (0.2,)),
        "MILA": ((0.55, 0.56), (0.8, 0.81), (0.03, 0.03), (0.1, 0.1)),
    }
    results = [
        row_result(row, **dict(zip(METRICS, scores.get(row.published or "", ()), strict=False))) for row in plan.rows
    ]
    lines = {line.label: line for line in make_table(plan, results).lines}
    cell = lines["MILA (ours)"].measured[DELTA]
    assert cell.text.endswith(" (n = 1)")
    assert (cell.n, lines["MILA (ours)"].seeds) == (1, 2)


@pytest.mark.parametrize("name", ["table3", "table6b", "table5"])
def test_a_table_without_a_single_task_row_says_so(name: str) -> None:
    plan = embedded_plan(GRIDS[name], SMOKE)
    table = make_table(plan, [row_result(row) for row in plan.rows])
    assert all(column.key != DELTA for column in table.columns)
    reason = "there is one task" if name == "table5" else "the table has no such row"
    assert table.without_delta.startswith("There is no average over tasks")
    assert reason in table.without_delta
    assert table.without_delta in to_markdown(table, about(plan, {}), name)


def test_nothing_measured_of_the_single_task_row_is_said() -> None:
    plan = embedded_plan(TABLE1, SMOKE)
    table = make_table(plan, [row_result(row) for row in plan.rows])
    assert (
        table.without_delta == "No average over tasks is measured yet: D101-SingleTask has no number to compare with."
    )
    assert not math.isnan(next(line for line in table.lines if line.in_paper).published[DELTA].value or 0.0)
