"""Figure 1 of the paper, drawn twice: mIoU on Cityscapes over operations, and over the time that is measured.

The same with the average over both tasks, Delta-MTL, see `reports.tables.delta`. Every point is of one network:
published numbers stand over the time of the paper's networks alone, and those of reduced networks, measured on embedded
videos, over the time of those. The two never share an axis.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.costs.latency import LatencyRecord, find_row
from experiments.results import RowResult
from experiments.runs import Runs
from mila.tasks import CITYSCAPES
from reports.csv_text import csv_text
from reports.differences import Family, families
from reports.plots.drawing import Figure
from reports.plots.scatter import Point, pareto, scatter
from reports.published.numbers import PublishedCell, read_published
from reports.tables.delta import headline_metrics, measured_deltas, published_deltas, single_task_row

GRID = "table2"
_TABLE = 2
_SINGLE = "D101-SingleTask"
_PAPER_SIZE = ("reference", "paper")
"""Profiles with the paper's networks and frames."""


@dataclass(frozen=True)
class _Quantity:
    """What is drawn over cost: its name in files and in words."""

    name: str
    label: str


_MIOU, _DELTA = _Quantity("figure1", "mIoU"), _Quantity("delta", "Δ MTL")
_QUANTITIES = (_MIOU, _DELTA)
_TIME = ("ms a frame, whole streams", "ms")


def over_gflops(counted: Mapping[str, float]) -> list[Figure]:
    """Published mIoU and Delta-MTL over published GFLOPs, and over those that are counted, by row of Table 2."""
    figures = []
    for what in _QUANTITIES:
        values = _published(what)
        points = [
            Point(name, values[name], counted.get(name), cells["gflops"].value, number=number, ours=_ours(name))
            for number, (name, cells) in _rows()
        ]
        title = f"Published {what.label} over GFLOPs"
        figures.append(_draw(what, f"{what.name}-gflops", points, title, "Cityscapes", ("GFLOPs a frame", "GFLOPs")))
    return figures


def over_latency(record: LatencyRecord) -> list[Figure]:
    """Published mIoU and Delta-MTL over the time of the paper's networks; empty where others were timed."""
    figures = []
    for what in _QUANTITIES if record.profile in _PAPER_SIZE else ():
        values, points = _published(what), []
        for number, (name, _) in _rows():
            row = find_row(record.rows, GRID, name)
            if row is not None:
                time = 1e3 * row.latency.stream.median
                points.append(Point(name, values[name], time, number=number, ours=_ours(name)))
        if points:
            name, about = f"{what.name}-latency-{record.name}", f"Cityscapes; timed on {record.device}"
            figures.append(_draw(what, name, points, f"Published {what.label} over measured time", about, _TIME))
    return figures


def measured_figures(runs: Sequence[Runs], record: LatencyRecord) -> list[Figure]:
    """Measured mIoU and Delta-MTL on embedded street videos over GFLOPs and time of the networks that were trained.

    Args:
        runs: of any grids and profiles; those of Table 2 in the record's profile are drawn.
        record: what was timed.
    """
    figures = []
    for what in _QUANTITIES:
        over: tuple[list[Point], list[Point]] = ([], [])
        numbers = {name: number for number, (name, _) in _rows()}
        seeds: dict[str, int] = {}
        for run in _of_profile(runs, record.profile):
            scores = _measured(what, run)
            for result in _finished(run):
                name = result.plan.published or ""
                row, sample = find_row(record.rows, GRID, name), scores.samples.get(result.plan.label)
                if row is None or sample is None or not sample.by_seed:
                    continue
                values = [100 * value for value in sample.by_seed.values()]
                seeds[result.plan.label] = len(values)
                y, std = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
                for points, cost in zip(over, (row.complete_gflops, 1e3 * row.latency.stream.median), strict=True):
                    points.append(Point(result.plan.label, y, cost, None, std, numbers[name], _ours(name)))
        if seeds:
            figures += _draw_measured(what, over, seeds, record)
    return figures


