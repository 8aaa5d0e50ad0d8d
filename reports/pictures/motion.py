"""Whether what the rows carry from the keyframe follows the motion: numbers by offset, beside those of staying put."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.plan import Plan
from experiments.results import MotionResult
from mila.motion_numbers import ALL_TASKS
from reports.plots.drawing import DrawnPlots, Figure
from reports.plots.motion import Course, draw_motion
from reports.tables.table import stage_href
from reports.titles import short_title

_SHOWN = ("epe", "epe_zero", "epe_equal", "rms", "rms_true", "r_x", "r_y", "entropy", "centre", "lost")
"""Numbers of `mila.motion_numbers.agreement`, in the table's order."""


@dataclass(frozen=True)
class MotionLine:
    """One line of the table: a row's network at one offset.

    Attributes:
        row: its label, with the task where the row carries features once a task.
        href: the page of the stage.
        offset: frames since the keyframe.
        numbers: as text, in the order of the table's columns; "–" where there is none.
        closer: whether the end-point error is below that of staying put and that of equal weights; None where there is
            none.
    """

    row: str
    href: str
    offset: int
    numbers: tuple[str, ...]
    closer: bool | None


@dataclass(frozen=True)
class MotionTable:
    """What a page says of motion.

    Attributes:
        lines: by row, branch and offset; empty where nothing is finished.
        figures: the end-point error by offset.
        clips: how many were looked at.
        known: whether the exact motion is known: of the worlds alone.
    """

    lines: tuple[MotionLine, ...]
    figures: tuple[Figure, ...]
    clips: int
    known: bool


def make_motion(plan: Plan, results: Sequence[MotionResult], drawn: DrawnPlots) -> MotionTable | None:
    """What a page says of motion; None where its grid does not ask. What was `drawn` before is taken."""
    if "motion" not in plan.grid.visuals:
        return None
    lines, courses = list[MotionLine](), list[Course]()
    for result in results:
        branches = dict.fromkeys(str(entry["branch"]) for entry in result.agreement)
        for branch in branches:
            label = result.label if branch == ALL_TASKS or len(branches) == 1 else _label(result.label, branch)
            entries = [entry for entry in result.agreement if entry["branch"] == branch]
            lines += [_line(label, stage_href(result.key), entry) for entry in entries]
            courses.append(Course(label, tuple(tuple((name, entry[name]) for name in _KEPT) for entry in entries)))
    figures = (drawn.take_or_draw(draw_motion, tuple(courses)),) if courses else ()
    return MotionTable(tuple(lines), figures, results[0].clips if results else 0, plan.embedded)


_KEPT = ("offset", "cells", *_SHOWN)


def _label(row: str, branch: str) -> str:
    return f"{row}: {short_title(branch).lower()}"


def _line(label: str, href: str, entry: Mapping[str, Any]) -> MotionLine:
    numbers = tuple(_text(entry[name], percent=name == "lost") for name in _SHOWN)
    epe, others = entry["epe"], [value for name in ("epe_zero", "epe_equal") if (value := entry[name]) is not None]
    return MotionLine(label, href, int(entry["offset"]), numbers, None if epe is None else epe < min(others))


def _text(value: float | None, *, percent: bool) -> str:
    if value is None:
        return "–"
    return (f"{100 * value:.1f} %" if percent else f"{value:.2f}").replace("-", "−")
