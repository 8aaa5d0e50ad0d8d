"""The plot of what is carried against the motion: end-point error by offset, beside that of staying put."""

from __future__ import annotations

from typing import NamedTuple

from reports.csv_text import csv_text
from reports.plots.chart import Chart, limits, ticks_in
from reports.plots.drawing import MARKERS, MUTED, SERIES, Figure, canvas_of, finish, width_of

_LEFT, _TICK = 36.0, 9.0
_STAYING = "staying put"

Numbers = tuple[tuple[str, float | None], ...]
"""By name: `offset`, `cells`, and what `mila.motion_numbers.agreement` says."""


class Course(NamedTuple):
    """A row, or a task's part of one, over the offsets."""

    label: str
    numbers: tuple[Numbers, ...]

    def points(self, name: str) -> list[tuple[float, float]]:
        """(offset, number) where there is one."""
        found = [dict(entry) for entry in self.numbers]
        return [(float(e["offset"] or 0), value) for e in found if (value := e[name]) is not None]


def draw_motion(courses: tuple[Course, ...]) -> Figure:
    """One line a row; that of staying put is the same for all that are looked at on the same cells."""
    names = max(width_of(label) for label in (_STAYING, *(course.label for course in courses)))
    width = max(330.0, _LEFT + _TICK + 4 + names + 220)
    staying = next((points for course in courses if (points := course.points("epe_zero"))), [])
    reached = [y for course in courses for _, y in course.points("epe")] + [y for _, y in staying]
    last = max((len(course.numbers) for course in courses), default=1)
    with canvas_of(width, 240) as canvas:
        box = (_LEFT, 40.0, width - _LEFT - _TICK - 4 - names, 162.0)
        chart = Chart(canvas, box, (0.75, last + 0.25), limits([0.0, *reached], 0.05))
        chart.titles("End-point error of what is carried, cells", "lower is better ↓")
        chart.y_axis(ticks_in(*chart.y_range, 6))
        chart.x_axis("keyframe offset, frames", range(1, last + 1), rules=False)
        labels = []
        if staying:
            xs, ys = zip(*staying, strict=True)
            chart.line(xs, ys, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            labels.append((ys[-1], _STAYING, MUTED))
        for i, course in enumerate(courses):
            points = course.points("epe")
            if points:
                xs, ys = zip(*points, strict=True)
                colour, marker = SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]
                chart.line(xs, ys, color=colour, marker=marker, markersize=4.2, linewidth=1.5, zorder=3)
                labels.append((ys[-1], course.label, colour))
        chart.name_ends(labels, _TICK)
        heads = [name for name, _ in courses[0].numbers[0]]
        data = csv_text(("row", *heads), [(c.label, *(v for _, v in entry)) for c in courses for entry in c.numbers])
        return finish(canvas, "motion", "End-point error of what is carried, by keyframe offset", data)
