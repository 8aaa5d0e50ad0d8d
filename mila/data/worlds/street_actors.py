"""What moves, parks, walks and grows in the world *street*: vehicles, people, trees and street furniture."""

from __future__ import annotations

import math

import numpy as np

from mila.data.worlds.motions import Vec, about, glide, hinge
from mila.data.worlds.scene import BOX, CYLINDER, ELLIPSOID, Builder, Material, Place
from mila.tasks import CITYSCAPES

FLAT, CONSTRUCTION, OBJECT, NATURE, SKY, HUMAN, VEHICLE = range(len(CITYSCAPES.task("segmentation").classes))


def vehicle(b: Builder, place: Place, speed: float = 0.0) -> None:
    """A car, van, truck or bus that faces along the place's z and drives at a speed (metres per frame)."""
    rng, kind = b.rng, b.rng.random()
    motion = glide((speed * math.sin(place.yaw), 0.0, speed * math.cos(place.yaw))) if speed else None
    paint = b.cloth(2.0) if rng.random() < 0.25 else b.plain(noise=0.25)
    dark = rng.uniform(0.08, 0.3)
    glass = Material((dark, dark, dark * 1.1), (0.5, 0.55, 0.6), knoise=0.7, noise_u=1.5, noise_v=1.5)
    wheel = Material((0.08, 0.08, 0.08), (0.5, 0.5, 0.5), knoise=0.3)
    if kind < 0.78:
        w, length, h = rng.uniform(1.7, 1.9), rng.uniform(3.9, 4.7), rng.uniform(1.4, 1.6)
        b.add(BOX, place, (0, 0.55, 0), (w, 0.62, length), VEHICLE, paint, motion=motion, contact=0.6)
        cabin = length * rng.uniform(0.48, 0.6)
        window = glass._replace(border=0.09, border_colour=paint.base)
        middle = (0.0, (0.86 + h) / 2, -length * 0.06)
        b.add(BOX, place, middle, (w * 0.86, h - 0.86, cabin), VEHICLE, window, motion=motion)
        for side in (-1, 1):  # lights and plate, front and back
            lamp = Material((0.75, 0.2, 0.15), (0.9, 0.5, 0.4)) if side < 0 else b.plain((0.9, 0.9, 0.8))
            at = (0.0, 0.68, side * length / 2)
            b.add(BOX, place, at, (w * 0.92, 0.12, 0.04), VEHICLE, lamp, motion=motion)
    else:
        w, length, h = rng.uniform(2.0, 2.5), rng.uniform(5.0, 9.5), rng.uniform(2.2, 3.2)
        b.add(BOX, place, (0, h / 2 + 0.2, 0), (w, h - 0.2, length), VEHICLE, paint, motion=motion, contact=0.6)
        b.add(BOX, place, (0, h * 0.68, 0), (w + 0.04, h * 0.28, length * 0.92), VEHICLE, glass, motion=motion)
        b.add(BOX, place, (0, h * 0.62, 0), (w * 0.86, h * 0.36, length + 0.04), VEHICLE, glass, motion=motion)
    lying = about(2, math.pi / 2)
    for side in (-1, 1):
        for end in (-1, 1):
            at = (side * (w / 2 - 0.1), 0.33, end * length * 0.31)
            b.add(CYLINDER, place, at, (0.66, 0.24, 0.66), VEHICLE, wheel, motion=motion, turn=lying)


def person(b: Builder, place: Place, speed: float = 0.0) -> None:
    """Someone who faces along the place's z and walks at a speed (metres per frame); 0 stands."""
    rng = b.rng
    k = rng.uniform(0.85, 1.08) if rng.random() < 0.9 else rng.uniform(0.6, 0.75)
    heading = (math.sin(place.yaw), 0.0, math.cos(place.yaw))
    velocity: Vec = (speed * heading[0], 0.0, speed * heading[2])
    motion = glide(velocity) if speed else None
    sideways = np.array((heading[2], 0.0, -heading[0]))
    top, trousers, skin = b.cloth(0.5), b.plain(noise=0.3), b.colour()
    wide = rng.uniform(0.4, 0.52) * k
    b.add(ELLIPSOID, place, (0, 1.18 * k, 0), (wide, 0.82 * k, 0.3 * k), HUMAN, top, motion=motion)
    b.add(ELLIPSOID, place, (0, 1.65 * k, 0), (0.2 * k, 0.26 * k, 0.22 * k), HUMAN, b.plain(skin, 0.2), motion=motion)
    period, phase = rng.uniform(14, 20), rng.uniform(0, 6.28)
    for side in (-1, 1):
        swing = 0.42 if speed else 0.0
        hip, shoulder = place.at(side * 0.1 * k, 0.85 * k, 0), place.at(side * wide * 0.52, 1.42 * k, 0)
        leg = hinge(hip, sideways, side * swing, period, phase, velocity) if speed else None
        arm = hinge(shoulder, sideways, -side * swing * 0.8, period, phase, velocity) if speed else None
        size = (0.17 * k, 0.86 * k, 0.18 * k)
        shade = 0.3 if side < 0 else 0.0
        b.add(CYLINDER, place, (side * 0.1 * k, 0.43 * k, 0), size, HUMAN, trousers, motion=leg, contact=shade)
        at = (side * wide * 0.52, 1.12 * k, 0)
        b.add(CYLINDER, place, at, (0.11 * k, 0.62 * k, 0.12 * k), HUMAN, top, motion=arm)


