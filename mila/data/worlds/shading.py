"""Shading: normals, textures and light of the surfaces that the rays met.

Nothing here depends on where the camera is but the filter of the textures (fine patterns fade where a pixel covers
them) and the facing of the normals, so a surface point keeps its brightness from frame to frame.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from mila.common.types import Array
from mila.data.worlds.ray_casting import View, bounds, windows
from mila.data.worlds.scene import BOX, CYLINDER, Scene

_CELLS = 256
_REACH = 0.35  # metres that a contact shadow reaches around what casts it


@cache
def _random_table() -> Array:
    table = np.random.Generator(np.random.PCG64(20240521)).random((_CELLS, _CELLS), np.float32)
    table.setflags(write=False)
    return table.ravel()


def _cell(i: Array, j: Array) -> Array:
    values: Array = _random_table()[(i & (_CELLS - 1)) * _CELLS + (j & (_CELLS - 1))]
    return values


def _value_noise(u: Array, v: Array) -> Array:
    """Smooth noise in 0..1 with one random value per unit cell."""
    fu, fv = np.floor(u), np.floor(v)
    i, j = fu.astype(np.int32), fv.astype(np.int32)
    a, b = u - fu, v - fv
    a *= a * (3 - 2 * a)
    b *= b * (3 - 2 * b)
    i0, i1 = (i & (_CELLS - 1)) * _CELLS, ((i + 1) & (_CELLS - 1)) * _CELLS
    j0, j1 = j & (_CELLS - 1), (j + 1) & (_CELLS - 1)
    table = _random_table()
    low, high = table[i0 + j0], table[i0 + j1]
    low += b * (high - low)
    first, second = table[i1 + j0], table[i1 + j1]
    first += b * (second - first)
    noise: Array = low + a * (first - low)
    return noise


def _square(x: Array, duty: Array, pixels: Array) -> Array:
    """Square wave of period 1 that is 1 for `duty` of it, seen at `pixels` pixels per period."""
    inside = duty / 2 - np.abs(x - np.floor(x) - 0.5)
    sharp = np.clip(inside * (pixels * 0.6) + 0.5, 0, 1)
    wave: Array = duty + (sharp - duty) * np.clip((pixels - 1.5) / 3, 0, 1)
    return wave


def _texture(material: Array, u: Array, v: Array, half_u: Array, half_v: Array, footprint: Array) -> Array:
    """Colour `[3, N]` of materials `[F, N]` at metric coordinates `[N]`; footprint is a pixel's size in metres."""
    pu, pv, duty_u, duty_v, ku, kv, kuv, bond, kcell, knoise, nu, nv, border = material[6:19]
    sv = v / pv
    row = np.floor(sv)
    su = u / pu + bond * (row - 2 * np.floor(row / 2))
    pixels_u, pixels_v = pu / footprint, pv / footprint
    waves_u, waves_v = _square(su, duty_u, pixels_u), _square(sv, duty_v, pixels_v)
    tone = _cell(np.floor(su).astype(np.int32), row.astype(np.int32) * 7 + 3) - 0.5
    tone *= kcell * np.clip((np.minimum(pixels_u, pixels_v) - 1.5) / 3, 0, 1)
    mix = ku * waves_u + kv * waves_v + kuv * waves_u * waves_v + tone
    cells = footprint * np.maximum(nu, nv)
    for octave, weight in ((0.22, 0.6), (1.0, 0.8), (2.7, 0.4)):
        noise = _value_noise(u * (nu * octave) + 17.3, v * (nv * octave) + 5.1) - 0.5
        mix += knoise * weight * noise * np.clip(2 - 3 * octave * cells, 0, 1)
    edge = np.minimum(half_u - np.abs(u), half_v - np.abs(v))
    frame = np.clip((border - edge) / footprint + 0.5, 0, 1)
    colour = material[0:3] + (material[3:6] - material[0:3]) * mix
    colour += (material[19:22] - colour) * frame
    visible: Array = np.clip(colour, 0.02, 1.0)
    return visible


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
    camera = view.camera
    sky = (surface < 0).ravel()
    index = np.where(sky, 0, surface.ravel())
    z = np.where(sky, np.float32(1), depth.ravel())
    dx, dy = camera.rays(height, width)
    turn = camera.rotation.astype(np.float32)
    ray = np.stack([np.add.outer(r[1] * dy + r[2], r[0] * dx).astype(np.float32).ravel() for r in camera.rotation])
    geometry = np.concatenate([view.rotation.reshape(-1, 9), camera.position - view.centre, scene.half], 1).astype(
        np.float32
    )
    pose = np.take(np.ascontiguousarray(geometry.T), index, 1)
    offset = pose[9:12] + z * ray
    local = np.stack([(pose[k:9:3] * offset).sum(0) for k in range(3)])
    inward = np.stack([(pose[k:9:3] * ray).sum(0) for k in range(3)])
    half = pose[12:15]
    unit = local / half
    axis = np.where(unit * inward < 0, np.abs(unit), np.float32(-1)).argmax(0)
    first, second = axis == 0, axis == 1
    normal = np.stack([first, second, axis == 2]) * -np.sign(inward)
    u, v = np.where(first, local[2], local[0]), np.where(second, local[2], local[1])
    half_u, half_v = np.where(first, half[2], half[0]), np.where(second, half[2], half[1])
    shape = scene.shape[index]
    curved = np.flatnonzero(shape != BOX)
    if curved.size:
        _curved(curved, shape, local, half, unit, normal, u, v, half_u, half_v)
    world = np.stack([(pose[k : k + 3] * normal).sum(0) for k in (0, 3, 6)])
    facing = _face(world, ray)
    world[:, sky] = 0
    normals = (turn.T @ world).reshape(3, height, width)
    scale = np.float32(2 / (camera.fx + camera.fy))
    footprint = z * scale / np.maximum(facing, np.float32(0.12))
    colour = _texture(np.take(np.ascontiguousarray(scene.material.T), index, 1), u, v, half_u, half_v, footprint)
    point = offset + (view.centre.T.astype(np.float32))[:, index]
    glow = scene.material[index, 22]
    light = _light(scene, point, world)
    light *= 1 - _contact(scene, view, point, height, width)
    colour *= (light + (1 - light) * glow) * np.array(scene.lights.tint, np.float32)[:, None]
    if sky.any() and scene.sky is not None:
        colour[:, sky] = _sky(scene.sky, ray[:, sky], scale)
    return normals, np.clip(colour, 0, 1).reshape(3, height, width)


