"""The embedded worlds: ground truth is checked by geometry, with the projections written out once more here."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mila
from mila.data.worlds.clips import WorldClips, WorldFlow
from mila.data.worlds.rendering import Frame, Video, render, render_video
from mila.errors import UserError
from mila.tasks import CITYSCAPES, FLOW, NYUV2

WORLDS = ("street", "rooms")
SIZES = {"street": (72, 144), "rooms": (72, 96)}
SUITES = {"street": CITYSCAPES, "rooms": NYUV2}
CLIPS = range(8)


@cache
def video(world: Any, clip: int) -> Video:
    return render_video(world, "val", 3, clip, 2, *SIZES[world])


def back_project(frame: Frame, camera: Any) -> Any:
    """Camera-frame points [3, H, W] of the depth; the sky's are at depth 1."""
    height, width = frame.depth.shape
    i, j = np.mgrid[:height, :width]
    z = np.where(np.isfinite(frame.depth), frame.depth, 1).astype(np.float64)
    return np.stack([(j - camera.cx) / camera.fx * z, (i - camera.cy) / camera.fy * z, z])


def reproject(clip: Video) -> tuple[Any, Any]:
    """Image coordinates [2, H, W] and depth in frame 1 of frame 0's points, as if nothing had moved but the camera."""
    frame, now, then = clip.frames[0], clip.cameras[0], clip.cameras[1]
    local = back_project(frame, now)
    world = np.einsum("ij,jhw->ihw", now.rotation, local)
    shift = (now.position - then.position)[:, None, None]
    world = np.where(np.isfinite(frame.depth), world + shift, world)
    x, y, z = np.einsum("ji,jhw->ihw", then.rotation, world)
    return np.stack([then.fx * x / z + then.cx, then.fy * y / z + then.cy]), z


def moving_mask(clip: Video, frame: Frame) -> Any:
    return np.isin(frame.surface, list(clip.moving))


def same_neighbours(surface: Any) -> Any:
    """Interior pixels whose 3 x 3 neighbours all show the same surface [H - 2, W - 2]."""
    middle, (height, width) = surface[1:-1, 1:-1], surface.shape
    return np.all(
        [surface[a : height - 2 + a, b : width - 2 + b] == middle for a in range(3) for b in range(3)], axis=0
    )


def bilinear(image: Any, x: Any, y: Any) -> Any:
    """Samples [C, N] of an image [C, H, W] at coordinates inside it."""
    height, width = image.shape[-2:]
    j, i = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    a, b = x - j, y - i
    top = image[:, i, j] * (1 - a) + image[:, i, j + 1] * a
    low = image[:, i + 1, j] * (1 - a) + image[:, i + 1, j + 1] * a
    return top * (1 - b) + low * b


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


FIELDS = ("rgb", "clean", "segmentation", "depth", "normals", "flow", "visible", "surface")


def digest(frames: list[Frame]) -> str:
    content = hashlib.sha256()
    for frame in frames:
        for name in FIELDS:
            content.update(np.ascontiguousarray(getattr(frame, name)).tobytes())
    return content.hexdigest()


@pytest.mark.parametrize("world", WORLDS)
def test_same_identity_same_bits_also_in_a_fresh_process(world: Any) -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from mila.data.worlds.rendering import render\n"
        "content = hashlib.sha256()\n"
        f"for frame in render({world!r}, 'test', 5, 2, 2, 24, 32):\n"
        f"    for name in {FIELDS!r}:\n"
        "        content.update(np.ascontiguousarray(getattr(frame, name)).tobytes())\n"
        "print(content.hexdigest())\n"
    )
    here = digest(render(world, "test", 5, 2, 2, 24, 32))
    assert here == digest(render(world, "test", 5, 2, 2, 24, 32))
    env = os.environ | {"PYTHONPATH": str(Path(mila.__file__).parents[1]), "PYTHONHASHSEED": "7"}
    fresh = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == here


@pytest.mark.parametrize("world", WORLDS)
def test_splits_seeds_and_clips_share_no_scene(world: Any) -> None:
    identities: list[Any] = [(s, seed, clip) for s in ("train", "val", "test") for seed in (0, 1) for clip in (0, 1, 2)]
    depths: list[Any] = [render(world, split, seed, clip, 1, 12, 16)[0].depth for split, seed, clip in identities]
    for a in range(len(depths)):
        for b in range(a):
            assert (depths[a] != depths[b]).mean() > 0.5, (identities[a], identities[b])


