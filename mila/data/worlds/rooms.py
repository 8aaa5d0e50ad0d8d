"""The world *rooms*: one furnished room with the 13 classes of NYUv2, seen by a hand-held camera."""

from __future__ import annotations

import math
import random

import numpy as np

from mila.common.types import Array
from mila.data.worlds.motions import Motion, about, hinge, roll, sway
from mila.data.worlds.rooms_floor_plan import CEILING, FLOOR, OBJECTS, WALL
from mila.data.worlds.rooms_furniture import Furnisher
from mila.data.worlds.scene import BOX, CYLINDER, ELLIPSOID, Builder, Lights, Place, Scene

_SWAY = 0.3
"""The camera strays at most this far, in metres, from its middle position, per axis."""


def rooms_scene(rng: random.Random) -> Scene:
    """A random room; all randomness comes from `rng`."""
    b = Builder(rng)
    room = Furnisher(b, rng.uniform(3.6, 5.8), rng.uniform(3.8, 6.4), rng.uniform(2.3, 2.75))
    _shell(b, room)
    lamp = (rng.uniform(0.3, 0.7) * room.width, -room.height + 0.35, rng.uniform(0.3, 0.7) * room.depth)
    room.furnish()
    position, yaw, pitch = _viewpoint(rng, room)
    camera = _hand_held(rng, position, yaw, pitch)
    _movers(b, room, position, yaw)
    tilt = rng.uniform(0, 2 * math.pi)
    exposure, warm = rng.uniform(0.85, 1.12), rng.uniform(-0.06, 0.08)
    lights = Lights(
        rng.uniform(0.42, 0.6),
        (0.75 * math.cos(tilt), -0.66, 0.75 * math.sin(tilt)),
        rng.uniform(0.1, 0.3),
        lamp,
        rng.uniform(0.35, 0.65),
        (exposure * (1 + warm), exposure, exposure * (1 - warm)),
    )
    return b.scene(camera, lights, None, (rng.uniform(0.5, 2.5) ** 2 / 255**2, rng.uniform(0.5, 3.0) * 1e-4))


def _shell(b: Builder, room: Furnisher) -> None:
    """Floor, ceiling and walls; walls are thick boxes, with a pillar in some corner of some rooms."""
    w, d, h, t = room.width, room.depth, room.height, 0.2
    here = Place(w / 2, d / 2)
    walls = b.cloth(1.6)
    b.add(BOX, here, (0, -t / 2, 0), (w + 2 * t, t, d + 2 * t), FLOOR, b.cloth(1.4))
    b.add(BOX, here, (0, h + t / 2, 0), (w + 2 * t, t, d + 2 * t), CEILING, b.cloth(1.6))
    for side in (-1, 1):
        for size, centre in (((t, h, d), ((w + t) / 2 * side, h / 2, 0)), ((w, h, t), (0, h / 2, (d + t) / 2 * side))):
            material = walls if b.rng.random() < 0.75 else b.cloth(1.6)
            b.add(BOX, here, (float(centre[0]), centre[1], float(centre[2])), size, WALL, material)


def _viewpoint(rng: random.Random, room: Furnisher) -> tuple[tuple[float, float, float], float, float]:
    """Where the camera stands, its yaw and its pitch: the best of some free places by what it shows."""
    best, score = ((room.width / 2, -1.4, room.depth / 2), 0.0, 0.1), -1.0
    for attempt in range(40):
        x, z = rng.uniform(0.5, room.width - 0.5), rng.uniform(0.5, room.depth - 0.5)
        height, pitch = rng.uniform(1.15, 1.7), rng.uniform(-0.04, 0.38)
        aim = math.atan2(room.width / 2 - x, room.depth / 2 - z)
        yaw = aim + rng.gauss(0, 0.35)
        clear = room.clearance(x, z, height)
        if clear < _SWAY + 0.15:
            continue
        ahead = room.sight(x, z, yaw)
        value = room.variety(x, z, yaw) + 0.8 * min(ahead, 3.6) + min(clear, 0.8)
        if value > score:
            best, score = ((x, -height, z), yaw, pitch), value
        if attempt > 16 and score > 0:
            break
    return best


