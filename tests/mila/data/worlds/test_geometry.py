"""Visibility, normals, depth and cameras of the worlds, checked by geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mila.data.worlds.rendering import render_video
from tests.support.worlds import (
    CLIPS,
    WORLDS,
    back_project,
    moving_mask,
    reproject,
    same_neighbours,
    video,
)


@pytest.mark.parametrize("world", WORLDS)
def test_visible_agrees_with_the_depth_of_the_next_frame(world: Any) -> None:
    hidden_count = seen_count = 0
    for clip in CLIPS:
        shot = video(world, clip)
        first, second = shot.frames
        height, width = first.depth.shape
        (x, y), z = reproject(shot)
        outside = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
        static = ~moving_mask(shot, first) & (first.surface >= 0)
        assert not first.visible[static & outside].any()
        i, j = np.nonzero(static & (x > 1) & (y > 1) & (x < width - 2) & (y < height - 2) & (z > 0))
        col, row, deep = np.rint(x[i, j]).astype(int), np.rint(y[i, j]).astype(int), z[i, j]
        near = np.stack([second.depth[row + a, col + b] for a in (-1, 0, 1) for b in (-1, 0, 1)])
        who = np.stack([second.surface[row + a, col + b] for a in (-1, 0, 1) for b in (-1, 0, 1)])
        one = (who == who[0]).all(0)  # one surface covers the whole neighbourhood
        hidden = one & (who[0] != first.surface[i, j]) & (near < 0.95 * deep).all(0)
        seen = one & (who[0] == first.surface[i, j]) & (np.abs(near - deep) < 0.02 * deep).all(0)
        assert not first.visible[i, j][hidden].any()
        assert first.visible[i, j][seen].all()
        hidden_count += hidden.sum()
        seen_count += seen.sum()
    assert hidden_count > 20
    assert seen_count > 10_000


@pytest.mark.parametrize("world", WORLDS)
def test_normals_agree_with_the_depth(world: Any) -> None:
    angles = []
    for clip in CLIPS:
        shot = video(world, clip)
        frame, camera = shot.frames[1], shot.cameras[1]
        points = back_project(frame, camera)
        across, down = points[:, 1:-1, 2:] - points[:, 1:-1, :-2], points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
        expected = np.cross(down, across, axis=0)
        expected /= np.linalg.norm(expected, axis=0)
        cosine = (expected * frame.normals[:, 1:-1, 1:-1]).sum(0)
        angles.append(
            np.degrees(np.arccos(np.clip(cosine, -1, 1)))[
                same_neighbours(frame.surface) & (frame.surface[1:-1, 1:-1] >= 0)
            ]
        )
        solid = frame.surface >= 0
        assert np.abs(np.linalg.norm(frame.normals, axis=0)[solid] - 1).max() < 1e-4
        assert (frame.normals * points).sum(0)[solid].max() < 0  # facing the camera
        assert not frame.normals[:, ~solid].any()
    angle = np.concatenate(angles)
    assert np.median(angle) < 0.2
    assert np.percentile(angle, 90) < 3


@pytest.mark.parametrize("world", WORLDS)
def test_camera_motion_moves_static_pixels_as_their_depth_says(world: Any) -> None:
    moved = 0
    for clip in CLIPS:
        shot = video(world, clip)
        first = shot.frames[0]
        height, width = first.depth.shape
        expected, z = reproject(shot)
        expected = expected - np.mgrid[:height, :width][::-1]
        off = np.linalg.norm(first.flow - expected, axis=0)
        moves = moving_mask(shot, first)
        front = ~moves & (z > 0.05)
        assert off[front].max() < 1e-2
        moved += (off[moves] > 0.2).sum() > 0.002 * off.size
        assert 0.0 < np.median(np.linalg.norm(first.flow, axis=0)) < 0.1 * width
    assert moved >= len(CLIPS) // 2  # something moves on its own in most clips


def test_the_sky_moves_by_the_rotation_only() -> None:
    shot = video("street", 0)
    frame, turned = shot.frames[0], shot.cameras[1].rotation.T @ shot.cameras[0].rotation
    camera = shot.cameras[0]
    i, j = np.nonzero(np.isinf(frame.depth))
    assert i.size > 100
    x, y, z = turned @ np.stack([(j - camera.cx) / camera.fx, (i - camera.cy) / camera.fy, np.ones(i.size)])
    assert np.abs(camera.fx * x / z + camera.cx - j - frame.flow[0, i, j]).max() < 1e-2
    assert np.abs(camera.fy * y / z + camera.cy - i - frame.flow[1, i, j]).max() < 1e-2


@pytest.mark.parametrize("world", WORLDS)
def test_cameras_are_those_of_the_data_set(world: Any) -> None:
    camera = render_video(world, "val", 0, 0, 1, 64, 128).cameras[0]
    focal = {"street": (2262.52 / 16, 2262.52 / 16, 0.209313), "rooms": (518.86 / 5, 519.47 / 7.5, 0.0)}[world]
    assert (camera.fx, camera.fy, camera.baseline) == pytest.approx(focal)
    assert (camera.cx, camera.cy) == (63.5, 31.5)
    assert camera.rotation @ camera.rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(camera.rotation) == pytest.approx(1)