@pytest.mark.parametrize("world", WORLDS)
def test_annotated_frame_does_not_depend_on_the_length(world: Any) -> None:
    source = WorldClips(world, "train", clips=3, height=24, width=32, seed=1)
    long = source.clip(1, 5)
    for length in (1, 2, 4):
        short = source.clip(1, length)
        assert np.array_equal(short.frames, long.frames[-length:])
        for task, target in short.targets.items():
            assert np.array_equal(target, long.targets[task])
    assert all((long.frames[k] != long.frames[k + 1]).mean() > 0.2 for k in range(4))
    full = render(world, "train", 1, 1, 3, 24, 32)
    assert np.array_equal(np.stack([frame.rgb for frame in full]), long.frames[-3:])
    assert np.array_equal(full[-1].segmentation, long.targets["segmentation"])


@pytest.mark.parametrize("world", WORLDS)
def test_the_scene_is_the_same_at_any_resolution(world: Any) -> None:
    height, width = SIZES[world]
    for clip in range(3):
        base = render(world, "val", 3, clip, 1, height, width)[0]
        third = render(world, "val", 3, clip, 1, 3 * height, 3 * width)[0]  # its every third ray is one of base's
        assert (third.segmentation[1::3, 1::3] == base.segmentation).mean() > 0.999
        assert (np.abs(1 / third.depth[1::3, 1::3] - 1 / base.depth) < 1e-4).mean() > 0.999
        double = render(world, "val", 3, clip, 1, 2 * height, 2 * width)[0]
        assert (double.segmentation[::2, ::2] == base.segmentation).mean() > 0.9
        assert np.median(np.abs(1 / double.depth[::2, ::2] - 1 / base.depth)) < 2e-3


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from(WORLDS), st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.integers(1, 3))
def test_every_resolution_gives_complete_frames(world: Any, height: int, width: int, seed: int, length: int) -> None:
    frames = render(world, "train", seed, 0, length, height, width)
    assert len(frames) == length
    for frame in frames:
        types = {"rgb": "u1", "clean": "f4", "segmentation": "i8", "depth": "f4", "normals": "f4", "flow": "f4"}
        for name, kind in types.items():
            value = getattr(frame, name)
            assert value.dtype == np.dtype(kind)
            assert value.shape == ((3,) if name in ("rgb", "clean", "normals") else (2,) if name == "flow" else ()) + (
                height,
                width,
            )
        sky = frame.surface < 0
        assert frame.segmentation.min() >= 0
        assert frame.segmentation.max() < len(SUITES[world].tasks[0].classes)
        assert np.array_equal(np.isinf(frame.depth), sky)
        assert frame.depth.min() > 0.05
        assert frame.clean.min() >= 0
        assert frame.clean.max() <= 1
        assert np.isfinite(frame.flow).all()
        assert world == "street" or not sky.any()


@cache
def many(world: Any, split: Any, clips: int) -> tuple[Any, Any]:
    """Annotated frames [N, 3, H, W] and their segmentation [N, H, W]."""
    source = WorldClips(world, split, clips=clips, height=48, width=96 if world == "street" else 64)
    samples = [source.clip(index, 1) for index in range(clips)]
    return np.stack([s.frames[-1] for s in samples]), np.stack([s.targets["segmentation"] for s in samples])


@pytest.mark.parametrize("world", WORLDS)
def test_every_class_appears_and_none_dominates(world: Any) -> None:
    _, labels = many(world, "test", 80)
    classes = SUITES[world].task("segmentation").classes
    counts = np.stack([np.bincount(label.ravel(), minlength=len(classes)) for label in labels])
    presence = dict(zip(classes, (counts >= 6).mean(0), strict=True))
    assert min(presence.values()) >= 0.2, presence
    shares = counts.sum(0) / counts.sum()
    assert shares.max() < 0.45
    assert shares.min() > 0.005
    assert classes[shares.argmax()] == {"street": "flat", "rooms": "wall"}[world]


