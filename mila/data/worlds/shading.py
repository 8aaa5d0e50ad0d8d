"""Shading: normals, textures and light of the surfaces that the rays met.

Nothing here depends on where the camera is but the filter of the textures (fine patterns fade where a pixel covers
them) and the facing of the normals, so a surface point keeps its brightness from frame to frame.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mila.common.types import Array
from mila.data.worlds.ray_casting import View, bounds
from mila.data.worlds.runs import Runs, runs_of
from mila.data.worlds.scene import BOX, CYLINDER, Scene
from mila.data.worlds.textures import Covered, Textures, value_noise
from mila.data.worlds.windows import spans_of, windows

_REACH = 0.35  # metres that a contact shadow reaches around what casts it
_POINTS = 8192
"""So many points are shaded at once, as their numbers stay in the processor's cache."""


def shade(scene: Scene, view: View, surface: Array, depth: Array) -> tuple[Array, Array]:
    """Normals and colours of what `ray_casting.cast` found.

    Args:
        scene: the scene.
        view: the view that was cast.
        surface: int32 `[H, W]`, from `ray_casting.cast`.
        depth: float32 `[H, W]`, likewise.

    Returns:
        Unit normals float32 `[3, H, W]` in the camera frame that face the camera (0 where there is no surface), and
        colours float32 `[3, H, W]` in 0..1.
    """
    (height, width), count, lights = surface.shape, surface.size, scene.lights
    world, colour = np.empty((3, count), np.float32), np.empty((3, count), np.float32)
    light, left = np.empty(count, np.float32), np.empty(count, np.float32)
    rays, poses = _Rays.of(view, height, width), _Poses(scene, view)
    textures, contacts = Textures(scene), _Contacts(scene, view, height, width)
    rows = max(_POINTS // width, 1)
    bands = []
    for first in range(0, height, rows):
        last = min(first + rows, height)
        band, found = slice(first * width, last * width), surface[first:last].ravel()
        ray, runs = rays.rows(first, last), runs_of(found)
        point, normal, covers = poses.points(ray, found, runs, depth[first:last].ravel(), rays.scale)
        world[:, band] = normal
        colour[:, band] = textures.colour(covers)
        light[band] = _light(scene, point, normal)
        np.subtract(1, contacts.lost(first, last, point), out=left[band])
        sky = np.flatnonzero(found < 0)
        if sky.size and scene.sky is not None:
            colour[:, first * width + sky] = _sky(scene.sky, ray.take(sky, 1), rays.scale)
        bands.append((band, runs, sky))
    # products with matrices are of the whole image, as those of a part of it may be rounded otherwise
    normals = (view.camera.rotation.astype(np.float32).T @ world).reshape(3, height, width)
    sun = np.array(lights.direction, np.float32) @ world
    for band, runs, sky in bands:
        total = np.maximum(sun[band], 0)
        total *= lights.directional
        total += light[band]
        total *= left[band]
        if textures.glow.any():
            total += (1 - total) * runs.spread(textures.glow)
        for channel, tint in zip(colour[:, band], lights.tint, strict=True):
            gain = total * np.float32(tint)
            if scene.sky is not None:
                gain[sky] = 1  # the light of the sky is its own
            channel *= gain
            np.maximum(channel, 0, out=channel)
            np.minimum(channel, 1, out=channel)
    return normals, colour.reshape(3, height, width)


class _Rays(NamedTuple):
    """Directions of the rays through the pixel centres in the world, as sums of a row's and a column's part.

    Attributes:
        row: float64 `[3, H]`.
        column: float64 `[3, W]`.
        scale: a pixel's size at depth 1.
    """

    row: Array
    column: Array
    scale: Any

    @classmethod
    def of(cls, view: View, height: int, width: int) -> _Rays:
        """The rays of a view."""
        camera = view.camera
        dx, dy = camera.rays(height, width)
        row = np.stack([r[1] * dy + r[2] for r in camera.rotation])
        column = np.stack([r[0] * dx for r in camera.rotation])
        return cls(row, column, np.float32(2 / (camera.fx + camera.fy)))

    def rows(self, first: int, last: int) -> Array:
        """The rays of some rows, float32 `[3, N]`."""
        ray = self.row[:, first:last, None] + self.column[:, None]
        return ray.astype(np.float32).reshape(3, -1)


def _sum(parts: Array) -> Array:
    """Sum `[..., N]` of three parts `[3, ..., N]`, added from the first to the last."""
    total: Array = np.add.reduce(parts, 0)
    return total


class _Poses:
    """Where the primitives are, in single precision, one row a number."""

    def __init__(self, scene: Scene, view: View) -> None:
        parts = (view.rotation.reshape(-1, 9), view.camera.position - view.centre, scene.half, view.centre)
        self._rows = np.ascontiguousarray(np.concatenate(parts, 1).T.astype(np.float32))
        self._curved, self._tube = scene.shape != BOX, scene.shape == CYLINDER

    def points(self, ray: Array, found: Array, runs: Runs, depth: Array, scale: Any) -> tuple[Array, Array, Covered]:
        """The points that rays meet, normals there that face the camera, both float32 `[3, N]`, and their surfaces.

        Args:
            ray: float32 `[3, N]`.
            found: which primitive each of them meets `[N]`; where it is -1, the normal is 0.
            runs: the runs of `found`.
            depth: float32 `[N]`, where.
            scale: a pixel's size at depth 1.
        """
        none = np.flatnonzero(found < 0)
        if none.size:
            depth = depth.copy()
            depth[none] = 1
        pose = runs.spread(self._rows)
        turn, half, point = pose[:9].reshape(3, 3, -1), pose[12:15], pose[15:18]
        offset = depth * ray
        offset += pose[9:12]
        point += offset
        local, inward = _along(turn, offset), _along(turn, ray)
        unit = local / half
        normal, face = _entered(unit, inward)
        u, v = np.where(face[0], local[2], local[0]), np.where(face[1], local[2], local[1])
        size = np.where(face[0], half[2], half[0]), np.where(face[1], half[2], half[1])
        curved = runs.those(self._curved, most=1)
        if curved is not None:
            some, theirs = curved
            tube = theirs.spread(self._tube)
            parts = (part[:, some] for part in (local, unit, half))
            normal[:, some], u[some], v[some] = _rounded(tube, *parts)
        world = _along(turn.swapaxes(0, 1), normal)
        facing = _face(world, ray)
        world[:, none] = 0
        footprint = depth * scale
        footprint /= np.maximum(facing, np.float32(0.12), out=facing)
        return point, world, Covered(runs, u, v, size, footprint)


def _along(matrix: Array, vector: Array) -> Array:
    """Products with the rows of matrices `[3, 3, N]` of vectors `[3, N]`: the sum over the first of the two axes."""
    product: Array = matrix[0] * vector[0]
    product += matrix[1] * vector[1]
    product += matrix[2] * vector[2]
    return product


def _entered(unit: Array, inward: Array) -> tuple[Array, Array]:
    """Of boxes: normals `[3, N]` in their frames, and whether it is the first, second or third axis, bool `[3, N]`.

    Args:
        unit: points on the unit box, float32 `[3, N]`.
        inward: the rays that enter there, float32 `[3, N]`.
    """
    against = np.sign(inward)
    np.negative(against, out=against)
    first, second, third = np.maximum(unit * against, 0)
    face = np.empty(unit.shape, bool)
    np.logical_and(first >= second, first >= third, out=face[0])
    np.greater(second >= third, face[0], out=face[1])
    np.logical_not(face[0] | face[1], out=face[2])
    against *= face
    return against, face


def _rounded(tube: Array, p: Array, q: Array, h: Array) -> tuple[Array, Array, Array]:
    """Of ellipsoids and cylinders: normals `[3, N]` in their frames and surface coordinates u, v `[N]`.

    Args:
        tube: bool `[N]`, whether it is a cylinder.
        p: float32 `[3, N]`, the points in the primitives' frames in metres.
        q: the points in the unit frames.
        h: half the primitives' sizes.
    """
    cap = tube & (np.abs(q[1]) > np.hypot(q[0], q[2]))
    n = q / h
    n[1, tube] = 0
    n[0, cap] = n[2, cap] = 0
    n[1, cap] = np.sign(q[1, cap])
    u = np.where(cap, p[0], np.arctan2(q[0], q[2]) * (h[0] + h[2]) / 2)
    return n / np.sqrt(_sum(n * n)), u, np.where(cap, p[2], p[1])


def _face(normal: Array, ray: Array) -> Array:
    """Make rounded normals at silhouettes face the camera, in place; the cosine to the ray."""
    length = np.sqrt(_sum(ray * ray))
    cosine: Array = -_sum(normal * ray) / length
    wrong = np.flatnonzero(cosine < 1e-3)
    if wrong.size:
        direction = ray[:, wrong] / length[wrong]
        fixed = normal[:, wrong] + direction * (cosine[wrong] - np.float32(2e-3))
        normal[:, wrong] = fixed / np.sqrt(_sum(fixed * fixed))
    return cosine


def _light(scene: Scene, point: Array, normal: Array) -> Array:
    """Light `[N]` from everywhere and from the lamp on points `[3, N]` with normals `[3, N]`."""
    lights = scene.lights
    total: Array = lights.ambient * (1 - np.float32(0.18) * normal[1])
    if lights.point:
        towards = np.array(lights.lamp, np.float32)[:, None] - point
        distance = np.sqrt(_sum(towards * towards)) + np.float32(1e-3)
        lamp = np.maximum(_sum(towards * normal) / distance, 0) / (1 + distance * distance * np.float32(0.04))
        total += lights.point * lamp
    return total


class _Contacts:
    """The shadows around what stands on a surface, each in a window of the image."""

    def __init__(self, scene: Scene, view: View, height: int, width: int) -> None:
        cast = np.flatnonzero(scene.contact > 0)
        size, boxy = scene.half[cast].copy(), scene.shape[cast] == BOX
        base = view.centre[cast] + size * (0.0, 1.0, 0.0)
        size[~boxy] *= 0.5  # round things touch the ground in less than their outline
        yaw = np.where(boxy, np.arctan2(view.rotation[cast, 0, 2], view.rotation[cast, 0, 0]), 0)
        c, s, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))
        turn = np.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], 1).reshape(-1, 3, 3)
        reach = size * (1.0, 0.0, 1.0) + (_REACH, 0.03, _REACH)
        self._width = width
        self._windows = windows(bounds(view.camera, turn, base, reach), height, width)
        numbers = np.column_stack([base, size[:, 0], size[:, 2], c, s, scene.contact[cast]])
        self._numbers = numbers[self._windows[:, 0]].T.astype(np.float32)

    def lost(self, first: int, last: int, point: Array) -> Array:
        """How much of the light is lost `[N]` at the points `[3, N]` of the rows from `first` to before `last`."""
        lost = np.zeros(point.shape[1], np.float32)
        inside = self._windows.copy()
        inside[:, 1:3] = np.clip(inside[:, 1:3], first, last) - first
        here = np.flatnonzero(inside[:, 1] < inside[:, 2])
        if here.size == 0:
            return lost
        spans = spans_of(inside[here], self._width)
        window, (px, py, pz) = here.take(spans.window), point
        away = self._numbers[1].take(window).take(spans.span)
        away -= py.take(spans.pixel)
        level = np.flatnonzero(np.abs(away, out=away) < 0.03)
        pixel = spans.pixel.take(level)
        x, _, z, hx, hz, cosine, sine, strength = np.take(self._numbers, window.take(spans.span.take(level)), 1)
        x, z = px.take(pixel) - x, pz.take(pixel) - z
        du = np.maximum(np.abs(cosine * x - sine * z) - hx, 0)
        dv = np.maximum(np.abs(sine * x + cosine * z) - hz, 0)
        dark = np.maximum(1 - (du * du + dv * dv) / _REACH**2, 0)
        dark *= dark * strength
        np.maximum.at(lost, pixel, dark)
        return lost


def _sky(colours: Any, ray: Array, scale: Any) -> Array:
    low, high, cloud = (np.array(c, np.float32)[:, None] for c in colours)
    x, y, z = ray / np.sqrt(_sum(ray * ray))
    elevation = np.clip(-y * 3, 0, 1)
    bearing = np.arctan2(x, z)
    density = value_noise(bearing * 9, y * 24) + 0.5 * value_noise(bearing * 22, y * 50) * np.clip(2 - 60 * scale, 0, 1)
    base = low + (high - low) * elevation
    colour: Array = base + (cloud - base) * np.clip((density - 0.7) * 2.2, 0, 1)
    return colour
