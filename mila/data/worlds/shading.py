"""Shading: normals, textures and light of the surfaces that the rays met.

Nothing here depends on where the camera is but the filter of the textures (fine patterns fade where a pixel covers
them) and the facing of the normals, so a surface point keeps its brightness from frame to frame.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mila.common.types import Array
from mila.data.worlds.ray_casting import View, bounds
from mila.data.worlds.scene import BOX, CYLINDER, Scene
from mila.data.worlds.textures import Textures, value_noise
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
    height, width = surface.shape
    camera, count = view.camera, surface.size
    rays = _Rays.of(view, height, width)
    poses, textures = _Poses(scene, view), Textures(scene)
    point, world, colour = (np.empty((3, count), np.float32) for _ in range(3))
    rows = max(_POINTS // width, 1)
    bands = [(first, min(first + rows, height)) for first in range(0, height, rows)]
    for first, last in bands:
        band = slice(first * width, last * width)
        found = _Found(rays.rows(first, last), surface[first:last].ravel(), depth[first:last].ravel())
        point[:, band], world[:, band], colour[:, band] = _surfaces(scene, poses, textures, found, rays.scale)
    normals = (camera.rotation.astype(np.float32).T @ world).reshape(3, height, width)
    sun = np.array(scene.lights.direction, np.float32) @ world
    open_ = 1 - _contact(scene, view, point, height, width)
    for first, last in bands:
        band = slice(first * width, last * width)
        index = surface[first:last].ravel()
        light = _light(scene, point[:, band], world[:, band], sun[band])
        light *= open_[band]
        glow = textures.glow.take(np.maximum(index, 0))
        if glow.any():
            light += (1 - light) * glow
        for channel, tint in zip(colour[:, band], scene.lights.tint, strict=True):
            channel *= light * np.float32(tint)
        if scene.sky is not None:
            sky = np.flatnonzero(index < 0)
            if sky.size:
                ray = rays.rows(first, last)
                colour[:, first * width + sky] = _sky(scene.sky, np.stack([part[sky] for part in ray]), rays.scale)
    np.maximum(colour, 0, out=colour)
    np.minimum(colour, 1, out=colour)
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

    def rows(self, first: int, last: int) -> list[Array]:
        """x, y and z of the rays of some rows, float32 `[N]` each."""
        pairs = zip(self.row[:, first:last], self.column, strict=True)
        return [np.add.outer(row, column).astype(np.float32).ravel() for row, column in pairs]


class _Found(NamedTuple):
    """Rays of some pixels, three times float32 `[N]`, and which primitive they meet at which depth `[N]`."""

    ray: list[Array]
    surface: Array
    depth: Array


class _Poses:
    """Where the primitives are, in single precision, one row a number."""

    def __init__(self, scene: Scene, view: View) -> None:
        parts = (view.rotation.reshape(-1, 9), view.camera.position - view.centre, scene.half, view.centre)
        rows = np.concatenate(parts, 1).T.astype(np.float32)
        self.turn, self.offset, self.half, self.centre = rows[:9], rows[9:12], rows[12:15], rows[15:18]
        self.is_curved = scene.shape != BOX
        self.is_tube = scene.shape == CYLINDER


def _dot(a: list[Array], b: list[Array]) -> Array:
    """Sum of the products of three pairs of numbers `[N]`, added from the first to the last."""
    total: Array = a[0] * b[0]
    total += a[1] * b[1]
    total += a[2] * b[2]
    return total


def _surfaces(
    scene: Scene, poses: _Poses, textures: Textures, found: _Found, scale: Any
) -> tuple[list[Array], list[Array], list[Array]]:
    """Points, normals and colours without light, `[N]` three times each; where nothing is met the normal is 0."""
    sky = found.surface < 0
    none = np.flatnonzero(sky)
    index = np.maximum(found.surface, 0).astype(np.intp)
    z, ray = found.depth, found.ray
    if none.size:
        z = z.copy()
        z[none] = 1
    turn = [row.take(index) for row in poses.turn]
    half = [row.take(index) for row in poses.half]
    offset = [row.take(index) + z * r for row, r in zip(poses.offset, ray, strict=True)]
    point = [row.take(index) + o for row, o in zip(poses.centre, offset, strict=True)]
    local = [_dot(turn[k::3], offset) for k in range(3)]
    inward = [_dot(turn[k::3], ray) for k in range(3)]
    unit = [a / b for a, b in zip(local, half, strict=True)]
    normal, u, v, size = _faces(local, inward, unit, half)
    curved = np.flatnonzero(poses.is_curved.take(index))
    if curved.size:
        tube = poses.is_tube.take(index[curved])
        p, q, h = (np.stack([part[curved] for part in parts]) for parts in (local, unit, half))
        rounded, u[curved], v[curved] = _rounded(tube, p, q, h)
        for part, value in zip(normal, rounded, strict=True):
            part[curved] = value
    world = [_dot(turn[k : k + 3], normal) for k in (0, 3, 6)]
    facing = _face(world, ray)
    for part in world:
        part[none] = 0
    np.maximum(facing, np.float32(0.12), out=facing)
    footprint = np.divide(z * scale, facing, out=facing)
    return point, world, textures.colours(index, u, v, size, footprint)


def _faces(
    local: list[Array], inward: list[Array], unit: list[Array], half: list[Array]
) -> tuple[list[Array], Array, Array, tuple[Array, Array]]:
    """Of boxes: the normals of the faces that the rays enter, coordinates on them and half their sizes, all `[N]`."""
    sign = [-np.sign(part) for part in inward]
    reach = [np.maximum(part * s, 0) for part, s in zip(unit, sign, strict=True)]
    first = reach[0] >= reach[1]
    first &= reach[0] >= reach[2]
    second = reach[1] >= reach[2]
    second &= ~first
    third = ~(first | second)
    normal = [s * chosen for s, chosen in zip(sign, (first, second, third), strict=True)]
    u, v = np.where(first, local[2], local[0]), np.where(second, local[2], local[1])
    return normal, u, v, (np.where(first, half[2], half[0]), np.where(second, half[2], half[1]))


def _rounded(tube: Array, p: Array, q: Array, h: Array) -> tuple[Array, Array, Array]:
    """Of ellipsoids and cylinders: normals `[3, N]` and surface coordinates u, v `[N]`.

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
    return n / np.sqrt((n * n).sum(0)), u, np.where(cap, p[2], p[1])


