"""Rigid motions of cameras and objects, as functions of time in frames.

World frame: x right, y down, z forward, metres.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mila.common.types import Array

Vec = tuple[float, float, float]
Motion = Callable[[float], tuple[Array, Array]]
"""Time in frames -> rotation `[3, 3]` and translation `[3]` that carry the rest pose to the pose at that time."""

UNTURNED: Array = np.eye(3)
"""The rotation of what moves without turning."""
UNTURNED.setflags(write=False)


def about(axis: int, angle: float) -> Array:
    """Rotation matrix about a coordinate axis; about y, a positive angle turns z towards x."""
    c, s = math.cos(angle), math.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def glide(velocity: Vec) -> Motion:
    """Constant velocity, metres per frame."""
    v = np.array(velocity)
    return lambda time: (UNTURNED, v * time)


def sway(direction: Vec, amplitude: float, period: float, phase: float) -> Motion:
    """Back and forth along a direction, at the rest pose at time 0, without turning."""
    d = np.array(direction)
    return lambda time: (UNTURNED, d * amplitude * _swing(time, period, phase))


def hinge(pivot: Vec, axis: Array, amplitude: float, period: float, phase: float, velocity: Vec) -> Motion:
    """Swing about an axis through a pivot that itself moves at constant velocity."""
    p, v = np.array(pivot), np.array(velocity)

    def motion(time: float) -> tuple[Array, Array]:
        turn = rotation_about(axis, amplitude * math.sin(2 * math.pi * time / period + phase))
        return turn, p - turn @ p + v * time

    return motion


def roll(centre: Vec, radius: float, heading: float, amplitude: float, period: float, phase: float) -> Motion:
    """A ball on the ground that rolls back and forth along a heading without slipping."""
    c, d = np.array(centre), np.array((math.sin(heading), 0.0, math.cos(heading)))
    axis = np.array((-d[2], 0.0, d[0]))

    def motion(time: float) -> tuple[Array, Array]:
        path = amplitude * _swing(time, period, phase)
        turn = rotation_about(axis, path / radius)
        return turn, c - turn @ c + d * path

    return motion


def _swing(time: float, period: float, phase: float) -> float:
    return math.sin(2 * math.pi * time / period + phase) - math.sin(phase)


def rotation_about(axis: Array, angle: float) -> Array:
    """Rotation matrix about a unit vector (Rodrigues)."""
    x, y, z = axis
    k = np.array(((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0)))
    matrix: Array = np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * (k @ k)
    return matrix
