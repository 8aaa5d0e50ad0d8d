"""Scenes: primitives with a material and a rigid motion, and the builder that the two worlds share.

World frame: x right, y down, z forward, metres; the ground is y = 0, so "up" is -y. Time is counted in frames;
the annotated frame is time 0. Every primitive is a unit shape under a rotation, a half size and a centre.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mila.common.types import Array
from mila.data.worlds.motions import UNTURNED, Motion, Vec

BOX, ELLIPSOID, CYLINDER = 0, 1, 2  # the cylinder's axis is its own y


class Material(NamedTuple):
    """A band-limited texture in the surface's own metric coordinates (u, v).

    With square waves s_u, s_v of the given period and duty, and r, n a random number per cell and value noise,
    the colour is `base + (second - base) * (ku s_u + kv s_v + kuv s_u s_v + kcell (r - 1/2) + knoise (n - 1/2))`.
    """

    base: Vec
    second: Vec
    period_u: float = 1.0
    period_v: float = 1.0
    duty_u: float = 0.5
    duty_v: float = 0.5
    ku: float = 0.0
    kv: float = 0.0
    kuv: float = 0.0
    bond: float = 0.0  # every other row is shifted by this part of a period, as bricks are
    kcell: float = 0.0
    knoise: float = 0.0
    noise_u: float = 3.0  # cells of value noise per metre
    noise_v: float = 3.0
    border: float = -1e3  # metres of frame around each face
    border_colour: Vec = (0.0, 0.0, 0.0)
    glow: float = 0.0  # part of the light that does not depend on the lamps


class Lights(NamedTuple):
    """Light that depends on the surface alone, not on the camera.

    Attributes:
        ambient: light from everywhere.
        direction: unit vector towards the distant light.
        directional: strength of the distant light.
        lamp: position of the point light.
        point: strength of the point light.
        tint: RGB gain, exposure included.
    """

    ambient: float
    direction: Vec
    directional: float
    lamp: Vec
    point: float
    tint: Vec


class Place(NamedTuple):
    """A local frame on the ground or on a surface: x to its right, `height` above the ground, z the way it faces."""

    x: float
    z: float
    yaw: float = 0.0
    height: float = 0.0

    def at(self, x: float, height: float, z: float) -> Vec:
        """World coordinates of a local point."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return (self.x + c * x + s * z, -self.height - height, self.z - s * x + c * z)

    def on(self, x: float, height: float, z: float, turn: float = 0.0) -> Place:
        """A place in this place's frame."""
        wx, wy, wz = self.at(x, height, z)
        return Place(wx, wz, self.yaw + turn, -wy)


@dataclass(frozen=True)
class Scene:
    """Primitives as arrays (`P` of them), the camera's path and the light; a pure function of time.

    Attributes:
        shape: int `[P]`, `BOX`, `ELLIPSOID` or `CYLINDER`.
        label: int64 `[P]`, class index.
        rotation, centre, half: rest pose, float64 `[P, 3, 3]`, `[P, 3]`, `[P, 3]`.
        contact: float64 `[P]`, how strongly the primitive darkens what it stands on (0: not at all).
        material: float32 `[P, F]`, the fields of `Material` in order.
        motions: index of a primitive -> its motion.
        camera: time -> camera-to-world rotation `[3, 3]` and position `[3]`.
        lights: the light.
        sky: lower colour, upper colour and cloud colour, or `None` where the world is closed.
        noise: offset and slope of the sensor noise's variance over intensity in 0..1.
    """

    shape: Array
    label: Array
    rotation: Array
    centre: Array
    half: Array
    contact: Array
    material: Array
    motions: dict[int, Motion]
    camera: Motion
    lights: Lights
    sky: tuple[Vec, Vec, Vec] | None
    noise: tuple[float, float]

    def pose(self, time: float) -> tuple[Array, Array]:
        """Rotation `[P, 3, 3]` and centre `[P, 3]` of every primitive."""
        rotation, centre = self.rotation.copy(), self.centre.copy()
        moved = {motion: motion(time) for motion in set(self.motions.values())}  # parts of a thing share a motion
        for index, motion in self.motions.items():
            turn, shift = moved[motion]
            if turn is UNTURNED:
                centre[index] += shift
            else:
                rotation[index] = turn @ rotation[index]
                centre[index] = turn @ centre[index] + shift
        return rotation, centre