def _face(normal: list[Array], ray: list[Array]) -> Array:
    """Make rounded normals at silhouettes face the camera, in place; the cosine to the ray."""
    length = _dot(ray, ray)
    np.sqrt(length, out=length)
    cosine = _dot(normal, ray)
    np.negative(cosine, out=cosine)
    cosine /= length
    wrong = np.flatnonzero(cosine < 1e-3)
    if wrong.size:
        away = cosine[wrong] - np.float32(2e-3)
        fixed = [n[wrong] + r[wrong] / length[wrong] * away for n, r in zip(normal, ray, strict=True)]
        size = np.sqrt(_dot(fixed, fixed))
        for part, value in zip(normal, fixed, strict=True):
            part[wrong] = value / size
    return cosine


def _light(scene: Scene, point: Array, normal: Array, sun: Array) -> Array:
    """Light `[N]` on points `[3, N]` with normals `[3, N]`; `sun` is the cosine to the distant light `[N]`."""
    lights = scene.lights
    total: Array = normal[1] * np.float32(0.18)
    np.subtract(1, total, out=total)
    total *= lights.ambient
    if lights.point:
        towards = [np.float32(lamp) - part for lamp, part in zip(lights.lamp, point, strict=True)]
        distance = np.sqrt(_dot(towards, towards))
        distance += np.float32(1e-3)
        lamp = _dot(towards, list(normal))
        lamp /= distance
        np.maximum(lamp, 0, out=lamp)
        distance *= distance
        distance *= np.float32(0.04)
        distance += 1
        lamp /= distance
        lamp *= lights.point
        total += lamp
    total += lights.directional * np.maximum(sun, 0)
    return total


def _contact(scene: Scene, view: View, point: Array, height: int, width: int) -> Array:
    """How much of the light is lost `[N]` close to things that stand on a surface."""
    lost = np.zeros(height * width, np.float32)
    cast = np.flatnonzero(scene.contact > 0)
    if cast.size == 0:
        return lost
    size, boxy = scene.half[cast].copy(), scene.shape[cast] == BOX
    base = view.centre[cast] + size * (0.0, 1.0, 0.0)
    size[~boxy] *= 0.5  # round things touch the ground in less than their outline
    yaw = np.where(boxy, np.arctan2(view.rotation[cast, 0, 2], view.rotation[cast, 0, 0]), 0)
    c, s, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))
    turn = np.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], 1).reshape(-1, 3, 3)
    reach = size * (1.0, 0.0, 1.0) + (_REACH, 0.03, _REACH)
    found = windows(bounds(view.camera, turn, base, reach), height, width)
    numbers = np.column_stack([base, size[:, 0], size[:, 2], c, s, scene.contact[cast]])[found[:, 0]].astype(np.float32)
    spans = spans_of(found, width)
    x, y, z, hx, hz, cosine, sine, strength = (part.take(spans.window).take(spans.span) for part in numbers.T)
    px, py, pz = (part.take(spans.pixel) for part in point)
    px, pz = px - x, pz - z
    du = np.maximum(np.abs(cosine * px - sine * pz) - hx, 0)
    dv = np.maximum(np.abs(sine * px + cosine * pz) - hz, 0)
    dark = np.maximum(1 - (du * du + dv * dv) / _REACH**2, 0)
    dark *= dark * strength
    dark *= np.abs(py - y) < 0.03
    np.maximum.at(lost, spans.pixel, dark)
    return lost


def _sky(colours: Any, ray: Array, scale: Any) -> Array:
    low, high, cloud = (np.array(c, np.float32)[:, None] for c in colours)
    x, y, z = ray / np.sqrt((ray * ray).sum(0))
    elevation = np.clip(-y * 3, 0, 1)
    bearing = np.arctan2(x, z)
    density = value_noise(bearing * 9, y * 24) + 0.5 * value_noise(bearing * 22, y * 50) * np.clip(
        2 - 60 * scale, 0, 1
    )
    base = low + (high - low) * elevation
    colour: Array = base + (cloud - base) * np.clip((density - 0.7) * 2.2, 0, 1)
    return colour
