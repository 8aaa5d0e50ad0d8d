"""The picture panel: frame, truth and predictions of a few clips, as PNG images inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from experiments.records import DamagedRecordError
from experiments.results import KeptArrays, Results, RowPictures
from mila.common.types import Array
from mila.data.colours import (
    NOT_ANNOTATED,
    Limits,
    annotated_pixels,
    depth_limits,
    depth_unit,
    normals_ball,
    paint,
    paint_depth,
)
from mila.tasks import Task
from reports.pictures.error_maps import RIGHT, WRONG, error_of, largest_error, paint_error
from reports.titles import short_title

Row = TypeVar("Row")

_WIDEST = 256  # pixels of a picture; larger ones are shown at every n-th pixel
_COLUMNS = 10  # predictions beside each other that can still be looked at
_METHODS = 5  # shown where all rows would be more columns
BUDGET = 4_000_000
"""Characters of all pictures of a page: where these are more, fewer clips are shown."""


@dataclass(frozen=True)
class MethodHeader:
    """A method over its columns."""

    label: str
    columns: int


@dataclass(frozen=True)
class Legend:
    """How to read the pictures of a task.

    Attributes:
        classes: (name, colour) of segmentation.
        image: a scale or a key as PNG data URI; empty for segmentation.
        ticks: labels of a scale from left to right.
        text: in words.
    """

    text: str
    classes: tuple[tuple[str, str], ...] = ()
    image: str = ""
    ticks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskPanel:
    """Pictures of one task as PNG data URIs, clip by clip: frame, truth, each column's prediction; and their errors."""

    title: str
    legend: Legend
    error_legend: Legend
    rows: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True)
class Panel:
    """The picture panel.

    Attributes:
        methods, offsets: the two header lines.
        starts: whether a column is the first of its method.
        tasks: one block each.
        seeds: of the networks shown.
        without: rows that are measured but left no pictures.
        chosen: whether these are some of the rows only.
        left_out: clips that are not shown, because the page would be too large.
    """

    methods: tuple[MethodHeader, ...]
    offsets: tuple[str, ...]
    starts: tuple[bool, ...]
    tasks: tuple[TaskPanel, ...]
    seeds: str
    without: tuple[str, ...]
    chosen: bool
    left_out: int


def make_panel(results: Results) -> Panel | None:
    """The panel of each row's first finished seed; None where there is nothing to show."""
    kept = [row for row in results.pictures if row.predictions]
    some = kept if sum(len(row.offsets) for row in kept) <= _COLUMNS else spread_evenly(kept, _METHODS)
    if not some or results.clips is None:
        return None
    indices = list(some[0].predictions[0].clips)
    loaded = [(row, found) for row in some if (found := _load_row(row, indices)) is not None]
    if not loaded:
        return None
    damaged = [row for row in some if row not in [row for row, _ in loaded]]
    some = [row for row, _ in loaded]
    predictions = [arrays for _, found in loaded for arrays in found]
    offsets = [f"offset {offset}" if len(row.offsets) > 1 else "every frame" for row in some for offset in row.offsets]
    raw = [(clip.frames, clip.targets) for clip in (results.clips.clip(index, 1) for index in indices)]
    panels = [_task_panel(task, indices, raw, predictions) for task in results.plan.suite.tasks]
    clips_shown = _affordable(panels, BUDGET)
    seeds = sorted({row.seed for row in some})
    return Panel(
        methods=tuple(MethodHeader(row.label, len(row.offsets)) for row in some),
        offsets=tuple(offsets),
        starts=tuple(i == 0 for row in some for i in range(len(row.offsets))),
        tasks=tuple(replace(panel, rows=panel.rows[:clips_shown]) for panel in panels),
        seeds=f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
        without=tuple(row.label for row in results.pictures if row not in kept or row in damaged),
        chosen=len(some) + len(damaged) < len(kept),
        left_out=len(indices) - clips_shown,
    )


def spread_evenly(rows: Sequence[Row], n: int) -> list[Row]:
    """`n` (2 or more) of at least as many rows, by their place alone; the first and the last are among them."""
    return [rows[round(i * (len(rows) - 1) / (n - 1))] for i in range(n)]


def _affordable(panels: Sequence[TaskPanel], budget: int) -> int:
    """How many clips can be shown with so many characters of pictures; one at least."""
    rows = zip(*(panel.rows for panel in panels), strict=True)
    sizes = [sum(len(image) for _, shown, errors in row for image in (*shown, *errors)) for row in rows]
    return max(1, sum(total <= budget for total in accumulate(sizes)))


