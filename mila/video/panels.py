"""One task's prediction as a picture, and the key to its colours."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from mila.data.colours import Pixels, depth_unit, normals_ball, paint
from mila.data.depth_scale import DepthScale
from mila.data.readers.images import nearest
from mila.data.tools.canvas import LINE, MUTED, SMALL, SWATCH, Canvas, text_width
from mila.tasks import Task
from mila.video.predict import Prediction

TITLES = {"segmentation": "Segmentation", "depth": "Depth", "normals": "Surface normals"}
"""Of the tasks that are shown."""

OPACITY = 0.6
"""Of the colours of classes over the frame."""

_BAR, _BALL, _GAP = 300, 66, 16
_BAR_HEIGHT = 12


def resized_frame(pixels: Pixels, height: int, width: int) -> Pixels:
    """RGB `[H, W, 3]` in another size: averaged where it shrinks, smooth where it grows."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def painted(task: Task, prediction: Prediction, frame: Pixels, scale: DepthScale | None) -> Pixels:
    """A task's prediction in its usual colours, in the size of `frame`; classes are blended over it.

    Args:
        task: segmentation, depth or normals.
        prediction: of one frame, in its own size.
        frame: the frame `[height, width, 3]` in the size of the picture.
        scale: of depth; other tasks need none.
    """
    height, width = frame.shape[:2]
    values = prediction.tasks[task.name]
    shrinks = height <= values.shape[-2] and width <= values.shape[-1]
    if shrinks or task.name == "segmentation":
        values = nearest(values, height, width)
    if task.name == "depth":
        assert scale is not None
        rgb = scale.paint(values[0])
    else:
        rgb = paint(task, values, (0.0, 1.0))
    if task.name == "segmentation":
        return np.asarray(Image.blend(Image.fromarray(frame), Image.fromarray(rgb), OPACITY))
    return rgb if shrinks else resized_frame(rgb, height, width)


def key_height(task: Task, width: int) -> int:
    """Of the key to a task, in pixels, where the picture is `width` pixels wide."""
    if task.name == "segmentation":
        return LINE * _class_grid(task, width)[1]
    return _BALL + 6 if task.name == "normals" else _BAR_HEIGHT + 6 + 2 * LINE


def draw_key(canvas: Canvas, x: int, y: int, width: int, task: Task, scale: DepthScale | None) -> None:
    """The key to a task's colours, `width` pixels wide, from (x, y)."""
    if task.name == "segmentation":
        _, lines, step = _class_grid(task, width)
        for index, (name, colour) in enumerate(zip(task.classes, task.colours, strict=True)):
            column, line = divmod(index, lines)
            canvas.swatch(x + column * step, y + line * LINE, colour, name)
    elif task.name == "depth":
        assert scale is not None
        _draw_bar(canvas, x, y, min(width, _BAR), task, scale)
    else:
        ball = Image.fromarray(normals_ball(4 * _BALL)).resize((_BALL, _BALL), Image.Resampling.LANCZOS)
        canvas.image.paste(ball, (x, y), ball)
        words = ("red: to the right", "green: up", "blue: to the camera")
        for number, words_of_line in enumerate(words):
            canvas.text(x + _BALL + _GAP, y + 2 + number * (LINE - 1), words_of_line, size=SMALL, colour=MUTED)


def _class_grid(task: Task, width: int) -> tuple[int, int, int]:
    """Columns and lines of the names of the classes, and pixels from column to column."""
    widest = max(text_width(name, SMALL) for name in task.classes) + SWATCH + _GAP
    columns = min(max(width // widest, 1), len(task.classes))
    lines = math.ceil(len(task.classes) / columns)
    columns = math.ceil(len(task.classes) / lines)
    return columns, lines, min(width // columns, widest + _GAP)


def _draw_bar(canvas: Canvas, x: int, y: int, width: int, task: Task, scale: DepthScale) -> None:
    canvas.picture(x, y + 2, scale.bar(_BAR_HEIGHT, width))
    for share, anchor in ((0.0, "l"), (0.5, "m"), (1.0, "r")):
        place = x + round(share * width)
        canvas.text(place, y + _BAR_HEIGHT + 6, f"{scale.value(share):.{scale.digits}f}", size=SMALL, anchor=anchor)
    unit = depth_unit(task)
    words = "metres" if unit == "m" else f"{unit}, larger is nearer"
    words += ", logarithmic" if scale.logarithmic else ""
    canvas.text(x, y + _BAR_HEIGHT + 4 + LINE, words, size=SMALL, colour=MUTED)