def _hand_held(rng: random.Random, position: tuple[float, float, float], yaw: float, pitch: float) -> Motion:
    """Smooth sway about a position: sums of two sines for each of the six degrees of freedom."""
    waves = []
    for reach, slow in ((_SWAY, 1.0), (0.06, 0.7), (_SWAY, 1.0), (0.14, 0.8), (0.03, 0.6), (0.02, 0.6)):
        size, period = reach * rng.uniform(0.3, 0.8), slow * rng.uniform(50, 100)
        waves.append((size, period, rng.uniform(0, 6.28), reach * 0.06, rng.uniform(11, 19), rng.uniform(0, 6.28)))

    def at(k: int, time: float) -> float:
        a, p, s, a2, p2, s2 = waves[k]
        return a * math.sin(2 * math.pi * time / p + s) + a2 * math.sin(2 * math.pi * time / p2 + s2)

    def camera(time: float) -> tuple[Array, Array]:
        turn = about(1, yaw + at(3, time)) @ about(0, -pitch + at(4, time)) @ about(2, at(5, time))
        return turn, np.array([p + at(k, time) for k, p in enumerate(position)])

    return camera


def _movers(b: Builder, room: Furnisher, position: tuple[float, float, float], yaw: float) -> None:
    """Things that move on their own, in front of the camera."""
    rng = b.rng
    kinds = rng.sample(("ball", "robot", "chair", "pendulum", "carried"), rng.choice((2, 2, 3)))
    for kind in kinds:
        spot = None
        for _ in range(24):
            reach, angle = rng.uniform(1.3, 3.2), yaw + rng.uniform(-0.42, 0.42)
            x, z = position[0] + reach * math.sin(angle), position[2] + reach * math.cos(angle)
            on_floor = kind in ("ball", "robot", "chair")
            if not (0.4 < x < room.width - 0.4 and 0.4 < z < room.depth - 0.4):
                continue
            if not on_floor or room.clearance(x, z, 0.0) > 0.3:
                spot = (x, z)
                break
        if spot is None:
            continue
        x, z = spot
        heading = yaw + math.pi / 2 + rng.gauss(0, 0.5)
        amplitude, period, phase = rng.uniform(0.2, 0.5), rng.uniform(22, 45), rng.uniform(-0.8, 0.8)
        along = (math.sin(heading), 0.0, math.cos(heading))
        place = Place(x, z, rng.uniform(0, 6.28))
        if kind == "ball":
            r = rng.uniform(0.1, 0.22)
            motion = roll((x, -r, z), r, heading, amplitude, period, phase)
            b.add(ELLIPSOID, place, (0, r, 0), (2 * r, 2 * r, 2 * r), OBJECTS, b.cloth(), motion=motion, contact=0.5)
        elif kind == "robot":
            motion = sway(along, amplitude, period, phase)
            b.add(CYLINDER, place, (0, 0.06, 0), (0.4, 0.1, 0.4), OBJECTS, b.cloth(0.6), motion=motion, contact=0.5)
            b.add(CYLINDER, place, (0, 0.13, 0), (0.14, 0.04, 0.14), OBJECTS, b.plain(), motion=motion)
        elif kind == "chair":
            room.chair(place, office=True, motion=sway(along, amplitude, period, phase))
        elif kind == "pendulum":
            _pendulum(b, room, place, np.array((-along[2], 0.0, along[0])), period, phase)
        else:
            place = place._replace(height=rng.uniform(0.8, 1.4))
            motion = sway((along[0], rng.uniform(-0.3, 0.3), along[2]), amplitude, period, phase)
            size = (rng.uniform(0.15, 0.4), rng.uniform(0.12, 0.35), rng.uniform(0.1, 0.35))
            b.add(rng.choice((BOX, ELLIPSOID)), place, (0, 0, 0), size, OBJECTS, b.cloth(0.7), motion=motion)


def _pendulum(b: Builder, room: Furnisher, place: Place, axis: Array, period: float, phase: float) -> None:
    """A lamp that swings from the ceiling."""
    length, r = b.rng.uniform(0.5, 1.0), b.rng.uniform(0.12, 0.22)
    motion = hinge(place.at(0, room.height, 0), axis, b.rng.uniform(0.2, 0.4), period, phase, (0.0, 0.0, 0.0))
    low = room.height - length
    b.add(CYLINDER, place, (0, room.height - length / 2, 0), (0.03, length, 0.03), OBJECTS, b.plain(), motion=motion)
    b.add(ELLIPSOID, place, (0, low, 0), (2 * r, 1.6 * r, 2 * r), OBJECTS, b.cloth(0.6), motion=motion)
