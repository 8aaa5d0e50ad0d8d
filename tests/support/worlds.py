"""Videos of the worlds for tests, and the projections written out once more."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from mila.data.worlds.rendering import Frame, Video, render_video
from mila.tasks import CITYSCAPES, NYUV2

WORLDS = ("street", "rooms")
SIZES = {"street": (72, 144), "rooms": (72, 96)}
SUITES = {"street": CITYSCAPES, "rooms": NYUV2}
CLIPS = range(8)


@cache
def video(world: Any, clip: int) -> Video:
    return render_video(world, "val", 3, clip, 2, *SIZES[world])


def back_project(frame: Frame, camera: Any) -> Any:
    """Camera-frame points [3, H, W] of the depth; the sky's are at depth 1."""
    height, width = frame.depth.shape
    i, j = np.mgrid[:height, :width]
    z = np.where(np.isfinite(frame.depth), frame.depth, 1).astype(np.float64)
    return np.stack([(j - camera.cx) / camera.fx * z, (i - camera.cy) / camera.fy * z, z])


def reproject(clip: Video) -> tuple[Any, Any]:
    """Image coordinates [2, H, W] and depth in frame 1 of frame 0's points, as if nothing had moved but the camera."""
    frame, now, then = clip.frames[0], clip.cameras[0], clip.cameras[1]
    local = back_project(frame, now)
    world = np.einsum("ij,jhw->ihw", now.rotation, local)
    shift = (now.position - then.position)[:, None, None]
    world = np.where(np.isfinite(frame.depth), world + shift, world)
    x, y, z = np.einsum("ji,jhw->ihw", then.rotation, world)
    return np.stack([then.fx * x / z + then.cx, then.fy * y / z + then.cy]), z


def moving_mask(clip: Video, frame: Frame) -> Any:
    return np.isin(frame.surface, list(clip.moving))


def same_neighbours(surface: Any) -> Any:
    """Interior pixels whose 3 x 3 neighbours all show the same surface [H - 2, W - 2]."""
    middle, (height, width) = surface[1:-1, 1:-1], surface.shape
    return np.all(
        [surface[a : height - 2 + a, b : width - 2 + b] == middle for a in range(3) for b in range(3)], axis=0
    )


def bilinear(image: Any, x: Any, y: Any) -> Any:
    """Samples [C, N] of an image [C, H, W] at coordinates inside it."""
    height, width = image.shape[-2:]
    j, i = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    a, b = x - j, y - i
    top = image[:, i, j] * (1 - a) + image[:, i, j + 1] * a
    low = image[:, i + 1, j] * (1 - a) + image[:, i + 1, j + 1] * a
    return top * (1 - b) + low * b
