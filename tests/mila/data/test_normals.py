"""Normals from depth, against surfaces whose normals are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mila.common.types import Array
from mila.data.normals import normals_from_depth
from tests.support.paths import SHARED

HEIGHT, WIDTH = 240, 320
CAMERA = (259.4, 259.7, 162.8, 126.9)
STEP = 1 / 25.5  # metres between two values of NYUd v2's 8-bit depth


def rays() -> Array:
    """`[3, H, W]`, the third component 1."""
    fx, fy, cx, cy = CAMERA
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    return np.stack([(x - cx) / fx, (y - cy) / fy, np.ones((HEIGHT, WIDTH))])


def plane(normal: Array, distance: float) -> Array:
    """Depth of the plane through (0, 0, distance); 0 where it is not before the camera or farther than 10 m."""
    across = np.tensordot(normal, rays(), 1)
    with np.errstate(divide="ignore"):
        z = distance * normal[2] / across
    return np.where((z > 0.3) & (z < 10), z, 0.0)


def slanted(tilt: float, turn: float) -> Array:
    """Unit normal that faces the camera, `tilt` degrees off the optical axis."""
    t, p = np.radians(tilt), np.radians(turn)
    return -np.array([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)])


def quantised(depth: Array) -> Array:
    return np.where(depth > 0, (np.floor(depth / STEP) + 0.5) * STEP, 0.0)


def error(estimate: npt.NDArray[np.float32], true: Array, where: npt.NDArray[np.bool_]) -> Array:
    """Degrees at the pixels of `where`, each of which must have a normal."""
    true = true if true.ndim == 3 else np.broadcast_to(true[:, None, None], estimate.shape)
    assert np.allclose(np.linalg.norm(estimate[:, where], axis=0), 1, atol=1e-5)
    # 2 asin(|a - b| / 2) is exact near zero, where acos in single precision is not
    chord = np.linalg.norm(estimate[:, where] - true[:, where], axis=0).clip(0, 2)
    degrees: Array = np.degrees(2 * np.arcsin(chord / 2))
    return degrees


@pytest.mark.parametrize("tilt", [0, 20, 45, 65])
@pytest.mark.parametrize("turn", [0, 100, 215])
def test_slanted_planes_are_exact(tilt: float, turn: float) -> None:
    normal = slanted(tilt, turn)
    depth = plane(normal, 2.0)
    estimate = normals_from_depth(depth, *CAMERA)
    assert estimate.shape == (3, HEIGHT, WIDTH)
    assert estimate.dtype == np.float32
    assert error(estimate, normal, depth > 0).max() < 0.1


@pytest.mark.parametrize("distance", [1.0, 2.0, 3.0, 5.0])
def test_quantised_planes_are_close(distance: float) -> None:
    errors = []
    for tilt, turn in [(10, 30), (25, 200), (40, 300), (50, 90)]:
        depth = plane(slanted(tilt, turn), distance)
        estimate = normals_from_depth(quantised(depth), *CAMERA, depth_step=STEP)
        errors.append(error(estimate, slanted(tilt, turn), depth > 0).mean())
    # near surfaces suffer most: a bin of 3.9 cm spans many pixels there
    assert np.mean(errors) < (4.0 if distance < 2 else 1.0)


@pytest.mark.parametrize("radius", [0.5, 1.0])
def test_spheres(radius: float) -> None:
    ray, centre = rays(), np.array([0.0, 0.0, 2.5])
    a, b = (ray * ray).sum(0), -2 * np.tensordot(centre, ray, 1)
    discriminant = b * b - 4 * a * (centre @ centre - radius**2)
    on = discriminant > 0
    z = np.where(on, (-b - np.sqrt(np.maximum(discriminant, 0))) / (2 * a), 0.0)
    true = (ray * z - centre[:, None, None]) / radius
    errors = error(normals_from_depth(z, *CAMERA), true, on)
    assert np.median(errors) < 1
    assert errors.mean() < 2
    errors = error(normals_from_depth(quantised(z), *CAMERA, depth_step=STEP), true, on)
    assert errors.mean() < 6


@pytest.mark.parametrize("quantise", [False, True])
def test_edges_stay_sharp_at_a_box_before_a_floor_and_a_wall(quantise: bool) -> None:
    floor, front = slanted(63, 90), np.array([0.0, 0.0, -1.0])
    depth = plane(floor, 2.5)
    wall = (depth == 0) | (depth > 6)
    depth = np.where(wall, 6.0, depth)
    true = np.where(wall, front[:, None, None], floor[:, None, None])
    depth[75:150, 100:200] = 1.6
    true[:, 75:150, 100:200] = front[:, None, None]
    step = STEP if quantise else 0.0
    estimate = normals_from_depth(quantised(depth) if quantise else depth, *CAMERA, depth_step=step)
    errors = error(estimate, true, depth > 0)
    assert errors.mean() < 1
    assert (errors > 10).mean() < 0.02


def test_a_corner_between_two_walls_stays_sharp() -> None:
    left, right = slanted(45, 0), slanted(45, 180)
    a, b = plane(left, 3.0), plane(right, 3.0)
    a, b = np.where(a > 0, a, 99), np.where(b > 0, b, 99)
    depth, seen = np.minimum(a, b), np.minimum(a, b) < 10
    true = np.where(a <= b, left[:, None, None], right[:, None, None])
    assert error(normals_from_depth(np.where(seen, depth, 0), *CAMERA), true, seen).mean() < 0.5


def test_missing_depth_has_no_normal_and_disturbs_no_neighbour() -> None:
    normal = slanted(30, 45)
    depth = plane(normal, 2.0)
    rng = np.random.default_rng(0)
    holes = rng.random(depth.shape) < 0.3
    depth[holes] = rng.choice([0.0, np.nan, -1.0, np.inf], holes.sum())
    depth[50:60, 100:180] = 0
    estimate = normals_from_depth(depth, *CAMERA)
    there = np.isfinite(depth) & (depth > 0)
    assert not estimate[:, ~there].any()
    assert error(estimate, normal, there).max() < 0.1


def test_too_little_depth_has_no_normal() -> None:
    depth = np.zeros((HEIGHT, WIDTH))
    assert not normals_from_depth(depth, *CAMERA).any()
    assert not normals_from_depth(np.full_like(depth, np.nan), *CAMERA).any()
    depth[100, 100] = 2.0
    depth[20, :] = 2.0  # a line of samples fixes no plane
    assert not normals_from_depth(depth, *CAMERA).any()


def test_integer_and_single_precision_depth_are_taken() -> None:
    wall = np.full((20, 30), 2)
    for depth in (wall, wall.astype(np.float32)):
        estimate = normals_from_depth(depth, 25, 25, 15, 10)
        assert np.allclose(estimate, np.array([0, 0, -1.0])[:, None, None], atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.floats(allow_nan=True, allow_infinity=True),
    )
)
def test_any_depth_gives_unit_vectors_that_face_the_camera_or_zero(depth: Array) -> None:
    fx, fy, cx, cy = 10.0, 11.0, 5.0, 6.0
    estimate = normals_from_depth(depth, fx, fy, cx, cy)
    lengths = np.linalg.norm(estimate, axis=0)
    assert np.all(np.isclose(lengths, 0) | np.isclose(lengths, 1, atol=1e-5))
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    assert np.all(estimate[0] * (x - cx) / fx + estimate[1] * (y - cy) / fy + estimate[2] <= 1e-6)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[H, W\]"):
        normals_from_depth(np.ones((1, 4, 4)), 1, 1, 0, 0)
    with pytest.raises(ValueError, match="focal"):
        normals_from_depth(np.ones((4, 4)), 0, 1, 0, 0)
    with pytest.raises(ValueError, match="reach"):
        normals_from_depth(np.ones((4, 4)), 1, 1, 0, 0, reach=0)


def slow_normal(depth: Array, row: int, column: int, fx: float, fy: float, cx: float, cy: float) -> Array:
    """The toolbox's plane at one pixel, point by point: 1 / Z is linear on a plane."""
    points = []
    for dy in (-9, -6, -3, -1, 0, 1, 3, 6, 9):
        for dx in (-9, -6, -3, -1, 0, 1, 3, 6, 9):
            y, x = row + dy, column + dx
            inside = 0 <= y < depth.shape[0] and 0 <= x < depth.shape[1] and depth[y, x] > 0
            if inside and abs(depth[y, x] - depth[row, column]) <= 0.05 * depth[row, column]:
                points.append(((x - cx) / fx, (y - cy) / fy, 1.0, 1 / depth[y, x]))
    rows = np.array(points)
    plane: Array = np.linalg.lstsq(rows[:, :3], rows[:, 3], rcond=None)[0]
    normal: Array = -plane / np.linalg.norm(plane)
    return normal


