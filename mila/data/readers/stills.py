"""Clips out of single images, for data sets without video around the annotated frame.

`still` repeats the image: the motion is zero. `pan` moves a window over it: seen backwards in time from the annotated
frame, which is the whole image, the window shrinks by `ZOOM` a frame and drifts in one direction, so that forwards the
camera backs off and pans. There is no parallax, and no pixel from outside the image is ever needed.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from mila.data.readers.checks import check_length
from mila.data.readers.images import Box, resize_rgb

StillMode = Literal["pan", "still"]

ZOOM = 0.98
"""Side of the window, relative to the next frame's."""

DRIFT = 0.8
"""How far the window's centre goes towards the farthest point that keeps it inside the image."""


def clip_from_still(
    image: Image.Image, length: int, height: int, width: int, *, mode: StillMode, identity: str
) -> npt.NDArray[np.uint8]:
    """A clip that ends at `image` in full.

    The frame k before the last one depends on `image`, the size, `identity` and k alone: not on `length`.

    Args:
        image: the annotated frame, RGB, at its original resolution.
        length: number of frames, at least 1.
        height: height of the frames, pixels.
        width: width of the frames, pixels.
        mode: `pan` or `still`.
        identity: name of the item; the direction of the pan is drawn from it.

    Returns:
        uint8 `[length, 3, height, width]`, the last frame the same in both modes.

    Raises:
        UserError: `length` is below 1.
    """
    check_length(length)
    last = resize_rgb(image, height, width)
    if mode == "still":
        return np.broadcast_to(last, (length, *last.shape)).copy()
    earlier = (
        resize_rgb(image, height, width, pan_box(image.width, image.height, age, identity))
        for age in range(length - 1, 0, -1)
    )
    return np.stack([*earlier, last])


def pan_box(width: int, height: int, age: int, identity: str) -> Box:
    """The window of the frame `age` frames before the annotated one, inside an image of `width` x `height` pixels."""
    side = ZOOM**age
    turn = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
    direction = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    left, top = ((1 - side) / 2 * (1 + DRIFT * d) for d in direction)
    return left * width, top * height, (left + side) * width, (top + side) * height
