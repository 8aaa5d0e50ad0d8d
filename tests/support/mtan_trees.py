"""MTAN's ready-made arrays, written for tests: a room whose depth and normals are known at every pixel."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from mila.common.types import Array
from mila.data.readers.mtan_trees import MTANTree, Signs
from mila.tasks import NYUV2

HEIGHT, WIDTH = 36, 48


def room(number: int) -> tuple[Array, Array]:
    """Depth `[36, 48]` in metres and normals towards the camera `[36, 48, 3]` of a floor and three walls.

    A wall n . X = d meets the ray (u, v, 1) at depth d / (n . (u, v, 1)); the nearest in front of the camera is seen.
    """
    fx, fy, cx, cy = 518.86 * 0.075, 519.47 * 0.075, (325.58 + 0.5) * 0.075 - 0.5, (253.74 + 0.5) * 0.075 - 0.5
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], 2)  # [H, W, 3]
    walls = [((0, -1, 0), -1.0), ((0, 0, -1), -3.0 - 0.1 * number), ((1, 0, 0), -1.1), ((-1, 0, 0), -1.2)]
    depths = np.stack([d / np.where((dot := rays @ np.array(n, float)) < 0, dot, np.nan) for n, d in walls])
    depths = np.where(np.isnan(depths), np.inf, depths)
    return depths.min(0), np.array([n for n, _ in walls], float)[depths.argmin(0)]


def image(number: int) -> Array:
    """`[36, 48, 3]` in 0..1, whole multiples of 1 / 255: red counts columns, green rows, blue is `number`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 5, y * 7, np.full_like(x, number)], 2) / 255.0


def labels(number: int, classes: int) -> Array:
    """-1 to `classes` - 1 in turn, by columns."""
    return np.broadcast_to((np.arange(WIDTH) + number) % (classes + 1) - 1, (HEIGHT, WIDTH)).astype(np.float32)


def put(root: Path, kind: str, number: int, array: Array, part: str = "train") -> None:
    folder = root / part / kind
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{number}.npy", array)


def write_nyu_tree(root: Path, signs: Signs = (1, 1, 1), count: int = 3) -> Path:
    for part, number in itertools.product(("train", "val"), range(count if count > 1 else 1)):
        depth, normals = room(number)
        depth[:3], normals[:3] = 0, 0
        put(root, "image", number, image(number + 50 * (part == "val")), part)
        put(root, "label", number, labels(number, 13), part)
        put(root, "depth", number, depth[..., None].astype(np.float32), part)
        put(root, "normal", number, (normals * signs).astype(np.float32), part)
    return root


def write_cities_tree(root: Path) -> Path:
    for number in range(11):
        put(root, "image", number, image(number))
        for classes in (2, 7, 19):
            put(root, f"label_{classes}", number, labels(number, classes).astype(np.int64))
        put(root, "depth", number, np.linspace(0, 0.49, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1))
    return root


def open_tree(root: Path, split: str = "train", suite: Any = NYUV2, **options: Any) -> MTANTree:
    return MTANTree(root, split, suite=suite, **{"height": HEIGHT, "width": WIDTH, **options})  # type: ignore[arg-type]
