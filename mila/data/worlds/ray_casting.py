"""Ray casting: which primitive every ray meets first, how deep, with which normal, and where that point moves.

Every primitive is a convex unit shape in its own frame, so a ray o + t d becomes o' + t d' there; with the
ray's direction scaled to d_z = 1 in the camera frame, t is the depth along the optical axis. Each primitive is
only met with the rays inside its projected bounding box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mila.common.types import Array
from mila.data.worlds.scene import BOX, CYLINDER, ELLIPSOID, Scene
from mila.data.worlds.windows import areas, spans_of, windows

NEAR = 0.05
"""Nothing closer than this, in metres, is seen."""
_SMALL = 1024
"""Primitives in windows of fewer pixels are cast together."""
_RAYS = 16384
"""So many rays of a large window are cast at once, as their numbers stay in the processor's cache."""

_CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; the centre of pixel (row i, column j) has the image coordinates x = j, y = i.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        rotation: camera-to-world rotation, float64 `[3, 3]`; camera frame x right, y down, z forward.
        position: position in the world in metres, float64 `[3]`.
        baseline: metres between the two cameras that the disparity stands for (0: the world has no disparity).
    """

    fx: float
    fy: float
    cx: float
    cy: float
    rotation: Array
    position: Array
    baseline: float = 0.0

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Image coordinates x, y and depth of world points `[3, ...]`; behind the camera, depth <= 0."""
        return self.project_direction(points - self.position.reshape(3, *[1] * (points.ndim - 1)))

    def project_direction(self, directions: Array) -> tuple[Array, Array, Array]:
        """Image coordinates x, y of the points at infinity in world directions `[3, ...]`, and their z."""
        x, y, z = np.tensordot(self.rotation.T, directions, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.fx * x / z + self.cx, self.fy * y / z + self.cy, z

    def rays(self, height: int, width: int) -> tuple[Array, Array]:
        """Columns' x / z `[W]` and rows' y / z `[H]` of the rays through the pixel centres."""
        return (np.arange(width) - self.cx) / self.fx, (np.arange(height) - self.cy) / self.fy


class View(NamedTuple):
    """A scene at one time as one camera sees it.

    Attributes:
        camera: the camera.
        rotation, centre: pose of every primitive, float64 `[P, 3, 3]`, `[P, 3]`.
        shape: int `[P]`.
        matrix, origin: camera frame -> unit frame of every primitive, float64 `[P, 3, 3]`, `[P, 3]`.
        box: float64 `[P, 4]`, image coordinates x0, y0, x1, y1 that enclose each primitive (empty: x1 < x0).
    """

    camera: Camera
    rotation: Array
    centre: Array
    shape: Array
    matrix: Array
    origin: Array
    box: Array


def view_of(scene: Scene, camera: Camera, time: float) -> View:
    """The scene at a time, ready to be cast."""
    rotation, centre = scene.pose(time)
    inverse = np.swapaxes(rotation, 1, 2) / scene.half[:, :, None]
    matrix = inverse @ camera.rotation
    origin = (inverse @ (camera.position - centre)[:, :, None])[:, :, 0]
    box = bounds(camera, rotation, centre, scene.half)
    return View(camera, rotation, centre, scene.shape, matrix, origin, box)


def bounds(camera: Camera, rotation: Array, centre: Array, half: Array) -> Array:
    """Image boxes x0, y0, x1, y1 `[P, 4]` around oriented boxes, clipped at the near plane."""
    corners = centre[:, None] + (_CORNERS * half[:, None]) @ np.swapaxes(rotation, 1, 2)
    local = (corners - camera.position) @ camera.rotation
    box = _around(camera, local)
    behind = local[..., 2] < NEAR
    cut = np.flatnonzero(behind.any(1) & ~behind.all(1))
    if cut.size:
        start, end = local[cut][:, _EDGES[:, 0]], local[cut][:, _EDGES[:, 1]]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.clip((NEAR - start[..., 2:]) / (end[..., 2:] - start[..., 2:]), 0, 1)
        box[cut] = _around(camera, np.concatenate([local[cut], start + (end - start) * np.nan_to_num(part)], 1))
    return box


def _around(camera: Camera, points: Array) -> Array:
    """Image boxes `[P, 4]` around those of the points `[P, N, 3]` of the camera frame that are not too near."""
    x, y, z = np.moveaxis(points, 2, 0)
    outside = z < NEAR * 0.999
    with np.errstate(divide="ignore", invalid="ignore"):
        image = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])
    low = np.where(outside, np.inf, image).min(2)
    high = np.where(outside, -np.inf, image).max(2)
    return np.concatenate([low, high]).T


