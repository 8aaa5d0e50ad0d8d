"""Figure 1 of the paper, drawn twice: mIoU on Cityscapes over operations, and over the time that is measured.

Published and measured mIoU never share an axis: the measured ones are of embedded videos and have plots of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.embedded import Runs
from experiments.latency import LatencyRecord, find_row
from reports.drawing import INK, MARKERS, MUTED, SERIES, Figure, canvas_of, finish, plain, table_of
from reports.published_numbers import read_published

_GRID, _TABLE = "table2", 2


@dataclass(frozen=True)
class Point:
    """A row of Table 2.

    Attributes:
        label: the row.
        y: mIoU, %.
        measured: what is counted or timed, on the x axis; drawn solid. None where nothing is.
        published: printed value of the same quantity, drawn hollow; None where there is none.
        spread: standard deviation of y over seeds; None where there is none.
    """

    label: str
    y: float
    measured: float | None
    published: float | None = None
    spread: float | None = None


def over_gflops(counted: Mapping[str, float]) -> Figure:
    """Published mIoU over published GFLOPs, and over those that are counted as published, by row of Table 2."""
    points = [
        Point(name, cells["miou"].value, counted.get(name), cells["gflops"].value)
        for name, cells in read_published(_TABLE, "cityscapes").items()
    ]
    return _draw(
        "figure1-gflops",
        points,
        ("Published mIoU over GFLOPs", "Cityscapes; the paper’s networks"),
        ("GFLOPs a frame", "GFLOPs"),
    )


def over_latency(record: LatencyRecord) -> Figure | None:
    """Published mIoU over the time of the same rows' networks at a record's size; None where it has not timed them."""
    points = []
    for name, cells in read_published(_TABLE, "cityscapes").items():
        row = find_row(record.rows, _GRID, name)
        if row is not None:
            points.append(Point(name, cells["miou"].value, 1e3 * row.latency.stream.median))
    if not points:
        return None
    networks = "the paper’s networks" if record.profile in ("reference", "paper") else "times of reduced networks"
    title = ("Published mIoU over measured time", f"Cityscapes; {networks}, profile {record.profile}, {record.device}")
    return _draw(f"figure1-latency-{record.name}", points, title, ("ms a frame, whole streams", "ms"))


def embedded(runs: Sequence[Runs], records: Sequence[LatencyRecord]) -> list[Figure]:
    """Measured mIoU on embedded street videos over GFLOPs and over time of the very networks that were trained."""
    results = [result for run in runs if run.plan.grid.name == _GRID for result in run.results if result.values]
    figures: list[Figure] = []
    for record in records:
        gflops, times = [], []
        for result in results:
            row = find_row(record.rows, _GRID, result.plan.published or "")
            if row is None or result.plan.published is None:
                continue
            score = result.values["miou"]
            y, spread = 100 * score.mean, None if score.std is None else 100 * score.std
            gflops.append(Point(result.plan.label, y, row.complete_gflops, spread=spread))
            times.append(Point(result.plan.label, y, 1e3 * row.latency.stream.median, spread=spread))
        if not gflops or runs[0].plan.profile.name != record.profile:
            continue
        about = f"embedded street videos; profile {record.profile}"
        if not figures:
            heads = ("Measured mIoU over GFLOPs", f"{about}, counted complete")
            figures.append(_draw("figure1-embedded-gflops", gflops, heads, ("GFLOPs a frame", "GFLOPs")))
        heads = ("Measured mIoU over measured time", f"{about}, {record.device}")
        name = f"figure1-embedded-latency-{record.name}"
        figures.append(_draw(name, times, heads, ("ms a frame, whole streams", "ms")))
    return figures


def _draw(name: str, points: Sequence[Point], title: tuple[str, str], x: tuple[str, str]) -> Figure:
    width, height, legend = 430.0, 270.0, 128.0
    with canvas_of(width, height) as canvas:
        axes = canvas.add_axes((34 / width, 0.15, 1 - (34 + legend) / width, 0.67))
        for i, p in enumerate(points):
            colour, marker = SERIES[i % len(SERIES)], MARKERS[(i + 3 * (i // len(SERIES))) % len(MARKERS)]
            if p.published is not None:
                axes.plot(p.published, p.y, marker, markersize=9, mfc="none", mec=colour, mew=1.1, zorder=3)
            if p.published is not None and p.measured is not None:
                axes.plot([p.published, p.measured], [p.y, p.y], color=colour, linewidth=0.8, zorder=2)
            if p.measured is not None:
                axes.errorbar(p.measured, p.y, p.spread, color=colour, marker=marker, markersize=5, zorder=4)
            axes.plot([], [], marker, color=colour, markersize=5, label=p.label)
        axes.set_xlim(left=0)
        axes.margins(x=0.08, y=0.1)
        axes.set_xlabel(x[0])
        plain(axes, "both")
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.02, 1.03),
            frameon=False,
            handletextpad=0.2,
            labelcolor=INK,
            fontsize=8.5,
        )
        canvas.text(0.0, 0.95, title[0], weight="bold", size=9.5)
        canvas.text(0.0, 0.89, f"mIoU, %, higher is better ↑; {title[1]}", color=MUTED, size=8.5)
        data = table_of(
            ("row", "mIoU (%)", "std over seeds", f"measured ({x[1]})", f"published ({x[1]})"),
            [(p.label, p.y, p.spread, p.measured, p.published) for p in points],
        )
        return finish(canvas, name, f"{title[0]}: {title[1]}", data)