def _draw_measured(
    what: _Quantity, over: tuple[list[Point], list[Point]], seeds: Mapping[str, int], record: LatencyRecord
) -> list[Figure]:
    of = sorted(set(seeds.values()))
    n = f"n = {of[0]}" if len(of) == 1 else f"n = {of[0]} to {of[-1]}"
    about = f"embedded videos, {record.profile}, {n}"
    title, name = f"Measured {what.label} over", f"{what.name}-embedded"
    gflops = ("GFLOPs a frame, complete", "GFLOPs")
    return [
        _draw(what, f"{name}-gflops-{record.name}", over[0], f"{title} GFLOPs", about, gflops, seeds),
        _draw(what, f"{name}-latency-{record.name}", over[1], f"{title} time on {record.device}", about, _TIME, seeds),
    ]


def _published(what: _Quantity) -> dict[str, float]:
    """In per cent, by row of Table 2."""
    printed = {name: {key: cell.value for key, cell in cells.items()} for _, (name, cells) in _rows()}
    if what is _MIOU:
        return {name: cells["miou"] for name, cells in printed.items()}
    deltas = published_deltas(printed, _SINGLE, headline_metrics(CITYSCAPES))
    return {name: 100 * value for name, value in deltas.items()}


def _measured(what: _Quantity, run: Runs) -> Family:
    """Shares, by label of the rows of Table 2."""
    found, single = families(run.results), single_task_row(run.plan)
    if what is _MIOU:
        return found.get("miou", Family(()))
    return Family(()) if single is None else measured_deltas(found, single[0], headline_metrics(run.plan.suite))


def missing(runs: Sequence[Runs], records: Sequence[LatencyRecord]) -> list[str]:
    """Which plots over time are not there, and what brings them: sentences."""
    if not records:
        return ["Over time: nothing is timed yet; `nox -s bench-latency` does it."]
    sentences = []
    if not any(over_latency(record) for record in records):
        sentences.append(
            "Published mIoU is drawn over time once the paper’s networks are timed: "
            "`nox -s bench-latency -- --profile reference`. The reduced ones of other profiles say nothing of it."
        )
    for profile in dict.fromkeys(record.profile for record in records):
        timed = [row for record in records if record.profile == profile for row in record.rows if row.grid == GRID]
        words = "" if profile == "quick" else f" -- --profile {profile}"
        if not timed:
            sentences.append(f"No model of Table 2 is timed in profile {profile}: `nox -s bench-latency{words}`.")
        elif not any(map(_finished, _of_profile(runs, profile))):
            sentences.append(
                f"There is no finished run of Table 2 in profile {profile}: `nox -s reproduce-table2{words}`."
            )
    return sentences


def _of_profile(runs: Sequence[Runs], profile: str) -> list[Runs]:
    return [run for run in runs if (run.plan.grid.name, run.plan.profile.name) == (GRID, profile)]


def _finished(run: Runs) -> list[RowResult]:
    return [r for r in run.results if r.values and r.plan.published is not None]


def _rows() -> list[tuple[int, tuple[str, dict[str, PublishedCell]]]]:
    """Table 2 as printed: (number, (row, cells)); a row has the same number in all plots."""
    return list(enumerate(read_published(_TABLE, "cityscapes").items(), 1))


def _ours(published: str) -> bool:
    return published.startswith("MILA")


def _draw(
    what: _Quantity,
    name: str,
    points: Sequence[Point],
    title: str,
    about: str,
    cost: tuple[str, str],
    seeds: Mapping[str, int] | None = None,
) -> Figure:
    front = pareto(points, higher=True)
    header = (
        "row",
        f"{what.label} (%)",
        "std over seeds",
        "n_seeds",
        f"measured ({cost[1]})",
        f"published ({cost[1]})",
    )
    lines = [
        (p.label, p.y, p.std, (seeds or {}).get(p.label), p.x, p.printed, "yes" if p in front else "no") for p in points
    ]
    return scatter(
        name,
        points,
        higher=True,
        titles=(title, f"{what.label}, %, higher is better ↑; {about}"),
        x_label=cost[0],
        description=f"{title}, {about}, with the Pareto front",
        data=csv_text((*header, "on the Pareto front"), lines),
    )