def cast(view: View, height: int, width: int) -> tuple[Array, Array]:
    """The first hit of the ray through every pixel centre.

    Returns:
        surface int32 `[H, W]` (-1: none) and depth float32 `[H, W]` (+inf: none).
    """
    depth = np.full((height, width), np.inf, np.float32)
    surface = np.full((height, width), -1, np.int32)
    dx, dy = (v.astype(np.float32) for v in view.camera.rays(height, width))
    matrix, origin = view.matrix.astype(np.float32), view.origin.astype(np.float32)
    found = windows(view.box, height, width)
    small = areas(found) < _SMALL
    with np.errstate(all="ignore"):
        for k, i0, i1, j0, j1 in found[~small].tolist():
            rows = max(_RAYS // (j1 - j0), 1)
            for first in range(i0, i1, rows):
                last = min(first + rows, i1)
                ray = _rays_in(matrix[k], dx[j0:j1], dy[first:last, None])
                enter, leave = _interval(int(view.shape[k]), origin[k], ray)
                closest = depth[first:last, j0:j1]
                hit = enter < leave
                hit &= enter > NEAR
                hit &= enter < closest
                np.copyto(closest, enter, where=hit)
                np.copyto(surface[first:last, j0:j1], k, where=hit)
        shapes = view.shape[found[:, 0]]
        for shape in (BOX, ELLIPSOID, CYLINDER):
            some = found[small & (shapes == shape)]
            if len(some):
                _cast_together(shape, some, matrix, origin, dx, dy, depth, surface)
    return surface, depth


def _rays_in(matrix: Array, x: Array, y: Array) -> list[Array]:
    """Rays of columns x `[W]` and rows y `[H, 1]` in a primitive's frame, `[H, W]`, or `[H, 1]` where all x agree."""
    rays = []
    for along, down, ahead in matrix:
        row = down * y + ahead
        rays.append(row if along == 0 and row.all() else along * x + row)
    return rays


def _cast_together(
    shape: int, found: Array, matrix: Array, origin: Array, dx: Array, dy: Array, depth: Array, surface: Array
) -> None:
    """Cast primitives of one shape in their windows `[K, 5]`; of equally close ones the first in the scene stays."""
    spans = spans_of(found, depth.shape[1])
    index = found[:, 0].take(spans.window)
    y = dy.take(spans.row)
    part = matrix[index]  # [S, 3, 3]
    rows = [part[:, axis, 1] * y + part[:, axis, 2] for axis in range(3)]
    x = dx.take(spans.column)
    ray = [part[:, axis, 0].take(spans.span) * x + rows[axis].take(spans.span) for axis in range(3)]
    start = origin[index]
    enter, leave = _interval(shape, [start[:, axis].take(spans.span) for axis in range(3)], ray)
    depths, surfaces = depth.ravel(), surface.ravel()
    hit = enter < leave
    hit &= enter > NEAR
    hit &= enter <= depths.take(spans.pixel)
    kept = np.flatnonzero(hit)
    pixel, enter, which = spans.pixel[kept], enter[kept], index.take(spans.span[kept]).astype(np.int32)
    before = depths[pixel]
    np.minimum.at(depths, pixel, enter)
    closest = np.flatnonzero(enter == depths[pixel])
    pixel, nearer = pixel[closest], enter[closest] < before[closest]
    surfaces[pixel[nearer]] = len(matrix)
    np.minimum.at(surfaces, pixel, which[closest])


def cast_points(view: View, x: Array, y: Array) -> tuple[Array, Array]:
    """The first hit of the rays through any image coordinates `[N]`: surface int32 and depth float64 `[N]`."""
    camera, row = view.camera, np.floor(y).astype(np.int32)
    order = np.argsort(row, kind="stable")  # so that a box is compared with the points of its rows alone
    x, y, row = x[order], y[order], row[order]
    depth, surface = np.full(x.shape, np.inf), np.full(x.shape, -1, np.int32)
    first = np.searchsorted(row, np.floor(view.box[:, 1] - 1e-3), "left").tolist()
    last = np.searchsorted(row, np.floor(view.box[:, 3] + 1e-3), "right").tolist()
    with np.errstate(all="ignore"):
        for k, (x0, y0, x1, y1) in enumerate(view.box):
            here = slice(first[k], last[k])
            px, py = x[here], y[here]
            near = np.flatnonzero((px >= x0 - 1e-3) & (px <= x1 + 1e-3) & (py >= y0 - 1e-3) & (py <= y1 + 1e-3))
            if near.size == 0:
                continue
            dx, dy = (px[near] - camera.cx) / camera.fx, (py[near] - camera.cy) / camera.fy
            ray = [row[0] * dx + row[1] * dy + row[2] for row in view.matrix[k]]
            enter, leave = _interval(int(view.shape[k]), view.origin[k], ray)
            near += first[k]
            hit = (enter < leave) & (enter > NEAR) & (enter < depth[near])
            depth[near[hit]] = enter[hit]
            surface[near[hit]] = k
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return surface[back], depth[back]


def _interval(shape: int, origin: Sequence[Array] | Array, ray: list[Array]) -> tuple[Array, Array]:
    """Where rays enter and leave a unit shape; a miss leaves before it enters, or is not a number."""
    if shape == BOX:
        enter, leave = _slab(origin[0], ray[0])
        for axis in (1, 2):
            first, last = _slab(origin[axis], ray[axis])
            enter, leave = np.maximum(enter, first), np.minimum(leave, last)
        return enter, leave
    axes = (0, 2) if shape == CYLINDER else (0, 1, 2)
    a = sum(ray[axis] * ray[axis] for axis in axes)
    b = sum(origin[axis] * ray[axis] for axis in axes)
    c = sum(origin[axis] * origin[axis] for axis in axes) - 1
    root = np.sqrt(b * b - a * c)
    enter, leave = (-b - root) / a, (root - b) / a
    if shape == CYLINDER:
        first, last = _slab(origin[1], ray[1])
        enter, leave = np.maximum(enter, first), np.minimum(leave, last)
    return enter, leave


def _slab(origin: Any, ray: Array) -> tuple[Array, Array]:
    inverse = 1 / ray
    reach = np.abs(inverse)
    inverse *= -origin
    return inverse - reach, inverse + reach


def flow(scene: Scene, now: View, then: View, surface: Array, depth: Array) -> tuple[Array, Array]:
    """Exact motion of the seen points to the next view, and which of them are seen there.

    Args:
        scene: the scene of both views.
        now: the view of this frame.
        then: the view of the next frame.
        surface: int32 `[H, W]`, what `cast` returned for `now`.
        depth: float32 `[H, W]`, likewise.

    Returns:
        Flow float32 `[2, H, W]` in pixels, x then y (no hit: that of the direction, so of the rotation only), and
        visible bool `[H, W]`: the point is between the outermost pixel centres of the next view and nothing hides it.
    """
    height, width = surface.shape
    x, y, z = _moved(scene, now, then, surface, depth)
    visible = (z > NEAR) & (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    found, reached = cast_points(then, x[visible], y[visible])
    wanted, z = surface[visible], z[visible]
    with np.errstate(invalid="ignore"):
        same = (found == wanted) & (np.abs(reached - z) < 1e-3 * z)
    visible[visible] = np.where(wanted < 0, found < 0, same)
    return _displacement(x, y), visible


def motion(scene: Scene, now: View, then: View, surface: Array, depth: Array) -> Array:
    """The first of what `flow` returns; which points are seen again takes longer to find out than the rest."""
    x, y, _ = _moved(scene, now, then, surface, depth)
    return _displacement(x, y)


def _displacement(x: Array, y: Array) -> Array:
    """Pixels from where image coordinates `[H, W]` stand to what they say, float32 `[2, H, W]`."""
    height, width = x.shape
    return np.stack([x - np.arange(width), y - np.arange(height)[:, None]]).astype(np.float32)


def _moved(scene: Scene, now: View, then: View, surface: Array, depth: Array) -> tuple[Array, Array, Array]:
    """Image coordinates and depth in the next view, float64 `[H, W]` each, of the points that `cast` found."""
    height, width = surface.shape
    dx, dy = now.camera.rays(height, width)
    direction = np.stack([*np.meshgrid(dx, dy), np.ones((height, width))])
    world = np.tensordot(now.camera.rotation, direction, 1)
    sky = surface < 0
    points = world * np.where(sky, 1.0, depth.astype(np.float64))
    points += now.camera.position[:, None, None]
    flat, which = points.reshape(3, -1), surface.ravel()
    for k in set(np.unique(which).tolist()).intersection(scene.motions):
        here = np.flatnonzero(which == k)
        turn = then.rotation[k] @ now.rotation[k].T
        flat[:, here] = turn @ (flat.take(here, 1) - now.centre[k][:, None]) + then.centre[k][:, None]
    x, y, z = then.camera.project(points)
    if sky.any():
        away = then.camera.project_direction(world)
        x, y, z = (np.where(sky, far, near) for far, near in zip(away, (x, y, z), strict=True))
    return x, y, z
