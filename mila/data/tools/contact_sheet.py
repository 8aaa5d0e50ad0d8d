"""A contact sheet: some clips of a split as one PNG, to see with one's own eyes what a data set holds.

A row is a clip: its first frame, the annotated one, and each target in its usual colours (`mila.data.colours`), with
the key to them below its column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from PIL import Image

from mila.common.files import write_atomic
from mila.data.clips import Clip, ClipSource
from mila.data.colours import (
    NOT_ANNOTATED,
    Pixels,
    annotated_pixels,
    depth_limits,
    depth_unit,
    normals_ball,
    paint,
)
from mila.data.depth_scale import DepthScale
from mila.data.readers.images import nearest
from mila.data.tools.canvas import ALARM, LARGE, LINE, MUTED, SMALL, SWATCH, Canvas, text_width, wrapped
from mila.errors import UserError
from mila.tasks import Task

LENGTH = 5
"""Frames of the clips that are shown, where the source has as many: a keyframe interval of the paper."""

SHARE = 0.98
"""Of the depth shown, what the scale covers: metres from disparity have no end."""

_PANEL = 384  # pixels, the longer side of a picture at most
_COLUMN = 300  # pixels, a column at least, for the key to it
_NAME = 208  # pixels, the names of the clips at most
_MARGIN, _GAP, _BALL = 48, 16, 96
_MANY = 24  # classes
_TITLES = {"segmentation": "Segmentation", "depth": "Depth", "normals": "Surface normals"}
_DATA_SETS = {"nyuv2": "NYUd v2", "cityscapes": "Cityscapes"}


@dataclass(frozen=True)
class _Row:
    """A clip, or why there is none."""

    name: str
    clip: Clip | None
    problem: str = ""


def contact_sheet(
    source: ClipSource, path: Path, rows: int = 6, *, length: int | None = None, title: str | None = None
) -> None:
    """Draw clips of `source`, evenly spread over it, into a PNG.

    All depth has one scale, which leaves out the nearest and the farthest percent. A clip that cannot be read has a row
    that says why.

    Args:
        source: the clips.
        path: where the PNG goes; takes the place of a file that is there.
        rows: how many clips, fewer where the source has fewer.
        length: frames a clip; by default `LENGTH`, or as many as the source has.
        title: the heading; by default the data set and the split.

    Raises:
        UserError: `rows` is below 1, the source has no clips of `length`, or the file cannot be written.
    """
    if rows < 1:
        raise UserError(f"A contact sheet of {rows} clips is not possible; ask for 1 or more.")
    length = _longest(source) if length is None else length
    source.check(length, [])
    chosen = np.linspace(0, len(source) - 1, min(rows, len(source))).round().astype(int).tolist()
    image = _draw(source, [_row(source, index, length) for index in chosen], length, title or _title(source))
    try:
        write_atomic(path, lambda file: image.save(file, format="PNG", optimize=True))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); free space there, or choose a folder that this "
            "user may write to."
        ) from error


def _longest(source: ClipSource) -> int:
    for length in range(LENGTH, 1, -1):
        try:
            source.check(length, [])
        except UserError:
            continue
        return length
    return 1


def _row(source: ClipSource, index: int, length: int) -> _Row:
    name = _name(source, index)
    try:
        return _Row(name, source.clip(index, length))
    except UserError as error:
        return _Row(name, None, str(error))


def _name(source: ClipSource, index: int) -> str:
    """What the names of the item's last two images begin with alike, or the clip's number."""
    stems = [path.stem for path in source.files(index) if path.suffix in (".png", ".jpg", ".npy")]
    same = takewhile(lambda letters: letters[0] == letters[1], zip(*stems[-2:], strict=False))
    return "".join(letters[0] for letters in same).strip("_") or f"clip {index}"


def _title(source: ClipSource) -> str:
    about = source.manifest()
    name = next((name for key, name in _DATA_SETS.items() if about.get("dataset", "").startswith(key)), None)
    return f"{name or 'Embedded world ' + about['world']}, {about['split']}"


def _subtitle(source: ClipSource, rows: int) -> str:
    spread = f"{rows} of {len(source)} clips, evenly spread" if rows < len(source) else f"{rows} of {rows} clips"
    mode = getattr(source, "mode", "video")  # a world has no other
    return f"{spread}  ·  mode {mode}  ·  {source.height} × {source.width} pixels (height × width)"


@dataclass(frozen=True)
class _Grid:
    """Where the pictures lie: `height` x `width` pixels each, columns `step` pixels apart, the first row at `top`."""

    height: int
    width: int
    step: int
    columns: list[int]
    top: int

    def row(self, place: int) -> int:
        """Top of row `place`."""
        return self.top + place * (self.height + _GAP)


def _grid(source: ClipSource, names: Sequence[Sequence[str]], columns: int) -> _Grid:
    times = min(_PANEL / source.height, _PANEL / source.width)
    times = math.floor(times) if times >= 1 else times
    height, width = max(round(source.height * times), 1), max(round(source.width * times), 1)
    left = _MARGIN + max(text_width(line) for lines in names for line in lines) + 2 * _GAP
    step = max(width, _COLUMN) + _GAP
    return _Grid(height, width, step, [left + place * step for place in range(columns)], _MARGIN + 124)


def _draw(source: ClipSource, rows: Sequence[_Row], length: int, title: str) -> Image.Image:
    tasks = source.suite.tasks
    headings = [("Annotated frame", ""), *((_TITLES[task.name], _unit(task)) for task in tasks)]
    if length > 1:
        headings.insert(0, ("First frame", f"{length - 1} frame{'s' if length > 2 else ''} before"))
    names = [wrapped(row.name, _NAME) for row in rows]
    grid = _grid(source, names, len(headings))
    bottom = grid.row(len(rows))
    longest_key = LINE * (12 + max(len(task.classes) for task in tasks))
    canvas = Canvas(bottom + longest_key, grid.columns[-1] + grid.step - _GAP + _MARGIN)

    canvas.text(_MARGIN, _MARGIN - 6, title, size=LARGE, bold=True)
    canvas.text(_MARGIN, _MARGIN + 34, _subtitle(source, len(rows)), colour=MUTED)
    canvas.rule(_MARGIN + 68, _MARGIN)
    for x, (heading, unit) in zip(grid.columns, headings, strict=True):
        end = canvas.text(x, grid.top - 32, heading, bold=True)
        canvas.text(end + 8, grid.top - 30, unit, size=SMALL, colour=MUTED)
    scale = _scale([row.clip for row in rows if row.clip is not None], tasks)
    for place, row in enumerate(rows):
        for number, line in enumerate(names[place]):
            canvas.text(_MARGIN, grid.row(place) + number * LINE, line)
        _draw_row(canvas, grid, grid.row(place), row, tasks, scale)
    canvas.rule(bottom, _MARGIN)
    keys = zip(grid.columns[-len(tasks) :], tasks, strict=True)
    end = max(_draw_key(canvas, x, bottom + 18, grid.step - _GAP, task, scale) for x, task in keys)
    return canvas.image.crop((0, 0, canvas.image.width, end + _MARGIN))


def _draw_row(canvas: Canvas, grid: _Grid, y: int, row: _Row, tasks: Sequence[Task], scale: DepthScale) -> None:
    """The pictures of a clip, or why there are none."""
    if row.clip is None:
        for number, line in enumerate(wrapped(row.problem, len(grid.columns) * grid.step - _GAP)):
            canvas.text(grid.columns[0], y + number * LINE, line, colour=ALARM)
        return
    pictures = _pictures(row.clip, tasks, scale, grid.height, grid.width)
    for x, (pixels, empty) in zip(grid.columns, pictures, strict=True):
        canvas.picture(x, y, pixels)
        if empty:
            middle = (x + grid.width // 2, y + grid.height // 2 - 8)
            canvas.text(*middle, "not annotated", colour=(255, 255, 255), anchor="m")


def _unit(task: Task) -> str:
    if task.name == "segmentation":
        return f"{len(task.classes)} classes"
    return depth_unit(task) if task.name == "depth" else "unit vectors"


def _scale(clips: Sequence[Clip], tasks: Sequence[Task]) -> DepthScale:
    """One for the depth of all clips."""
    low, high = depth_limits([clip.targets["depth"] for clip in clips if "depth" in clip.targets], SHARE)
    depth = next((task for task in tasks if task.name == "depth"), None)
    return DepthScale(low, high, logarithmic=False) if depth is None else DepthScale.of(depth, low, high)


def _pictures(
    clip: Clip, tasks: Sequence[Task], scale: DepthScale, height: int, width: int
) -> Iterator[tuple[Pixels, bool]]:
    """RGB `[height, width, 3]` of each column, and whether nothing of it is annotated."""
    for frame in clip.frames[[0, -1]] if len(clip.frames) > 1 else clip.frames:
        image = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
        how = Image.Resampling.NEAREST if height > image.height else Image.Resampling.LANCZOS
        yield np.asarray(image.resize((width, height), how)), False
    for task in tasks:
        truth = clip.targets[task.name]
        annotated = annotated_pixels(task, truth)
        rgb = paint(task, scale.place(truth) if task.name == "depth" else truth, scale.limits, annotated)
        yield nearest(rgb.transpose(2, 0, 1), height, width).transpose(1, 2, 0), not annotated.any()


def _draw_classes(canvas: Canvas, x: int, y: int, room: int, task: Task) -> int:
    """The colours of the classes in two columns, or three where they are many and `room` suffices; returns the end."""
    entries = [*zip(task.classes, task.colours, strict=True), ("not annotated", NOT_ANNOTATED)]
    for count in (3, 2) if len(entries) > _MANY else (2,):
        lines = math.ceil(len(entries) / count)
        columns = [entries[start : start + lines] for start in range(0, len(entries), lines)]
        widths = [max(text_width(name, SMALL) for name, _ in column) + SWATCH + _GAP for column in columns]
        widths = [max(width, _COLUMN // count) for width in widths]
        if sum(widths) <= room + _GAP:
            break
    for column, width in zip(columns, widths, strict=True):
        for line, (name, colour) in enumerate(column):
            canvas.swatch(x, y + line * LINE, colour, name)
        x += width
    return y + lines * LINE


def _draw_key(canvas: Canvas, x: int, y: int, room: int, task: Task, scale: DepthScale) -> int:
    """How to read the colours of a task, in `room` pixels from `x`; returns where it ends."""
    if task.name == "segmentation":
        return _draw_classes(canvas, x, y, room, task)
    if task.name == "depth":
        canvas.picture(x, y + 2, scale.bar(14, _COLUMN))
        for share, anchor in ((0.0, "l"), (0.5, "m"), (1.0, "r")):
            canvas.text(
                x + round(share * _COLUMN), y + 22, f"{scale.value(share):.{scale.digits}f}", size=SMALL, anchor=anchor
            )
        unit = depth_unit(task)
        words = (
            "metres;" if unit == "m" else f"{unit}, larger is nearer;",
            f"one {'logarithmic' if scale.logarithmic else 'linear'} scale for all clips;",
            "1 % of the pixels lie beyond either end",
        )
        for number, line in enumerate(words):
            canvas.text(x, y + 46 + number * LINE, line, size=SMALL, colour=MUTED)
        y += 46 + len(words) * LINE
    else:
        ball = Image.fromarray(normals_ball(4 * _BALL)).resize((_BALL, _BALL), Image.Resampling.LANCZOS)
        canvas.image.paste(ball, (x, y), ball)
        words = ("A ball in these colours:", "red is right, green is up,", "blue is towards the camera")
        for number, line in enumerate(words):
            canvas.text(x + _BALL + _GAP, y + 14 + number * LINE, line, size=SMALL, colour=MUTED)
        y += _BALL + 12
    canvas.swatch(x, y, NOT_ANNOTATED, "not annotated")
    return y + LINE
