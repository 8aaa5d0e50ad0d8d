"""Textures: the colour of surface points from the material of what they lie on, filtered by the size of a pixel.

Most materials have only some of the parts of a texture, and fine parts fade where a pixel covers them; each part is
computed for the points alone that show it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from mila.common.types import Array
from mila.data.worlds.runs import Runs, picked
from mila.data.worlds.scene import BOX, Scene

_CELLS = 256
_SIDE = _CELLS + 1


@cache
def _random_table() -> Array:
    """One random value a cell, the first row and column once more at the end, float32 `[257 * 257]`."""
    table = np.random.Generator(np.random.PCG64(20240521)).random((_CELLS, _CELLS), np.float32)
    padded = np.pad(table, (0, 1), mode="wrap").ravel()
    padded.setflags(write=False)
    return padded


def _cell(i: Array, j: Array) -> Array:
    values: Array = _random_table().take((i & (_CELLS - 1)) * _SIDE + (j & (_CELLS - 1)))
    return values


def value_noise(u: Array, v: Array) -> Array:
    """Smooth noise in 0..1 with one random value per unit cell, float32 `[N]` like u and v; these are overwritten."""
    fu, fv = np.floor(u), np.floor(v)
    i, j = fu.astype(np.int32), fv.astype(np.int32)
    i &= _CELLS - 1
    j &= _CELLS - 1
    i *= _SIDE
    i += j
    cell = i.astype(np.intp)  # the type that indices have: others are converted at every use
    a, b = np.subtract(u, fu, out=u), np.subtract(v, fv, out=v)
    for x, space in ((a, fu), (b, fv)):
        np.multiply(x, 2, out=space)
        np.subtract(3, space, out=space)
        space *= x
        x *= space
    table = _random_table()
    low, high = table.take(cell), table[1:].take(cell)
    high -= low
    high *= b
    low += high
    first, second = table[_SIDE:].take(cell), table[_SIDE + 1 :].take(cell)
    second -= first
    second *= b
    first += second
    first -= low
    first *= a
    low += first
    noise: Array = low
    return noise


def _square(x: Array, duty: Array, pixels: Array) -> Array:
    """Square wave of period 1 that is 1 for `duty` of it, seen at `pixels` pixels per period."""
    wave = x - np.floor(x)
    wave -= 0.5
    np.abs(wave, out=wave)
    np.subtract(duty / 2, wave, out=wave)
    wave *= pixels * 0.6
    wave += 0.5
    _clip(wave)
    wave -= duty
    wave *= _sharpness(pixels)
    wave += duty
    return wave


def _sharpness(pixels: Array) -> Array:
    """How much of a pattern with this many pixels per period is seen: 0..1."""
    seen = pixels - 1.5
    seen /= 3
    return _clip(seen)


def _clip(x: Array) -> Array:
    """Clip to 0..1 in place."""
    np.maximum(x, 0, out=x)
    np.minimum(x, 1, out=x)
    return x


class Covered(NamedTuple):
    """Points on the surfaces of primitives.

    Attributes:
        runs: which primitives.
        u, v: the surface's own coordinates in metres, float32 `[N]`.
        size: half the size of the face along u and v, float32 `[N]` each.
        footprint: a pixel's size on the surface in metres, float32 `[N]`.
    """

    runs: Runs
    u: Array
    v: Array
    size: tuple[Array, Array]
    footprint: Array


class Textures:
    """The materials of a scene, laid out for the points of many surfaces at once."""

    def __init__(self, scene: Scene) -> None:
        self._rows = np.ascontiguousarray(scene.material.T)
        self._steps = self._rows[3:6] - self._rows[0:3]
        self._patterned = (self._rows[[10, 11, 12, 14]] != 0).any(0)
        self._framed = (self._rows[18] > -1e3) & (scene.shape == BOX)
        self.glow = self._rows[22]

    def colour(self, points: Covered) -> Array:
        """Red, green and blue in 0.02..1 of `N` points, float32 `[3, N]`."""
        runs, u, v, size, footprint = points
        mix = np.zeros(u.shape, np.float32)
        patterned = runs.those(self._patterned)
        if patterned is not None:
            some, theirs = patterned
            mix[some] = self._pattern(theirs, u[some], v[some], footprint[some])
        self._add_noise(mix, points)
        colour = runs.spread(self._steps)
        colour *= mix
        colour += runs.spread(self._rows[:3])
        framed = runs.those(self._framed)
        if framed is not None:
            some, theirs = framed
            edge = np.minimum(size[0][some] - np.abs(u[some]), size[1][some] - np.abs(v[some]))
            width, *borders = theirs.spread(self._rows[18:22])
            frame = np.subtract(width, edge, out=edge)
            frame /= footprint[some]
            frame += 0.5
            _clip(frame)
            for channel, border in zip(colour, borders, strict=True):
                border -= channel[some]
                border *= frame
                channel[some] += border
        np.maximum(colour, 0.02, out=colour)
        return np.minimum(colour, 1, out=colour)

    def _pattern(self, runs: Runs, u: Array, v: Array, footprint: Array) -> Array:
        """Square waves and random cells."""
        pu, pv, duty_u, duty_v, ku, kv, kuv, bond, kcell = runs.spread(self._rows[6:15])
        sv = v / pv
        row = np.floor(sv)
        su = u / pu + bond * (row - 2 * np.floor(row / 2))
        pixels_u, pixels_v = pu / footprint, pv / footprint
        tone = _cell(np.floor(su).astype(np.int32), row.astype(np.int32) * 7 + 3)
        tone -= 0.5
        tone *= kcell * _sharpness(np.minimum(pixels_u, pixels_v))
        waves_u, waves_v = _square(su, duty_u, pixels_u), _square(sv, duty_v, pixels_v)
        ku *= waves_u
        kv *= waves_v
        kuv *= waves_u
        kuv *= waves_v
        mix: Array = ku
        mix += kv
        mix += kuv
        mix += tone
        return mix

    def _add_noise(self, mix: Array, points: Covered) -> None:
        """Three octaves of value noise."""
        runs, u, v, _, footprint = points
        strength, nu, nv = runs.spread(self._rows[15:18])
        cells = footprint * np.maximum(nu, nv)
        for octave, weight in ((0.22, 0.6), (1.0, 0.8), (2.7, 0.4)):
            fade = cells * np.float32(3 * octave)
            np.subtract(2, fade, out=fade)
            _clip(fade)
            some = picked(fade > 0)
            if some is None:
                continue
            noise = value_noise(u[some] * (nu[some] * octave) + 17.3, v[some] * (nv[some] * octave) + 5.1)
            noise -= 0.5
            noise *= strength[some] * weight
            noise *= fade[some]
            mix[some] += noise