def test_it_is_the_fit_of_the_toolbox_point_by_point() -> None:
    rng = np.random.default_rng(3)
    camera = (518.86, 519.47, 30.0, 20.0)
    depth = 2 + 0.4 * rng.random((40, 60)) * (rng.random((40, 60)) < 0.5)
    depth[rng.random(depth.shape) < 0.1] = 0
    estimate = normals_from_depth(depth, *camera)
    for row, column in [(0, 0), (20, 30), (39, 59), (5, 58), (33, 7)]:
        if depth[row, column] > 0:
            assert estimate[:, row, column] == pytest.approx(slow_normal(depth, row, column, *camera), abs=2e-3)


OFFICIAL = SHARED / "nyuv2_official"
needs_official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"no official normals of NYUd v2 in {OFFICIAL}")


def official_normals() -> tuple[Array, npt.NDArray[np.bool_]]:
    """Of image 433, in our camera frame `[3, H, W]`, and where they are known."""
    stored = np.asarray(Image.open(OFFICIAL / "norm_gt_000433.png")).astype(np.float64)
    known = np.asarray((np.abs(stored - 127) > 2).any(-1))
    right, forward, up = (stored / 255 * 2 - 1).transpose(2, 0, 1)
    normals = np.stack([right, -up, forward])
    return normals / np.linalg.norm(normals, axis=0).clip(1e-9), known


@needs_official
def test_official_normals_are_met() -> None:
    depth = np.asarray(Image.open(OFFICIAL / "depth_gt_000433.png")) / 5000
    true, known = official_normals()
    estimate = normals_from_depth(depth, 518.86, 519.47, 325.58, 253.74)
    errors = error(estimate, true, known & estimate.any(0))
    assert (known & (depth > 0) & ~estimate.any(0)).mean() < 0.002
    assert errors.mean() < 4.5
    assert np.median(errors) < 1.5


@needs_official
def test_official_normals_are_nearly_met_from_depth_of_8_bits() -> None:
    coarse = SHARED / "nyuv2" / "depth" / "0432.png"
    if not coarse.is_file():
        pytest.skip(f"no 8-bit depth in {coarse}")
    depth = (np.asarray(Image.open(coarse)) + 0.5) * STEP
    true, known = official_normals()
    estimate = normals_from_depth(depth, 518.86, 519.47, 325.58, 253.74, depth_step=STEP)
    errors = error(estimate, true, known & estimate.any(0))
    assert (known & ~estimate.any(0)).mean() < 0.002
    assert errors.mean() < 5
    assert np.median(errors) < 3
