"""Optical flow of the worlds: frames warped by it, and the cameras' own account of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mila.data.worlds.clips import WorldClips, WorldFlow
from mila.data.worlds.rendering import Video
from mila.tasks import FLOW
from tests.support.worlds import (
    CLIPS,
    SIZES,
    WORLDS,
    bilinear,
    moving_mask,
    reproject,
    video,
)


@pytest.mark.parametrize("world", WORLDS)
def test_warping_the_next_frame_by_the_flow_gives_this_frame(world: Any) -> None:
    errors, unwarped = [], []
    for clip in CLIPS:
        first, second = video(world, clip).frames
        height, width = first.depth.shape
        i, j = np.nonzero(first.visible)
        x, y = j + first.flow[0, i, j], i + first.flow[1, i, j]
        assert x.min() >= -1e-3
        assert y.min() >= -1e-3
        assert x.max() <= width - 0.999
        assert y.max() <= height - 0.999
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        x0, y0 = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
        around = np.stack([second.surface[y0 + a, x0 + b] for a in (0, 1) for b in (0, 1)])
        assert (around == first.surface[i, j]).any(0).mean() > 0.97  # what is visible is really there
        inside = (around == first.surface[i, j]).all(0)
        target = first.clean[:, i, j]
        errors.append(np.abs(bilinear(second.clean, x, y) - target).mean(0)[inside])
        unwarped.append(np.abs(second.clean[:, i, j] - target).mean(0)[inside])
    error, still = np.concatenate(errors), np.concatenate(unwarped)
    assert np.median(error) < 0.004
    assert np.percentile(error, 95) < 0.05
    assert error.mean() < 0.5 * still.mean()


@pytest.mark.parametrize("world", WORLDS)
def test_flow_of_moving_objects_carries_their_own_motion(world: Any) -> None:
    by_flow, by_camera = [], []
    for clip in range(16):
        shot = video(world, clip)
        first, second = shot.frames
        height, width = first.depth.shape
        static, _ = reproject(shot)
        i, j = np.nonzero(moving_mask(shot, first) & first.visible)
        own = np.stack([j, i]) + first.flow[:, i, j]
        away = np.linalg.norm(own - static[:, i, j], axis=0)
        x, y = np.clip(static[0, i, j], 0, width - 1), np.clip(static[1, i, j], 0, height - 1)
        moved = away > 0.7
        target = first.clean[:, i, j]
        by_camera.append(np.abs(bilinear(second.clean, x, y) - target).mean(0)[moved])
        x, y = np.clip(own[0], 0, width - 1), np.clip(own[1], 0, height - 1)
        by_flow.append(np.abs(bilinear(second.clean, x, y) - target).mean(0)[moved])
    flow_error, camera_error = np.concatenate(by_flow), np.concatenate(by_camera)
    assert flow_error.size > 500
    assert np.median(flow_error) < 0.02
    assert flow_error.mean() < 0.6 * camera_error.mean()


def source_flow(world: Any, clip: int) -> Any:
    """Target [2, H, W] of the clip that `video` renders: from its frame 1 to its frame 0."""
    height, width = SIZES[world]
    return WorldFlow(world, "val", clips=clip + 1, height=height, width=width, seed=3).clip(clip, 1).targets["flow"]


@pytest.mark.parametrize("world", WORLDS)
def test_flow_to_the_frame_before_is_where_the_cameras_put_the_points(world: Any) -> None:
    moved = 0
    for clip in CLIPS:
        shot = video(world, clip)
        (older, current), (then, now) = shot.frames, shot.cameras[:2]
        backwards = Video([current, older], [now, then], shot.moving)
        flow, (expected, z) = source_flow(world, clip), reproject(backwards)
        i, j = np.nonzero(~moving_mask(shot, current))
        assert (z[i, j] > 0).all()
        assert np.abs(np.stack([j, i]) + flow[:, i, j] - expected[:, i, j]).max() < 2e-3
        moved += (np.linalg.norm(flow, axis=0) > 0.5).sum()
    assert moved > 10_000


@pytest.mark.parametrize("world", WORLDS)
def test_warping_the_frame_before_by_the_target_gives_the_last_frame(world: Any) -> None:
    errors, unwarped, opposite = [], [], []
    for clip in CLIPS:
        (older, current), flow = video(world, clip).frames, source_flow(world, clip)
        height, width = current.depth.shape
        i, j = np.mgrid[:height, :width]
        x, y = j + flow[0], i + flow[1]
        i, j = np.nonzero((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1))
        x, y = x[i, j], y[i, j]
        # Visible there: the four pixels around the place in the older frame show the same surface.
        x0, y0 = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
        around = np.stack([older.surface[y0 + a, x0 + b] for a in (0, 1) for b in (0, 1)])
        seen = (around == current.surface[i, j]).all(0)
        assert seen.mean() > 0.75
        target = current.clean[:, i, j]
        errors.append(np.abs(bilinear(older.clean, x, y) - target).mean(0)[seen])
        unwarped.append(np.abs(older.clean[:, i, j] - target).mean(0)[seen])
        x, y = np.clip(2 * j - x, 0, width - 1), np.clip(2 * i - y, 0, height - 1)
        opposite.append(np.abs(bilinear(older.clean, x, y) - target).mean(0)[seen])
    error = np.concatenate(errors)
    assert np.median(error) < 0.004
    assert np.percentile(error, 95) < 0.05
    assert error.mean() < 0.5 * np.concatenate(unwarped).mean()
    assert error.mean() < 0.3 * np.concatenate(opposite).mean()


@pytest.mark.parametrize("world", WORLDS)
def test_flow_of_moving_objects_leads_back_to_them(world: Any) -> None:
    """The target carries a point to where it was, and the flow of the older frame carries it from there to here."""
    back_and_forth, inside, same = [], 0, 0
    for clip in range(16):
        shot = video(world, clip)
        older, current = shot.frames
        backwards = Video([current, older], [shot.cameras[1], shot.cameras[0]], shot.moving)
        flow, (still, _) = source_flow(world, clip), reproject(backwards)
        height, width = current.depth.shape
        i, j = np.nonzero(moving_mask(shot, current))
        x, y = j + flow[0, i, j], i + flow[1, i, j]
        col, row = np.rint(x).astype(int), np.rint(y).astype(int)
        kept = np.hypot(x - still[0, i, j], y - still[1, i, j]) > 0.7  # they move on their own
        kept &= (col >= 0) & (row >= 0) & (col < width) & (row < height)
        i, j, col, row = i[kept], j[kept], col[kept], row[kept]
        met = older.surface[row, col] == current.surface[i, j]
        inside, same = inside + met.size, same + met.sum()
        back_and_forth.append(np.linalg.norm(flow[:, i, j] + older.flow[:, row, col], axis=0)[met])
    away = np.concatenate(back_and_forth)
    assert away.size > 300
    assert same > 0.9 * inside
    assert np.percentile(away, 90) < 0.3  # not 0: the two flows are of points up to half a pixel apart


@pytest.mark.parametrize("world", WORLDS)
def test_flow_clips_are_the_worlds_frames(world: Any) -> None:
    arguments: dict[str, Any] = {"clips": 3, "height": 24, "width": 32, "seed": 1}
    source, plain = WorldFlow(world, "train", **arguments), WorldClips(world, "train", **arguments)
    assert source.suite is FLOW
    assert len(source) == 3
    long = source.clip(1, 3)
    assert np.array_equal(long.frames, plain.clip(1, 3).frames)
    assert set(long.targets) == {"flow"}
    assert long.targets["flow"].dtype == np.float32
    assert long.targets["flow"].shape == (2, 24, 32)
    for length in (1, 2):
        assert np.array_equal(source.clip(1, length).targets["flow"], long.targets["flow"])
    for index in range(3):
        assert np.isfinite(source.clip(index, 1).targets["flow"]).all()
    assert {**source.manifest(), "source": "world", "suite": plain.suite.name} == plain.manifest()
    assert source.manifest() != plain.manifest()
    with pytest.raises(IndexError, match="3 clips"):
        source.clip(3, 1)
