"""Text, pictures and lines on a white image, for contact sheets and animations."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mila.data.colours import Pixels

Colour = tuple[int, int, int]

BODY, SMALL, LARGE = 16, 14, 26
"""Sizes of type, pixels."""

LINE = 22
"""From line to line, pixels."""

SWATCH = 22
"""From the left of a colour's square to its name, pixels."""

INK, MUTED, ALARM, RULE = (28, 28, 30), (104, 104, 108), (170, 30, 30), (208, 208, 212)
"""Colours of text, of notes beside it, of what is wrong, and of lines."""


class Canvas:
    """Draws on a white image of `height` x `width` pixels.

    Attributes:
        image: what is drawn so far, RGB.
    """

    def __init__(self, height: int, width: int) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: int,
        y: int,
        text: str,
        *,
        size: int = BODY,
        bold: bool = False,
        colour: Colour = INK,
        anchor: str = "l",
    ) -> int:
        """A line of text whose top is at `y`; returns where it ends to the right.

        Args:
            x: of the text's left end, middle or right end, by `anchor`.
            y: of the top of the tallest letters.
            text: what it says.
            size: of the type, pixels.
            bold: whether the letters are bold.
            colour: of the letters.
            anchor: `l`, `m` or `r`.
        """
        font = _font(size, bold)
        self._draw.text((x, y), text, colour, font, anchor=f"{anchor}a")
        return x + math.ceil(font.getlength(text))

    def picture(self, x: int, y: int, pixels: Pixels) -> None:
        """RGB `[H, W, 3]`, unchanged, its upper left pixel at (x, y), with a thin line around it."""
        height, width = pixels.shape[:2]
        self._draw.rectangle((x - 1, y - 1, x + width, y + height), outline=RULE)
        self.image.paste(Image.fromarray(np.ascontiguousarray(pixels)), (x, y))

    def swatch(self, x: int, y: int, colour: Colour, name: str) -> None:
        """A square of a colour and its name, as high as a line."""
        self._draw.rectangle((x - 1, y + 1, x + 14, y + 16), fill=colour, outline=RULE)
        self.text(x + SWATCH, y, name, size=SMALL)

    def rule(self, y: int, margin: int) -> None:
        """A thin line from margin to margin."""
        self._draw.line((margin, y, self.image.width - margin, y), fill=RULE)


def text_width(text: str, size: int = BODY) -> int:
    """Of a line of text, pixels."""
    return math.ceil(_font(size, bold=False).getlength(text))


def wrapped(text: str, width: int) -> list[str]:
    """Body text in lines of `width` pixels at most, broken after a space, `_`, `/` or `,` where there is one."""
    lines = [""]
    for word in re.split(r"(?<=[ _/,])", text):
        for part in [word] if text_width(word) <= width else list(word):
            if lines[-1] and text_width(lines[-1] + part) > width:
                lines.append("")
            lines[-1] += part
    return lines


@lru_cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings along."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