@dataclass
class Builder:
    """Collects primitives and draws materials; all randomness comes from `rng`."""

    rng: random.Random
    rows: list[tuple[int, int, Vec, float, Vec, float]] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    turns: dict[int, Array] = field(default_factory=dict)
    motions: dict[int, Motion] = field(default_factory=dict)

    def add(
        self,
        shape: int,
        place: Place,
        centre: Vec,
        size: Vec,
        label: int,
        material: Material,
        *,
        motion: Motion | None = None,
        contact: float = 0.0,
        turn: Array | None = None,
    ) -> int:
        """Add a primitive: centre (x, height, z) in the place's frame and full size (w, h, d); its index."""
        index = len(self.rows)
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        self.rows.append((shape, label, place.at(*centre), place.yaw, half, contact))
        self.materials.append(material)
        if turn is not None:
            self.turns[index] = turn
        if motion is not None:
            self.motions[index] = motion
        return index

    def colour(self) -> Vec:
        """A colour of the one palette that all classes share."""
        rng, kind = self.rng, self.rng.random()
        if kind < 0.35:  # neutral
            value, warm = rng.uniform(0.22, 0.92), rng.uniform(-0.06, 0.1)
            return (value * (1 + warm / 2), value, value * (1 - warm))
        if kind < 0.6:  # wood, brick, earth
            value = rng.uniform(0.25, 0.8)
            return (value, value * rng.uniform(0.6, 0.82), value * rng.uniform(0.35, 0.65))
        hue, saturation, value = rng.random() * 6, rng.uniform(0.12, 0.62), rng.uniform(0.3, 0.85)
        low = value * (1 - saturation)
        return tuple(  # type: ignore[return-value]
            low + (value - low) * min(max(abs((hue + k) % 6 - 3) - 1, 0.0), 1.0) for k in (0.0, 4.0, 2.0)
        )

    def shade(self, colour: Vec, low: float = 0.55, high: float = 0.9) -> Vec:
        """A darker or, as often, brighter version of a colour."""
        k = self.rng.uniform(low, high)
        if self.rng.random() < 0.5:
            return (colour[0] * k, colour[1] * k, colour[2] * k)
        return (1 - (1 - colour[0]) * k, 1 - (1 - colour[1]) * k, 1 - (1 - colour[2]) * k)

    def cloth(self, size: float = 1.0) -> Material:
        """Any of the patterns that all classes share; `size` is the pattern's scale."""
        rng = self.rng
        base = self.colour()
        second = self.shade(base) if rng.random() < 0.75 else self.colour()
        noise: dict[str, Any] = {
            "knoise": rng.uniform(0.5, 1.4),
            "noise_u": rng.uniform(2, 9) / size,
            "noise_v": rng.uniform(2, 9) / size,
        }
        kind = rng.random()
        p = size * rng.uniform(0.12, 0.45)
        if kind < 0.3:
            return Material(base, second, **noise)
        if kind < 0.45:
            return Material(base, second, p, p, rng.uniform(0.3, 0.7), ku=1.0, **(noise | {"knoise": 0.4}))
        if kind < 0.57:
            return Material(base, second, p, p, ku=1.0, kv=1.0, kuv=-2.0, **(noise | {"knoise": 0.4}))
        if kind < 0.7:
            return Material(base, second, p, p, 0.93, 0.93, kuv=1.0, kcell=0.6, **(noise | {"knoise": 0.5}))
        if kind < 0.83:
            return Material(
                base, second, p, p * 0.4, 0.95, 0.9, kuv=1.0, bond=0.5, kcell=0.7, **(noise | {"knoise": 0.5})
            )
        return self.wood(base, second, size)

    def wood(self, base: Vec, second: Vec, size: float = 1.0) -> Material:
        """Planks with grain along v."""
        rng = self.rng
        p = size * rng.uniform(0.1, 0.3)
        return Material(
            base, second, p, p * 9, 0.94, 0.98, kuv=0.8, kcell=1.2, knoise=0.9, noise_u=14 / size, noise_v=1.2 / size
        )

    def plain(self, colour: Vec | None = None, noise: float = 0.6) -> Material:
        """One colour with mild variation."""
        base = self.colour() if colour is None else colour
        return Material(
            base, self.shade(base), knoise=noise, noise_u=self.rng.uniform(2, 8), noise_v=self.rng.uniform(2, 8)
        )

    def scene(
        self, camera: Motion, lights: Lights, sky: tuple[Vec, Vec, Vec] | None, noise: tuple[float, float]
    ) -> Scene:
        """The finished scene."""
        rotation = np.zeros((len(self.rows), 3, 3))
        yaw = np.array([row[3] for row in self.rows])
        rotation[:, 0, 0] = rotation[:, 2, 2] = np.cos(yaw)
        rotation[:, 0, 2] = np.sin(yaw)
        rotation[:, 2, 0] = -np.sin(yaw)
        rotation[:, 1, 1] = 1
        for index, turn in self.turns.items():
            rotation[index] = rotation[index] @ turn
        flat = [[*m.base, *m.second, *m[2:15], *m.border_colour, m.glow] for m in self.materials]
        return Scene(
            np.array([row[0] for row in self.rows]),
            np.array([row[1] for row in self.rows], np.int64),
            rotation,
            np.array([row[2] for row in self.rows]),
            np.array([row[4] for row in self.rows]),
            np.array([row[5] for row in self.rows]),
            np.array(flat, np.float32),
            dict(self.motions),
            camera,
            lights,
            sky,
            noise,
        )