@pytest.mark.parametrize("world", WORLDS)
def test_colour_alone_does_not_tell_the_class(world: Any) -> None:
    images, labels = many(world, "train", 60)
    number = len(SUITES[world].task("segmentation").classes)
    pixels = images.transpose(0, 2, 3, 1)
    means = np.stack([pixels[labels == k].mean(0) for k in range(number)])
    images, labels = many(world, "test", 80)
    pixels = images.transpose(0, 2, 3, 1).astype(np.float32)
    distance = np.stack([np.square(pixels - mean).sum(-1) for mean in means])
    guess = distance.argmin(0)
    recall = np.mean([(guess[labels == k] == k).mean() for k in range(number)])
    assert recall < 0.4


@pytest.mark.parametrize("world", WORLDS)
def test_sensor_noise_is_small_unbiased_and_new_in_every_frame(world: Any) -> None:
    first, second = video(world, 1).frames
    residual = [(frame.rgb / 255 - frame.clean)[:, 4:-4, 4:-4] for frame in (first, second)]
    for noise in residual:
        assert abs(np.median(noise)) < 2e-3
        assert 1e-3 < noise.std() < 0.04
    assert abs(np.corrcoef(residual[0].ravel(), residual[1].ravel())[0, 1]) < 0.1


def test_street_targets_are_disparity_as_cityscapes_stores_it() -> None:
    source = WorldClips("street", "val", clips=4, height=48, width=96, seed=2)
    for index in range(4):
        target = source.clip(index, 1).targets["depth"]
        depth = render("street", "val", 2, index, 1, 48, 96)[0].depth
        assert target.shape == (1, 48, 96)
        assert target.dtype == np.float32
        sky = np.isinf(depth)
        assert not target[0][sky].any()
        stored = target[0][~sky].astype(np.float64) * 65535
        assert (stored > 1).all()
        assert stored.max() <= 65535
        metres = 0.209313 * 2262.52 / ((stored - 1) / 256)
        unclipped = depth[~sky] > 1.9
        assert metres[unclipped] == pytest.approx(depth[~sky][unclipped], rel=1e-3)


def test_rooms_targets_are_metres_and_unit_normals() -> None:
    source = WorldClips("rooms", "val", clips=4, height=36, width=48)
    for index in range(4):
        clip = source.clip(index, 2)
        assert clip.frames.shape == (2, 3, 36, 48)
        assert clip.frames.dtype == np.uint8
        assert set(clip.targets) == {"segmentation", "depth", "normals"}
        assert clip.targets["depth"].shape == (1, 36, 48)
        assert clip.targets["depth"].min() > 0.2
        assert clip.targets["depth"].max() < 10
        assert np.linalg.norm(clip.targets["normals"], axis=0) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("world", WORLDS)
def test_a_source_says_what_it_is(world: Any) -> None:
    source = WorldClips(world, "test", clips=7, height=30, width=40, seed=4)
    assert len(source) == 7
    assert source.suite is SUITES[world]
    assert set(source.clip(6, 1).targets) == {task.name for task in source.suite.tasks}
    manifest = source.manifest()
    stated = {"world": world, "split": "test", "clips": 7, "seed": 4, "height": 30, "width": 40}
    assert stated.items() <= manifest.items()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"world": "forest"}, "forest"),
        ({"split": "dev"}, "dev"),
        ({"clips": 0}, "at least 1 clip"),
        ({"height": 0}, "resolution"),
        ({"width": -3}, "resolution"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_sources_are_refused(change: dict[str, Any], text: str) -> None:
    arguments: dict[str, Any] = {"world": "rooms", "split": "train", "clips": 2, "height": 8, "width": 8} | change
    with pytest.raises(UserError, match=text):
        WorldClips(**arguments)


def test_bad_clips_are_refused() -> None:
    source = WorldClips("rooms", "train", clips=2, height=8, width=8)
    for index in (-1, 2):
        with pytest.raises(IndexError, match="2 clips"):
            source.clip(index, 1)
    with pytest.raises(UserError, match="at least 1 frame"):
        source.clip(0, 0)
    with pytest.raises(UserError, match="at least 1 frame"):
        render("street", "train", 0, 0, 0, 8, 8)
    with pytest.raises(UserError, match="clip must be"):
        render("street", "train", 0, -1, 1, 8, 8)
    with pytest.raises(UserError, match="unknown world"):
        render("moon", "train", 0, 0, 1, 8, 8)  # type: ignore[arg-type]