def _curved(
    at: Array,
    shape: Array,
    local: Array,
    half: Array,
    unit: Array,
    normal: Array,
    u: Array,
    v: Array,
    hu: Array,
    hv: Array,
) -> None:
    """Replace normals and texture coordinates of the pixels `at` that show ellipsoids and cylinders."""
    p, q, h = local[:, at], unit[:, at], half[:, at]
    tube = shape[at] == CYLINDER
    cap = tube & (np.abs(q[1]) > np.hypot(q[0], q[2]))
    n = q / h
    n[1, tube] = 0
    n[0, cap] = n[2, cap] = 0
    n[1, cap] = np.sign(q[1, cap])
    normal[:, at] = n / np.sqrt((n * n).sum(0))
    u[at] = np.where(cap, p[0], np.arctan2(q[0], q[2]) * (h[0] + h[2]) / 2)
    v[at] = np.where(cap, p[2], p[1])
    hu[at] = hv[at] = 1e3


def _face(normal: Array, ray: Array) -> Array:
    """Make rounded normals at silhouettes face the camera, in place; the cosine to the ray."""
    length = np.sqrt((ray * ray).sum(0))
    cosine: Array = -(normal * ray).sum(0) / length
    wrong = np.flatnonzero(cosine < 1e-3)
    if wrong.size:
        direction = ray[:, wrong] / length[wrong]
        fixed = normal[:, wrong] + direction * (cosine[wrong] - np.float32(2e-3))
        normal[:, wrong] = fixed / np.sqrt((fixed * fixed).sum(0))
    return cosine


def _light(scene: Scene, point: Array, normal: Array) -> Array:
    lights = scene.lights
    towards = np.array(lights.lamp, np.float32)[:, None] - point
    distance = np.sqrt((towards * towards).sum(0)) + np.float32(1e-3)
    lamp = np.maximum((towards * normal).sum(0) / distance, 0) / (1 + distance * distance * np.float32(0.04))
    sun = np.maximum(np.array(lights.direction, np.float32) @ normal, 0)
    ambient = lights.ambient * (1 - np.float32(0.18) * normal[1])
    total: Array = ambient + lights.point * lamp + lights.directional * sun
    return total


def _contact(scene: Scene, view: View, point: Array, height: int, width: int) -> Array:
    """How much of the light is lost `[N]` close to things that stand on a surface."""
    lost = np.zeros((height, width), np.float32)
    cast = np.flatnonzero(scene.contact > 0)
    if cast.size == 0:
        return lost.ravel()
    size, boxy = scene.half[cast].copy(), scene.shape[cast] == BOX
    base = view.centre[cast] + size * (0.0, 1.0, 0.0)
    size[~boxy] *= 0.5  # round things touch the ground in less than their outline
    yaw = np.where(boxy, np.arctan2(view.rotation[cast, 0, 2], view.rotation[cast, 0, 0]), 0)
    c, s, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))
    turn = np.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], 1).reshape(-1, 3, 3)
    reach = size * (1.0, 0.0, 1.0) + (_REACH, 0.03, _REACH)
    points = point.reshape(3, height, width)
    rows = np.column_stack([base, size[:, 0], size[:, 2], c, s, scene.contact[cast]]).tolist()
    for k, i0, i1, j0, j1 in windows(bounds(view.camera, turn, base, reach), height, width):
        x, y, z, hx, hz, cosine, sine, strength = rows[k]
        px, py, pz = points[:, i0:i1, j0:j1]
        px, pz = px - x, pz - z
        du = np.maximum(np.abs(cosine * px - sine * pz) - hx, 0)
        dv = np.maximum(np.abs(sine * px + cosine * pz) - hz, 0)
        dark = np.maximum(1 - (du * du + dv * dv) / _REACH**2, 0)
        dark *= dark * strength
        dark *= np.abs(py - y) < 0.03
        lost[i0:i1, j0:j1] = np.maximum(lost[i0:i1, j0:j1], dark)
    return lost.ravel()


def _sky(colours: Any, ray: Array, scale: Any) -> Array:
    low, high, cloud = (np.array(c, np.float32)[:, None] for c in colours)
    x, y, z = ray / np.sqrt((ray * ray).sum(0))
    elevation = np.clip(-y * 3, 0, 1)
    bearing = np.arctan2(x, z)
    density = _value_noise(bearing * 9, y * 24) + 0.5 * _value_noise(bearing * 22, y * 50) * np.clip(
        2 - 60 * scale, 0, 1
    )
    base = low + (high - low) * elevation
    colour: Array = base + (cloud - base) * np.clip((density - 0.7) * 2.2, 0, 1)
    return colour