def _load_row(row: RowPictures, indices: list[int]) -> list[dict[str, dict[int, Array]]] | None:
    """Predictions of a row at each of its offsets; None where a file of them is damaged."""
    try:
        return [_load(arrays, indices) for arrays in row.predictions]
    except DamagedRecordError:
        return None


def _load(arrays: KeptArrays, indices: list[int]) -> dict[str, dict[int, Array]]:
    """Predictions by task and clip; a clip that was not kept is missing."""
    places = {clip: place for place, clip in enumerate(arrays.clips)}
    return {name: {i: kept[places[i]] for i in indices if i in places} for name, kept in arrays.read().items()}


def _task_panel(
    task: Task,
    indices: list[int],
    raw: list[tuple[npt.NDArray[np.uint8], Mapping[str, Array]]],
    predictions: list[dict[str, dict[int, Array]]],
) -> TaskPanel:
    truths = [targets[task.name] for _, targets in raw]
    limits = depth_limits(truths) if task.name == "depth" else (0.0, 1.0)
    shown = [[p.get(task.name, {}).get(index) for p in predictions] for index in indices]
    errors = [
        [None if p is None else error_of(task, truth, p) for p in row] for truth, row in zip(truths, shown, strict=True)
    ]
    largest = largest_error(task, [error for row in errors for error in row if error is not None])
    rows = []
    for index, (frames, _), truth, ours, wrong in zip(indices, raw, truths, shown, errors, strict=True):
        cells = [
            png_uri(frames[-1].transpose(1, 2, 0)),
            png_uri(paint(task, truth, limits, annotated_pixels(task, truth))),
            *("" if p is None else png_uri(paint(task, p, limits)) for p in ours),
        ]
        maps = ["" if error is None else png_uri(paint_error(task, error, largest)) for error in wrong]
        rows.append((f"clip {index}", tuple(cells), tuple(maps)))
    title = short_title(task.name)
    return TaskPanel(title, _legend(task, limits), _error_legend(task, largest), tuple(rows))


def _error_legend(task: Task, largest: float) -> Legend:
    if task.name == "segmentation":
        names = (("right", RIGHT), ("wrong class", WRONG), ("not annotated", NOT_ANNOTATED))
        return Legend("", tuple((name, _hex(colour)) for name, colour in names))
    ramp = png_uri(paint_error(task, np.tile(np.linspace(0, largest, 256), (8, 1)), largest))
    if task.name == "normals":
        return Legend(
            "angle to the truth; larger ones have the last colour", (), ramp, ("0°", f"{largest:.0f}° and more")
        )
    digits = 2 if largest >= 0.1 else 4
    text = f"distance to the truth in {depth_unit(task)}; the last colour stands for the largest 5 % of all shown"
    return Legend(text, (), ramp, ("0", f"{largest:.{digits}f} and more"))


def _legend(task: Task, limits: Limits) -> Legend:
    if task.name == "segmentation":
        classes = [(name, _hex(colour)) for name, colour in zip(task.classes, task.colours, strict=True)]
        return Legend("", (*classes, ("not annotated", _hex(NOT_ANNOTATED))))
    if task.name == "depth":
        ramp = paint_depth(np.tile(np.linspace(*limits, 256), (8, 1)), limits)
        digits = 1 if limits[1] >= 1 else 3
        ticks = tuple(f"{x:.{digits}f}" for x in np.linspace(*limits, 3))
        return Legend(
            f"{depth_unit(task)}; one scale for all pictures: the range of the truth; grey: no truth",
            (),
            png_uri(ramp),
            ticks,
        )
    text = "a ball in these colours: red right, green up, blue towards the camera; grey: no truth"
    return Legend(text, (), png_uri(normals_ball(48)))


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + bytes(colour).hex()


def png_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """A data URI of `[H, W, 3 or 4]`; up to 256 colours are stored as a palette, which loses nothing."""
    step = -(-pixels.shape[1] // _WIDEST)
    shown = pixels[::step, ::step]
    return _encoded(shown.tobytes(), shown.shape)


@lru_cache(maxsize=512)
def _encoded(pixels: bytes, shape: tuple[int, int, int]) -> str:
    """Tables and figures show many of the same pictures, and each table a frame once a task."""
    shown, channels = np.frombuffer(pixels, np.uint8).reshape(shape), shape[2]
    numbers = np.zeros((*shown.shape[:2], 4), np.uint8)  # a pixel as one number: many times as fast to sort
    numbers[..., 4 - channels :] = shown
    colours, places = np.unique(numbers.view(">u4").ravel(), return_inverse=True)
    if channels == 3 and len(colours) <= 256:
        image = Image.fromarray(places.reshape(shown.shape[:2]).astype(np.uint8), "P")
        image.putpalette(colours.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes())
    else:
        image = Image.fromarray(shown)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
