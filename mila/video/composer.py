"""The picture of a frame: the frame and what the model says of it, side by side, or one task alone.

Keyframes have a badge and a border; other frames say how many frames before them the keyframe lies. What is the same in
all pictures of a video is drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mila.data.colours import Pixels
from mila.data.depth_scale import DepthScale
from mila.data.tools.canvas import BODY, MUTED, SMALL, Canvas, text_width
from mila.tasks import Suite, Task
from mila.video.panels import TITLES, draw_key, key_height, painted, resized_frame
from mila.video.predict import Prediction

KEYFRAME = (214, 93, 14)
"""RGB of the badge and the border of keyframes."""

BORDER = 4
"""Pixels of the border around the pictures of a keyframe."""

NARROWEST, LARGEST = 240, 960
"""Pixels: pictures are this wide at least; beside others, their longer side is this long at most."""

_MARGIN, _GAP, _HEADER, _TITLE, _KEY = 16, 16, 40, 26, 10
_SHAPE = 16 / 9  # of the whole picture, as nearly as the panels allow
_EMPTY = 0.3  # how bad an empty place in the grid is, beside the logarithm of how far its shape is from that


@dataclass(frozen=True)
class _Grid:
    """Where panels lie: their pictures are `height` x `width`, and each row has room for its tallest key."""

    height: int
    width: int
    columns: int
    keys: tuple[int, ...]
    titled: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole picture, even, as video codecs want it."""
        height = self._top(len(self.keys)) + _MARGIN // 2
        width = 2 * _MARGIN + self.columns * self.width + (self.columns - 1) * _GAP
        return height + height % 2, width + width % 2

    def _top(self, row: int) -> int:
        """Of a row."""
        title = _TITLE if self.titled else 0
        return _HEADER + row * (title + self.height + _KEY + _GAP // 2) + sum(self.keys[:row])

    def corner(self, number: int) -> tuple[int, int]:
        """(x, y) of the upper left corner of a panel's picture."""
        row, column = divmod(number, self.columns)
        x = _MARGIN + column * (self.width + _GAP)
        return x, self._top(row) + (_TITLE if self.titled else 0)


class Composer:
    """Draws the pictures of a video.

    Args:
        suite: the tasks, with their colours.
        shown: names of the panels in order: `input`, and tasks.
        size: height and width of the video's frames.
        interval: the model's K; where it is 1, keyframes are not marked.
        title: over the picture, what the model is.
    """

    def __init__(self, suite: Suite, shown: Sequence[str], size: tuple[int, int], interval: int, title: str) -> None:
        self._tasks: list[Task | None] = [None if name == "input" else suite.task(name) for name in shown]
        self._interval, self._title = interval, title
        self._grid = _grid(self._tasks, size)
        self._base: tuple[DepthScale | None, Image.Image] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures, both even."""
        return self._grid.size

    def compose(self, prediction: Prediction, scale: DepthScale | None) -> Pixels:
        """The picture `[height, width, 3]` of a frame; depth has the colours of `scale`."""
        canvas = Canvas(*self.size)
        canvas.image.paste(self._drawn_base(scale))
        grid, is_marked = self._grid, prediction.offset == 0 and self._interval > 1
        frame = resized_frame(prediction.frame.pixels, grid.height, grid.width)
        for number, task in enumerate(self._tasks):
            x, y = grid.corner(number)
            if is_marked:
                edges = (x - BORDER, y - BORDER, x + grid.width + BORDER - 1, y + grid.height + BORDER - 1)
                ImageDraw.Draw(canvas.image).rectangle(edges, outline=KEYFRAME, width=BORDER)
            pixels = frame if task is None else painted(task, prediction, frame, scale)
            canvas.image.paste(Image.fromarray(pixels), (x, y))
        self._draw_header(canvas, prediction)
        return _pixels(canvas.image)

    def _drawn_base(self, scale: DepthScale | None) -> Image.Image:
        """What all pictures share, as long as the scale of depth holds still."""
        if self._base is None or self._base[0] != scale:
            grid, canvas = self._grid, Canvas(*self.size)
            for number, task in enumerate(self._tasks):
                x, y = grid.corner(number)
                if grid.titled:
                    canvas.text(x, y - _TITLE + 2, "Input" if task is None else TITLES[task.name], bold=True)
                if task is not None:
                    draw_key(canvas, x, y + grid.height + _KEY, grid.width, task, scale)
            self._base = (scale, canvas.image)
        return self._base[1]

    def _draw_header(self, canvas: Canvas, prediction: Prediction) -> None:
        """Title, frame and time, and which frame of the keyframe interval it is, as far as there is room."""
        y, right = 11, self.size[1] - _MARGIN
        words = f"frame {prediction.number}  ·  {float(prediction.frame.time):.2f} s"
        right = self._draw_badge(canvas, right, y, prediction.offset) if self._interval > 1 else right
        if right - text_width(words, SMALL) >= _MARGIN:
            canvas.text(right, y + 1, words, size=SMALL, colour=MUTED, anchor="r")
            right -= text_width(words, SMALL) + _GAP
        title = self._title if self._grid.titled else TITLES[self._only.name]
        while title and text_width(title) * 1.12 > right - _MARGIN:  # bold letters are wider
            title = "" if len(title) < 6 else title[:-2].rstrip("… ") + "…"
        canvas.text(_MARGIN, y, title, size=BODY, bold=True)

    @property
    def _only(self) -> Task:
        task = self._tasks[0]
        assert task is not None
        return task

    def _draw_badge(self, canvas: Canvas, right: int, y: int, offset: int) -> int:
        """Keyframe, or the offset; returns where the room to its left ends. Its width is always the same."""
        width = max(text_width("keyframe", SMALL), text_width(f"offset {self._interval - 1}", SMALL)) + 16
        middle = right - width // 2
        if offset == 0:
            ImageDraw.Draw(canvas.image).rounded_rectangle((right - width, y - 3, right, y + 20), 6, fill=KEYFRAME)
            canvas.text(middle, y + 1, "keyframe", size=SMALL, colour=(255, 255, 255), anchor="m")
        else:
            ImageDraw.Draw(canvas.image).rounded_rectangle((right - width, y - 3, right, y + 20), 6, outline=MUTED)
            canvas.text(middle, y + 1, f"offset {offset}", size=SMALL, colour=MUTED, anchor="m")
        return right - width - _GAP


def _pixels(image: Image.Image) -> Pixels:
    """An RGB image as `[H, W, 3]`."""
    return np.asarray(image, np.uint8)


def _grid(panels: Sequence[Task | None], size: tuple[int, int]) -> _Grid:
    """The grid whose whole is nearest to `_SHAPE`, with few empty places."""
    largest = LARGEST if len(panels) > 1 else max(size)
    times = max(min(largest / max(size), 1.0), NARROWEST / size[1])
    height, width = (max(round(side * times), 1) for side in size)
    keys = [0 if task is None else key_height(task, width) for task in panels]

    def grid(columns: int) -> _Grid:
        rows = tuple(max(keys[start : start + columns]) for start in range(0, len(keys), columns))
        return _Grid(height, width, columns, rows, titled=len(panels) > 1)

    def badness(grid: _Grid) -> float:
        empty = grid.columns * len(grid.keys) - len(panels)
        return abs(math.log(grid.size[1] / grid.size[0] / _SHAPE)) + _EMPTY * empty

    return min((grid(columns) for columns in range(1, len(panels) + 1)), key=badness)