def tree(b: Builder, place: Place) -> None:
    """A trunk and one to three crowns, or a bush."""
    rng = b.rng
    leaves = foliage(b)
    if rng.random() < 0.25:
        r, h = rng.uniform(0.5, 1.2), rng.uniform(0.8, 1.7)
        b.add(ELLIPSOID, place, (0, h * 0.42, 0), (2 * r, h, 2 * r), NATURE, leaves, contact=0.4)
        return
    h, r = rng.uniform(2.0, 3.4), rng.uniform(1.2, 2.4)
    girth = rng.uniform(0.2, 0.45)
    bark = b.plain()._replace(knoise=1.2, noise_u=12, noise_v=2)
    b.add(CYLINDER, place, (0, h / 2, 0), (girth, h, girth), NATURE, bark, contact=0.4)
    for _ in range(rng.choice((2, 3, 4))):
        at = (rng.uniform(-0.6, 0.6) * r, h + r * rng.uniform(0.2, 1.0), rng.uniform(-0.6, 0.6) * r)
        size = (2 * r * rng.uniform(0.5, 0.9), 2 * r * rng.uniform(0.5, 0.85), 2 * r * rng.uniform(0.5, 0.9))
        b.add(ELLIPSOID, place, at, size, NATURE, leaves)


def foliage(b: Builder) -> Material:
    """Leaves or grass: blotches, green in half of the cases."""
    rng, base = b.rng, b.colour()
    if rng.random() < 0.5:
        g = rng.uniform(0.3, 0.6)
        base = (g * rng.uniform(0.5, 0.95), g, g * rng.uniform(0.25, 0.6))
    size = rng.uniform(2.5, 6)
    return Material(base, b.shade(base, 0.4, 0.7), knoise=2.2, noise_u=size, noise_v=size)


def pole(b: Builder, place: Place) -> None:
    """A lamp post, a traffic sign, a traffic light, a bollard or an advertising column's board."""
    rng, kind = b.rng, b.rng.random()
    metal = b.plain(noise=0.3) if rng.random() < 0.7 else b.cloth(0.6)
    thick = rng.uniform(0.12, 0.24)
    if kind < 0.3:
        h = rng.uniform(4.5, 7)
        b.add(CYLINDER, place, (0, h / 2, 0), (thick, h, thick), OBJECT, metal, contact=0.3)
        b.add(BOX, place, (0, h, 0.5), (0.22, 0.14, 1.2), OBJECT, metal)
    elif kind < 0.65:
        h, w = rng.uniform(2.3, 3.2), rng.uniform(0.6, 0.95)
        sign = b.cloth(0.6)._replace(border=0.07, border_colour=b.colour())
        b.add(CYLINDER, place, (0, h / 2, 0), (thick, h, thick), OBJECT, metal, contact=0.3)
        size = (w, w * rng.uniform(0.8, 1.3), 0.06)
        b.add(BOX, place, (0, h - 0.2, -thick / 2 - 0.04), size, OBJECT, sign)
    elif kind < 0.85:
        h = rng.uniform(3.0, 3.8)
        b.add(CYLINDER, place, (0, h / 2, 0), (thick, h, thick), OBJECT, metal, contact=0.3)
        lights = Material((0.1, 0.1, 0.1), (0.85, 0.4, 0.2), 0.4, 0.33, 0.6, 0.7, kuv=1.0, glow=0.5)
        b.add(BOX, place, (0, h - 0.4, -thick / 2 - 0.1), (0.36, 1.0, 0.22), OBJECT, lights)
    else:
        w, h = rng.uniform(0.9, 1.4), rng.uniform(1.3, 1.9)
        board = b.cloth(0.9)._replace(border=0.08, border_colour=b.colour())
        b.add(CYLINDER, place, (0, 0.4, 0), (0.2, 0.8, 0.2), OBJECT, metal, contact=0.3)
        b.add(BOX, place, (0, 0.8 + h / 2, 0), (w, h, 0.16), OBJECT, board)
