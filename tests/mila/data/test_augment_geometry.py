"""Augmentation against geometry: scenes rendered again by a camera with a longer lens, and flow that carries frames."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from mila.common.types import Array
from mila.data.augment import augment
from mila.data.clips import denormalise, normalise
from mila.data.normals import normals_from_depth
from mila.data.worlds.clips import WorldFlow
from mila.data.worlds.ray_casting import Camera, cast, view_of
from mila.data.worlds.rendering import STREET_BASELINE, STREET_FX
from mila.data.worlds.rooms import rooms_scene
from mila.data.worlds.shading import shade
from mila.data.worlds.street import street_scene
from mila.names import AugmentationName
from mila.tasks import CITYSCAPES, FLOW, NYUV2
from tests.support.augmentation import (
    PROTOCOLS_THAT_CHANGE,
    SEED,
    SUITES,
    Transform,
    mirrored,
    source_pixels,
    transforms,
)


class Rendered(NamedTuple):
    """What a camera sees of a scene: clean RGB, class, metres (sky: infinite), normals."""

    clean: Array
    label: Array
    depth: Array
    normals: Array


def scene_and_camera(world: str, scene_seed: int, height: int, width: int) -> tuple[Any, Camera]:
    make = street_scene if world == "street" else rooms_scene
    scene = make(random.Random(scene_seed))
    focal = (
        (STREET_FX * width / 2048, STREET_FX * height / 1024) if world == "street" else (0.81 * width, 1.08 * height)
    )
    return scene, Camera(*focal, (width - 1) / 2, (height - 1) / 2, *scene.camera(0))


def render_view(scene: Any, camera: Camera, height: int, width: int) -> Rendered:
    view = view_of(scene, camera, 0)
    surface, depth = cast(view, height, width)
    normals, clean = shade(scene, view, surface, depth)
    sky = CITYSCAPES.task("segmentation").classes.index("sky")
    return Rendered(clean, np.where(surface < 0, sky, scene.label[surface]), depth, normals)


def longer(camera: Camera, t: Transform) -> Camera:
    """The camera with `t.scale` times the focal length that sees the window in full."""
    cx, cy = ((c - start + 0.5) * t.scale - 0.5 for c, start in ((camera.cx, t.left), (camera.cy, t.top)))
    return Camera(camera.fx * t.scale, camera.fy * t.scale, cx, cy, camera.rotation, camera.position)


def stored_disparity(depth: Array) -> Array:
    """Metres to the value in a Cityscapes PNG / 65535, from baseline and focal length; infinite depth is invalid."""
    pixels = 0.209313 * 2262.52 / depth.astype(np.float64)
    return np.where(np.isfinite(depth), (256 * pixels + 1) / 65535, 0)


def as_batch(rendered: Rendered, world: str) -> tuple[Tensor, dict[str, Tensor]]:
    depth = stored_disparity(rendered.depth) if world == "street" else rendered.depth
    targets = {
        "segmentation": torch.from_numpy(rendered.label)[None],
        "depth": torch.from_numpy(depth).float()[None, None],
    }
    if world == "rooms":
        targets["normals"] = torch.from_numpy(rendered.normals)[None]
    return normalise(torch.from_numpy(rendered.clean) * 255)[None, None], targets


@pytest.mark.parametrize("world", ["street", "rooms"])
@pytest.mark.parametrize("protocol", PROTOCOLS_THAT_CHANGE)
def test_zoom_is_what_a_camera_with_a_longer_lens_sees(world: str, protocol: AugmentationName) -> None:
    """Labels, normals and depth of the same scene, rendered again by a camera with s times the focal length."""
    (height, width), zooms, relative = (72, 96), 0, list[Array]()
    assert STREET_BASELINE == 0.209313
    for step in range(12):
        t = transforms(step, 1, height, width)[0]
        if t.scale < 1.1:
            continue
        zooms += 1
        scene, camera = scene_and_camera(world, step, height, width)
        frames, targets = as_batch(render_view(scene, camera, height, width), world)
        moved, changed = augment(frames, targets, SUITES[world], protocol, SEED, step)
        truth = render_view(scene, longer(camera, t), height, width)
        assert (changed["segmentation"][0].numpy() == mirrored(truth.label, t.flip)).mean() > 0.95
        depth, true_depth = changed["depth"][0, 0].double().numpy(), mirrored(truth.depth, t.flip)
        known = (depth > 0) & np.isfinite(true_depth)
        assert known.mean() > 0.5
        if world == "rooms":
            reached = true_depth[known] / t.scale  # s times nearer
            normals = changed["normals"][0].numpy() * np.array([-1 if t.flip else 1, 1, 1])[:, None, None]
            same = np.isclose(normals, mirrored(truth.normals, t.flip), atol=0.02).all(0)
            assert same.mean() > 0.9
        elif protocol == "default":
            reached = stored_disparity(true_depth[known] / t.scale)  # s times nearer
        else:
            reached = stored_disparity(true_depth[known]) / t.scale  # as the public code has it
        relative.append(np.abs(depth[known] / reached - 1))
        if protocol == "mtan":  # no jitter: the picture is where the targets are, to half a pixel
            picture = denormalise(moved[0, 0]).numpy()
            true_picture = mirrored(truth.clean, t.flip)
            inner = (slice(None), slice(2, -2), slice(2, -2))
            off = {
                (di, dj): np.abs(np.roll(picture, (di, dj), (1, 2)) - true_picture)[inner].mean()
                for di in (-1, 0, 1)
                for dj in (-1, 0, 1)
            }
            assert min(off, key=off.__getitem__) == (0, 0)
    assert zooms >= 6
    errors = np.concatenate(relative)
    assert np.median(errors) < 0.01
    assert (errors < 0.1).mean() > 0.93


def test_under_zoom_disparity_times_depth_stays_that_of_the_original_camera() -> None:
    """Both data sets of one scene: what is metres in one and disparity in the other is still the same point."""
    rendered = render_view(*scene_and_camera("street", 1, 36, 72), 36, 72)
    frames, disparity = as_batch(rendered, "street")
    metres = {"depth": torch.from_numpy(np.where(np.isfinite(rendered.depth), rendered.depth, 0))[None, None]}
    zooms = 0
    for step in range(8):
        scale = transforms(step, 1, 36, 72)[0].scale
        value = augment(frames, disparity, CITYSCAPES, "default", SEED, step)[1]["depth"].double()
        depth = augment(frames, metres, NYUV2, "default", SEED, step)[1]["depth"].double()
        assert torch.equal(value > 0, depth > 0)
        known = depth > 0
        assert 0.5 < known.double().mean() < 1
        product = (65535 * value[known] - 1) / 256 * depth[known]
        assert product.numpy() == pytest.approx(0.209313 * 2262.52, rel=1e-4)
        wrong = augment(frames, disparity, CITYSCAPES, "mtan", SEED, step)[1]["depth"].double()
        product = (65535 * wrong[known] - 1) / 256 * depth[known]
        assert product.median().item() == pytest.approx(0.209313 * 2262.52 / scale**2, rel=1e-2)
        zooms += scale > 1.1
    assert zooms >= 4


def test_the_farthest_disparity_stays_valid_and_farthest() -> None:
    stored = torch.tensor([0.0, 1 / 65535, 257 / 65535]).view(1, 1, 1, 3).expand(1, 1, 2, 3)
    step = next(s for s in range(40) if transforms(s, 1, 24, 32)[0].scale > 1.4)
    big = stored.repeat(1, 1, 12, 11)[..., :32]
    value = augment(torch.zeros(1, 1, 3, 24, 32), {"depth": big}, CITYSCAPES, "default", SEED, step)[1]["depth"]
    assert [65535 * v for v in sorted(set(value.flatten().tolist()))] == pytest.approx([0, 1, 385], abs=1e-3)


def angles(a: Array, b: Array) -> Array:
    """Degrees between vectors `[3, ...]`, where neither is 0."""
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    known = lengths > 0
    degrees: Array = np.degrees(np.arccos(np.clip((a * b).sum(0)[known] / lengths[known], -1, 1)))
    return degrees


def test_which_camera_the_normals_belong_to() -> None:
    """Normals of the augmented depth, in either reading, against the augmented normals of *rooms*.

    Exact for a focal length s times longer at the old depth; for the old camera at depth / s, off by the angles that
    the module's docstring names.
    """
    height, width = 144, 192
    off = {1.0: list[float](), 1.2: list[float](), 1.5: list[float]()}
    right, alone = list[float](), list[float]()
    for step in range(14):
        t = transforms(step, 1, height, width)[0]
        scene, camera = scene_and_camera("rooms", step, height, width)
        frames, targets = as_batch(render_view(scene, camera, height, width), "rooms")
        changed = augment(frames, targets, NYUV2, "default", SEED, step)[1]
        depth, normals = changed["depth"][0, 0].numpy(), changed["normals"][0].double().numpy()
        lens = longer(camera, t)
        cx = width - 1 - lens.cx if t.flip else lens.cx
        # the depth is sampled, not mixed, so it has steps of about so many metres
        first = normals_from_depth(depth * t.scale, lens.fx, lens.fy, cx, lens.cy, depth_step=0.03)
        assert np.median(angles(first, normals)) < 2
        if t.flip:  # and n_x is negated
            assert np.median(angles(first, normals * np.array([-1, 1, 1])[:, None, None])) > 10
        kx, ky = (cx - camera.cx) / lens.fx, (lens.cy - camera.cy) / lens.fy  # the window's points: X + k Z, Z / s
        nx, ny, nz = normals
        compressed = np.stack([nx, ny, t.scale * (nz - kx * nx - ky * ny)])
        off[round(t.scale, 1)].append(angles(compressed, normals).mean())
        if t.scale > 1.1:
            second = normals_from_depth(depth, camera.fx, camera.fy, camera.cx, camera.cy, depth_step=0.03)
            right.append(float(np.median(angles(second, compressed))))
            alone.append(float(np.median(angles(second, normals))))
        centred = angles(np.stack([nx, ny, t.scale * nz]), normals)
        assert centred.max() < np.degrees(np.arctan(np.sqrt(t.scale)) - np.arctan(1 / np.sqrt(t.scale))) + 1e-3
    assert np.mean(right) < 2
    assert np.mean(alone) > 5
    assert max(off[1.0]) < 1e-3
    assert (np.mean(off[1.2]), np.mean(off[1.5])) == pytest.approx((3.6, 9.0), abs=0.05)


@pytest.mark.parametrize("world", ["street", "rooms"])
def test_transformed_flow_carries_the_transformed_frames(world: Any) -> None:
    """Where the transformed flow leads from a pixel of the last frame, the frame before shows the same.

    The flow is the worlds'; the picture is a smooth pattern, so that an error of a fraction of a pixel shows.
    """
    height, width, seen = 72, 96, set()
    errors: dict[str, list[Tensor]] = {"right": [], "not negated": [], "not scaled": []}
    source = WorldFlow(world, "train", clips=24, height=height, width=width)
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")

    def pattern(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([torch.sin(x / 2 + y / 3), torch.cos(x / 3 - y / 2), torch.sin(x / 3)])

    for step in range(24):
        t = transforms(step, 1, height, width)[0]
        if (round(t.scale, 1), t.flip) in seen:
            continue
        seen.add((round(t.scale, 1), t.flip))
        flow = torch.from_numpy(source.clip(step, 1).targets["flow"])
        flow[:, :3] = torch.nan
        frames = torch.stack([pattern(x, y), pattern(x + flow[0].nan_to_num(), y + flow[1].nan_to_num())])[None]
        moved, changed = augment(frames.float(), {"flow": flow[None]}, FLOW, "mtan", SEED, step)
        before, last = moved[0].double()
        right = changed["flow"][0].double()
        assert torch.equal(right.isnan().all(0), source_pixels("mtan", step, 1, height, width)[0] < 3 * width)
        motions = {"right": right}
        if t.flip:
            motions["not negated"] = right * torch.tensor([-1.0, 1.0])[:, None, None]
        if t.scale > 1.1:
            motions["not scaled"] = right / t.scale
        limits = torch.tensor([width - 1, height - 1])
        for name, motion in motions.items():
            there = torch.stack([x + motion[0], y + motion[1]], -1)
            inside = ((there >= 0) & (there <= limits)).all(-1)  # NaN is not
            assert inside.double().mean() > 0.5
            # With corners aligned, -1 and 1 are the outermost pixel centres.
            grid = there.nan_to_num() / limits * 2 - 1
            carried = torch.nn.functional.grid_sample(before[None], grid[None], align_corners=True)[0]
            errors[name].append((carried - last).abs().mean(0)[inside].median())
    assert len(seen) == 6
    error = {name: torch.stack(values).mean().item() for name, values in errors.items()}
    assert error["right"] < 0.03
    assert error["not scaled"] > 2 * error["right"]
    assert error["not negated"] > 4 * error["right"]
