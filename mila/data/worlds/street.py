"""The world *street*: a street with the 7 categories of Cityscapes, seen from a car."""

from __future__ import annotations

import math
import random

import numpy as np

from mila.common.types import Array
from mila.data.worlds.motions import Motion, Vec, about
from mila.data.worlds.scene import BOX, ELLIPSOID, Builder, Lights, Material, Place, Scene
from mila.data.worlds.street_actors import CONSTRUCTION, FLAT, NATURE, foliage, person, pole, tree, vehicle

CAMERA_HEIGHT = 1.22
_START, _END = -25.0, 130.0
"""The stretch along z that is built; the camera is at z = 0 at the annotated frame and behind it before."""
_PARKING = 9.6
"""Roads at least this wide, in metres, have vehicles parked at both kerbs."""
_PAVEMENT = 0.12
"""Height of the pavements above the road, metres."""


def street_scene(rng: random.Random) -> Scene:
    """A random street; all randomness comes from `rng`."""
    b = Builder(rng)
    road = rng.uniform(7.0, 13.0)
    paths = (rng.uniform(1.8, 4.5), rng.uniform(1.8, 4.5))
    lane = (road / 4 if road < _PARKING else road / 2 - 3.3) + rng.uniform(-0.2, 0.2)
    speed = rng.uniform(0.15, 0.62) if rng.random() < 0.92 else 0.0
    asphalt = _ground(b, road)
    for side, path in ((-1, paths[0]), (1, paths[1])):
        _side(b, side, road / 2, path)
    _far_end(b)
    _traffic(b, road, lane, speed)
    _people(b, road, paths)
    _markings(b, road, asphalt)
    angle, exposure, warm = rng.uniform(0, 2 * math.pi), rng.uniform(0.85, 1.1), rng.uniform(-0.05, 0.05)
    sun = (0.7 * math.cos(angle), -0.65, 0.7 * math.sin(angle) * 0.6 - 0.25)
    norm = math.sqrt(sum(v * v for v in sun))
    lights = Lights(
        rng.uniform(0.5, 0.68),
        (sun[0] / norm, sun[1] / norm, sun[2] / norm),
        rng.uniform(0.15, 0.5),
        (0.0, -50.0, 0.0),
        0.0,
        (exposure * (1 + warm), exposure, exposure * (1 - warm)),
    )
    noise = (rng.uniform(0.5, 2.5) ** 2 / 255**2, rng.uniform(0.5, 3.0) * 1e-4)
    return b.scene(_ego(rng, lane, speed), lights, _sky(b), noise)


def _ego(rng: random.Random, lane: float, speed: float) -> Motion:
    """The car's camera: ahead at constant speed, with slight turning and pitching."""
    if speed == 0:
        return lambda time: (about(0, -0.025), np.array((lane, -CAMERA_HEIGHT, 0.0 * time)))
    drift, slow, phase = rng.uniform(0.05, 0.3), rng.uniform(50, 90), rng.uniform(0, 6.28)
    heading, turn = rng.gauss(0, 0.04), rng.uniform(0.005, 0.05)
    pitch, nod, quick = rng.uniform(0.008, 0.036), rng.uniform(0.0005, 0.003), rng.uniform(9, 16)

    def camera(time: float) -> tuple[Array, Array]:
        angle = 2 * math.pi * time / slow + phase
        yaw = heading + turn * math.sin(angle)
        dip = pitch + nod * math.sin(2 * math.pi * time / quick)
        position = (lane + drift * math.sin(angle), -CAMERA_HEIGHT, speed * time)
        return about(1, yaw) @ about(0, -dip), np.array(position)

    return camera


def _sky(b: Builder) -> tuple[Vec, Vec, Vec]:
    grey, v = b.rng.random(), b.rng.uniform(0.7, 0.98)
    high = (v * (0.55 + 0.4 * grey), v * (0.72 + 0.24 * grey), v)
    return (0.5 + high[0] / 2, 0.5 + high[1] / 2, 0.5 + high[2] / 2), high, (v, v, v)


def _ground(b: Builder, road: float) -> Material:
    """The road and raised pavements on both sides of it."""
    rng = b.rng
    asphalt = b.plain(noise=0.9) if rng.random() < 0.8 else b.cloth(2.0)
    middle, length = (_START + 400) / 2, 400 - _START
    b.add(BOX, Place(0, middle), (0, -0.5, 0), (road + 0.2, 1.0, length), FLAT, asphalt)
    for side in (-1, 1):
        wide = 90.0
        at = (side * (road / 2 + wide / 2), -0.38, 0)
        paving = b.cloth(1.6)._replace(border=0.18, border_colour=b.colour())
        b.add(BOX, Place(0, middle), at, (wide, 1.0, length), FLAT, paving)
    return asphalt


