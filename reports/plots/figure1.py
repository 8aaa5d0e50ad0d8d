"""Figure 1 of the paper, drawn twice: mIoU on Cityscapes over operations, and over the time that is measured.

Every point is of one network: published mIoU stands over the time of the paper's networks alone, and the mIoU of
reduced networks, measured on embedded videos, over the time of those. The two never share an axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.costs.latency import LatencyRecord, find_row
from experiments.results import RowResult
from experiments.runs import Runs
from reports.csv_text import csv_text
from reports.plots.drawing import Figure
from reports.plots.scatter import Point, pareto, scatter
from reports.published.numbers import PublishedCell, read_published

GRID = "table2"
_TABLE = 2
_PAPER_SIZE = ("reference", "paper")
"""Profiles with the paper's networks and frames."""


def over_gflops(counted: Mapping[str, float]) -> Figure:
    """Published mIoU over published GFLOPs, and over those that are counted as published, by row of Table 2."""
    points = [
        Point(name, cells["miou"].value, counted.get(name), cells["gflops"].value, number=number, ours=_ours(name))
        for number, (name, cells) in _rows()
    ]
    return _draw("figure1-gflops", points, "Published mIoU over GFLOPs", "Cityscapes", ("GFLOPs a frame", "GFLOPs"))


def over_latency(record: LatencyRecord) -> Figure | None:
    """Published mIoU over the time of the paper's networks; None where a record has others, or not those of Table 2."""
    points = []
    for number, (name, cells) in _rows():
        row = find_row(record.rows, GRID, name)
        if row is not None:
            time = 1e3 * row.latency.stream.median
            points.append(Point(name, cells["miou"].value, time, number=number, ours=_ours(name)))
    if record.profile not in _PAPER_SIZE or not points:
        return None
    name, about = f"figure1-latency-{record.name}", f"Cityscapes; timed on {record.device}"
    return _draw(name, points, "Published mIoU over measured time", about, _TIME)


_TIME = ("ms a frame, whole streams", "ms")


def measured_figures(runs: Sequence[Runs], record: LatencyRecord) -> list[Figure]:
    """Measured mIoU on embedded street videos over GFLOPs and over time of the very networks that were trained.

    Args:
        runs: of any grids and profiles; those of Table 2 in the record's profile are drawn.
        record: what was timed.
    """
    over: tuple[list[Point], list[Point]] = ([], [])
    numbers = {name: number for number, (name, _) in _rows()}
    results = _finished(runs, record.profile)
    for result in results:
        name = result.plan.published or ""
        row = find_row(record.rows, GRID, name)
        if row is None:
            continue
        score = result.values["miou"]
        std = None if score.std is None else 100 * score.std
        for points, cost in zip(over, (row.complete_gflops, 1e3 * row.latency.stream.median), strict=True):
            points.append(Point(result.plan.label, 100 * score.mean, cost, None, std, numbers[name], _ours(name)))
    if not over[0]:
        return []
    seeds = {result.plan.label: result.values["miou"].seeds for result in results}
    of = sorted({seeds[point.label] for point in over[0]})
    n = f"n = {of[0]}" if len(of) == 1 else f"n = {of[0]} to {of[-1]}"
    about = f"embedded videos, {record.profile}, {n}"
    title = "Measured mIoU over"
    name = f"figure1-embedded-gflops-{record.name}"
    return [
        _draw(name, over[0], f"{title} GFLOPs", about, ("GFLOPs a frame, complete", "GFLOPs"), seeds),
        _draw(name.replace("gflops", "latency"), over[1], f"{title} time on {record.device}", about, _TIME, seeds),
    ]


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
        elif not _finished(runs, profile):
            sentences.append(
                f"There is no finished run of Table 2 in profile {profile}: `nox -s reproduce-table2{words}`."
            )
    return sentences


def _finished(runs: Sequence[Runs], profile: str) -> list[RowResult]:
    plans = [run for run in runs if (run.plan.grid.name, run.plan.profile.name) == (GRID, profile)]
    return [r for run in plans for r in run.results if r.values and r.plan.published is not None]


def _rows() -> list[tuple[int, tuple[str, dict[str, PublishedCell]]]]:
    """Table 2 as printed: (number, (row, cells)); a row has the same number in all plots."""
    return list(enumerate(read_published(_TABLE, "cityscapes").items(), 1))


def _ours(published: str) -> bool:
    return published.startswith("MILA")


def _draw(
    name: str,
    points: Sequence[Point],
    title: str,
    about: str,
    cost: tuple[str, str],
    seeds: Mapping[str, int] | None = None,
) -> Figure:
    front = pareto(points, higher=True)
    header = ("row", "mIoU (%)", "std over seeds", "n_seeds", f"measured ({cost[1]})", f"published ({cost[1]})")
    lines = [
        (p.label, p.y, p.std, (seeds or {}).get(p.label), p.x, p.printed, "yes" if p in front else "no") for p in points
    ]
    return scatter(
        name,
        points,
        higher=True,
        titles=(title, f"mIoU, %, higher is better ↑; {about}"),
        x_label=cost[0],
        description=f"{title}, {about}, with the Pareto front",
        data=csv_text((*header, "on the Pareto front"), lines),
    )