def _markings(b: Builder, road: float, asphalt: Material) -> None:
    """A dashed centre line, side lines and perhaps a crossing."""
    rng = b.rng
    bright = rng.uniform(0.75, 0.95)
    paint = (bright, bright, bright * rng.uniform(0.7, 1.0))
    dashes = Material(asphalt.base, paint, 1.0, rng.uniform(4, 9), 1.0, 0.45, kv=1.0)
    b.add(BOX, Place(0, 60), (0, 0.003, 0), (0.16, 0.006, 170), FLAT, dashes)
    if rng.random() < 0.5:
        for side in (-1, 1):
            at = (side * (road / 2 - 0.35), 0.003, 0)
            b.add(BOX, Place(0, 60), at, (0.14, 0.006, 170), FLAT, Material(paint, paint))
    if rng.random() < 0.5:
        stripes = Material(asphalt.base, paint, rng.uniform(0.8, 1.2), 1.0, 0.5, 1.0, ku=1.0)
        b.add(BOX, Place(0, rng.uniform(9, 25)), (0, 0.005, 0), (road - 0.4, 0.01, 3.5), FLAT, stripes)


def _side(b: Builder, side: int, kerb: float, path: float) -> None:
    """Everything beside the road on one side: buildings, walls, fences, parks and what stands on the pavement."""
    rng, z = b.rng, _START
    line = kerb + path
    while z < _END:
        length, kind = rng.uniform(9, 24), rng.random()
        x = side * line
        here = Place(0, z + length / 2)
        if kind < 0.5:
            depth, h = rng.uniform(8, 14), rng.uniform(4.5, 17)
            at = (x + side * depth / 2, _PAVEMENT + h / 2, 0)
            b.add(BOX, here, at, (depth, h, length - rng.choice((0, 0, 0.05, 2.5))), CONSTRUCTION, facade(b))
            if rng.random() < 0.6:  # the ground floor, a little in front
                low = (x + side * (depth / 2 - 0.1), _PAVEMENT + 1.6, 0)
                b.add(BOX, here, low, (depth, 3.2, length * 0.9), CONSTRUCTION, facade(b))
        elif kind < 0.85:
            _park(b, here, side, line, length)
        else:  # a gap with a building further back
            at = (x + side * 22, 6.0, 0)
            b.add(BOX, here, at, (12, rng.uniform(7, 14), length), CONSTRUCTION, facade(b))
        z += length
    z = rng.uniform(5, 9)
    while z < 75:
        out = side * (kerb + rng.uniform(0.3, 0.7))
        if rng.random() < 0.72:
            pole(b, Place(out, z, 0.0 if rng.random() < 0.8 else side * -0.5, _PAVEMENT))
        else:
            tree(b, Place(out + side * 0.4, z, 0.0, _PAVEMENT))
        z += rng.uniform(4, 12)


def _park(b: Builder, here: Place, side: int, line: float, length: float) -> None:
    """Grass with trees, behind a hedge, a wall, a fence or nothing."""
    rng = b.rng
    at = (side * (line + 15), _PAVEMENT + 0.01, 0)
    b.add(BOX, here, at, (30, 0.06, length), NATURE, foliage(b))
    edge, x = rng.random(), side * (line + 0.3)
    if edge < 0.3:
        h = rng.uniform(0.8, 2.0)
        at = (x + side * 0.3, _PAVEMENT + h / 2, 0)
        b.add(BOX, here, at, (0.8, h, length * 0.96), NATURE, foliage(b), contact=0.4)
    elif edge < 0.55:
        h = rng.uniform(0.9, 2.4)
        b.add(BOX, here, (x, _PAVEMENT + h / 2, 0), (0.25, h, length * 0.98), CONSTRUCTION, b.cloth(1.5), contact=0.4)
    elif edge < 0.75:
        h = rng.uniform(0.9, 1.5)
        b.add(BOX, here, (x, _PAVEMENT + h * 0.9, 0), (0.05, 0.16, length), CONSTRUCTION, b.plain())
        b.add(BOX, here, (x, _PAVEMENT + h * 0.4, 0), (0.05, 0.16, length), CONSTRUCTION, b.plain())
        for k in range(5):
            post = (x, _PAVEMENT + h / 2, (k - 2) * length / 5)
            b.add(BOX, here, post, (0.1, h, 0.1), CONSTRUCTION, b.plain())
    for _ in range(rng.choice((1, 2, 3))):
        spot = here.on(side * (line + rng.uniform(1.5, 9)), _PAVEMENT, rng.uniform(-0.45, 0.45) * length)
        tree(b, spot)
    if rng.random() < 0.4:
        h = rng.uniform(6, 11)
        at = (side * (line + 26), h / 2, 0)
        b.add(BOX, here, at, (8, h, length), CONSTRUCTION, facade(b))


def facade(b: Builder) -> Material:
    """Rows of windows, or any pattern."""
    rng = b.rng
    if rng.random() < 0.3:
        return b.cloth(2.5)
    wall, glass = b.colour(), b.shade(b.colour(), 0.3, 0.6)
    return Material(
        wall,
        glass,
        rng.uniform(1.4, 3.0),
        rng.uniform(2.4, 3.4),
        rng.uniform(0.35, 0.65),
        rng.uniform(0.4, 0.6),
        kuv=0.9,
        kcell=0.25,
        knoise=0.25,
        noise_u=1.5,
        noise_v=1.5,
    )


def _far_end(b: Builder) -> None:
    """What closes the street: a building, trees, or nothing."""
    rng, kind = b.rng, b.rng.random()
    z = _END + rng.uniform(5, 60)
    if kind < 0.35:
        h = rng.uniform(8, 20)
        b.add(BOX, Place(0, z), (rng.uniform(-20, 20), h / 2, 0), (70, h, 10), CONSTRUCTION, facade(b))
    elif kind < 0.8:
        leaves = foliage(b)
        for k in range(5):
            h = rng.uniform(7, 15)
            at = ((k - 2) * 16 + rng.uniform(-4, 4), h * 0.4, rng.uniform(-8, 8))
            b.add(ELLIPSOID, Place(0, z), at, (20, h, 14), NATURE, leaves)


def _traffic(b: Builder, road: float, lane: float, speed: float) -> None:
    """Parked vehicles at both kerbs, vehicles ahead and oncoming ones."""
    rng = b.rng
    if road >= _PARKING:
        for side in (-1, 1):
            z = rng.uniform(-6, 10)
            while z < 60:
                if rng.random() < 0.5 and (side < 0 or z > 4):
                    yaw = (0.0 if side > 0 else math.pi) + rng.gauss(0, 0.02)
                    vehicle(b, Place(side * (road / 2 - 1.0), z, yaw))
                z += rng.uniform(6.5, 14)
    if rng.random() < 0.65:
        ahead = rng.uniform(9, 32)
        pace = max(speed + rng.uniform(-0.12, 0.2), 0.0)
        gap = ahead - max(0.0, (pace - speed) * 40) - 5.0
        if gap > 4:
            vehicle(b, Place(lane + rng.uniform(-0.3, 0.3), ahead, rng.gauss(0, 0.02)), pace)
    oncoming = -road / 4 if road < _PARKING else 3.2 - road / 2
    z = rng.uniform(8, 22)
    while z < 90:
        if rng.random() < 0.6:
            vehicle(b, Place(oncoming, z, math.pi + rng.gauss(0, 0.01)), 0.45)
        z += rng.uniform(16, 40)


def _people(b: Builder, road: float, paths: tuple[float, float]) -> None:
    """People who stand and walk on the pavements, and some who cross."""
    rng = b.rng
    for _ in range(rng.choice((3, 5, 6, 8, 10))):
        right = rng.random() < 0.5
        wide = paths[right]
        x = road / 2 + rng.uniform(0.3, 0.95) * wide
        z = rng.uniform(8, 34)
        yaw = rng.choice((0.0, math.pi)) + rng.gauss(0, 0.15)
        person(b, Place(x if right else -x, z, yaw, _PAVEMENT), rng.choice((0.0, 0.07, 0.08, 0.09)))
    if rng.random() < 0.45:
        for _ in range(rng.choice((1, 1, 2))):
            yaw = rng.choice((-1, 1)) * math.pi / 2 + rng.gauss(0, 0.2)
            person(b, Place(rng.uniform(-0.4, 0.45) * road, rng.uniform(9, 24), yaw), rng.uniform(0.06, 0.1))
