"""Augmentation on the embedded worlds: against geometry, and against slow re-statements of what it should do.

Which transform a clip gets is read off pictures of the coordinates that are sent through it.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.multi_task import MultiTask
from mila.common.types import Array
from mila.data.augment import PROTOCOLS, augment, depth_kind
from mila.data.clips import denormalise, normalise
from mila.data.normals import normals_from_depth
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips, WorldFlow
from mila.data.worlds.ray_casting import Camera, cast, view_of
from mila.data.worlds.rendering import STREET_BASELINE, STREET_FX
from mila.data.worlds.rooms import rooms_scene
from mila.data.worlds.shading import shade
from mila.data.worlds.street import street_scene
from mila.losses import task_loss
from mila.names import AugmentationName
from mila.schedule import Schedule
from mila.tasks import CITYSCAPES, FLOW, NYUV2, VOID, Metric, Suite
from mila.training import batch_of, train

SEED = 7
SUITES = {"street": CITYSCAPES, "rooms": NYUV2}
PROTOCOLS_THAT_CHANGE: tuple[AugmentationName, ...] = ("mtan", "default")


class Transform(NamedTuple):
    """A window's zoom, its edges in source pixels, and whether it is mirrored."""

    scale: float
    top: float
    left: float
    flip: bool


def transforms(step: int, batch: int, height: int, width: int, seed: int = SEED) -> list[Transform]:
    """The transforms of a step, read off frames that show their own x and y."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    seen, _ = augment(torch.stack([x, y, x]).expand(batch, 1, 3, height, width), {}, NYUV2, "mtan", seed, step)
    found = []
    for picture in seen[:, 0].double():
        columns, rows = picture[0, height // 2], picture[1, :, width // 2]
        flip = bool(columns[-2] < columns[1])
        columns = columns.flip(0) if flip else columns
        # Away from the border, where sampling ends at the outermost pixel centres.
        pitch = ((columns[-2] - columns[1]) / (width - 3)).item()
        assert ((rows[-2] - rows[1]) / (height - 3)).item() == pytest.approx(pitch, abs=1e-5)
        found.append(
            Transform(1 / pitch, (rows[1] + 0.5 - 1.5 * pitch).item(), (columns[1] + 0.5 - 1.5 * pitch).item(), flip)
        )
    return found


def source_pixels(protocol: AugmentationName, step: int, batch: int, height: int, width: int) -> Tensor:
    """Which pixel of the image every pixel's target comes from, `[B, H, W]`."""
    index = torch.arange(height * width).view(1, height, width).expand(batch, -1, -1)
    frames = torch.zeros(batch, 1, 3, height, width)
    return augment(frames, {"segmentation": index}, NYUV2, protocol, SEED, step)[1]["segmentation"]


def world_batch(world: Any, length: int, height: int, width: int, clips: int = 2) -> tuple[Tensor, dict[str, Tensor]]:
    """A batch as `PackedClips.batch` makes it."""
    source = WorldClips(world, "train", clips=clips, height=height, width=width)
    shown = [source.clip(index, length) for index in range(clips)]
    frames = normalise(torch.from_numpy(np.stack([clip.frames for clip in shown])))
    return frames, {
        name: torch.from_numpy(np.stack([clip.targets[name] for clip in shown])) for name in shown[0].targets
    }


def test_names_and_kinds_of_depth() -> None:
    assert tuple(PROTOCOLS) == get_args(AugmentationName) == ("none", "mtan", "default")
    with pytest.raises(ValueError, match="unknown augmentation 'autoaugment': choose one of none, mtan, default"):
        augment(torch.zeros(1, 1, 3, 4, 4), {}, NYUV2, "autoaugment", 0, 0)  # type: ignore[arg-type]
    assert (depth_kind(CITYSCAPES), depth_kind(NYUV2)) == ("disparity", "metric")
    with pytest.raises(KeyError, match="no task 'depth'"):
        depth_kind(FLOW)
    metres = replace(CITYSCAPES, name="cityscapes in metres", tasks=(NYUV2.task("depth"),))
    assert depth_kind(metres) == "metric"
    feet = replace(NYUV2.task("depth"), metrics=(Metric("depth_abs", "Abs.", "feet", "lower"),))
    with pytest.raises(ValueError, match="suite 'rooms' states its depth in 'feet', which is neither metres nor"):
        depth_kind(Suite("rooms", (feet,), 4, 4))


def test_none_is_the_batch_itself() -> None:
    frames, targets = world_batch("rooms", 2, 12, 16)
    same, same_targets = augment(frames, targets, NYUV2, "none", SEED, 0)
    assert same is frames
    assert set(same_targets) == set(targets)
    assert all(same_targets[name] is targets[name] for name in targets)


def test_zooms_windows_and_flips_are_spread_as_the_protocol_says() -> None:
    height, width, drawn = 24, 32, list[Transform]()
    for step in range(75):
        drawn += transforms(step, 4, height, width)
    scales = Counter(round(t.scale, 4) for t in drawn)
    assert set(scales) == {1.0, 1.2, 1.5}
    assert min(scales.values()) > 75  # of 300; 100 expected, deviation 8
    assert 115 < sum(t.flip for t in drawn) < 185  # 150 expected, deviation 9
    for size, starts in ((height, [(t.scale, t.top) for t in drawn]), (width, [(t.scale, t.left) for t in drawn])):
        shares = [start / (size - size / scale) for scale, start in starts if scale > 1.1]
        assert min(shares) > -1e-3
        assert max(shares) < 1 + 1e-3
        assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.12)
        assert max(abs(start) for scale, start in starts if scale < 1.1) < 1e-4
    tops, lefts = zip(*[(t.top, t.left) for t in drawn if t.scale > 1.4], strict=True)
    assert abs(np.corrcoef(tops, lefts)[0, 1]) < 0.4


@pytest.mark.parametrize("step", range(4))
def test_mtan_and_default_have_the_same_geometry(step: int) -> None:
    assert torch.equal(source_pixels("mtan", step, 4, 12, 16), source_pixels("default", step, 4, 12, 16))


@pytest.mark.parametrize("world", ["street", "rooms"])
def test_frames_and_targets_against_loops(world: Any) -> None:
    """Every output pixel, of frames and targets, from the source pixels that its centre falls on."""
    height, width, batch, seen = 12, 16, 2, set()
    frames, targets = world_batch(world, 2, height, width)
    unknown = torch.rand(batch, height, width, generator=torch.Generator().manual_seed(1)) < 0.2
    targets["segmentation"][unknown] = VOID
    targets["depth"][unknown[:, None]] = 0
    targets["flow"] = torch.randn(batch, 2, height, width, generator=torch.Generator().manual_seed(2))
    targets["flow"][unknown[:, None].expand(-1, 2, -1, -1)] = torch.nan
    if world == "rooms":
        targets["normals"][unknown[:, None].expand(-1, 3, -1, -1)] = 0
    given = {name: target.clone() for name, target in targets.items()}
    given_frames = frames.clone()
    for step in range(30):
        moved, changed = augment(frames, targets, SUITES[world], "mtan", SEED, step)
        assert moved.dtype == frames.dtype
        assert {n: (t.dtype, t.shape) for n, t in changed.items()} == {n: (t.dtype, t.shape) for n, t in given.items()}
        for b, (scale, top, left, flip) in enumerate(transforms(step, batch, height, width)):
            if (round(scale, 1), flip) in seen:
                continue
            seen.add((round(scale, 1), flip))
            sign = -1 if flip else 1
            for i in range(height):
                for j in range(width):
                    y = top + (i + 0.5) / scale
                    x = left + ((width - 1 - j if flip else j) + 0.5) / scale
                    a, c = min(max(y - 0.5, 0), height - 1), min(max(x - 0.5, 0), width - 1)
                    i0, j0 = min(int(a), height - 2), min(int(c), width - 2)
                    u, v = a - i0, c - j0
                    square = frames[b, ..., i0 : i0 + 2, j0 : j0 + 2].double()
                    expected = (square[..., 0, 0] * (1 - v) + square[..., 0, 1] * v) * (1 - u)
                    expected += (square[..., 1, 0] * (1 - v) + square[..., 1, 1] * v) * u
                    assert moved[b, ..., i, j].numpy() == pytest.approx(expected.numpy(), abs=2e-4)
                    if min(abs(y - round(y)), abs(x - round(x))) < 1e-3:
                        continue  # between two pixels either is nearest
                    i1, j1 = int(y), int(x)
                    assert changed["segmentation"][b, i, j] == given["segmentation"][b, i1, j1]
                    depth = given["depth"][b, 0, i1, j1].item()
                    assert changed["depth"][b, 0, i, j].item() == pytest.approx(depth / scale, rel=1e-4, abs=0)
                    dx, dy = given["flow"][b, :, i1, j1].tolist()
                    flow = [sign * scale * dx, scale * dy]
                    assert changed["flow"][b, :, i, j].tolist() == pytest.approx(flow, rel=1e-4, nan_ok=True)
                    if world == "rooms":
                        nx, ny, nz = given["normals"][b, :, i1, j1].tolist()
                        assert changed["normals"][b, :, i, j].tolist() == [sign * nx, ny, nz]
    assert len(seen) == 6  # three scales, flipped or not
    assert torch.equal(frames, given_frames)
    for name, target in targets.items():
        assert torch.equal(target.nan_to_num(), given[name].nan_to_num())


def test_without_zoom_and_flip_every_bit_stays() -> None:
    frames, targets = world_batch("rooms", 2, 12, 16)
    step = next(s for s in range(40) if all(t.scale < 1.1 and not t.flip for t in transforms(s, 2, 12, 16)))
    moved, changed = augment(frames, targets, NYUV2, "mtan", SEED, step)
    assert torch.equal(moved, frames)
    for name, target in targets.items():
        assert torch.equal(changed[name], target)


class Look(NamedTuple):
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


def look(scene: Any, camera: Camera, height: int, width: int) -> Look:
    view = view_of(scene, camera, 0)
    surface, depth = cast(view, height, width)
    normals, clean = shade(scene, view, surface, depth)
    sky = CITYSCAPES.task("segmentation").classes.index("sky")
    return Look(clean, np.where(surface < 0, sky, scene.label[surface]), depth, normals)


def longer(camera: Camera, t: Transform) -> Camera:
    """The camera with `t.scale` times the focal length that sees the window in full."""
    cx, cy = ((c - start + 0.5) * t.scale - 0.5 for c, start in ((camera.cx, t.left), (camera.cy, t.top)))
    return Camera(camera.fx * t.scale, camera.fy * t.scale, cx, cy, camera.rotation, camera.position)


def stored_disparity(depth: Array) -> Array:
    """Metres to the value in a Cityscapes PNG / 65535, from baseline and focal length; infinite depth is invalid."""
    pixels = 0.209313 * 2262.52 / depth.astype(np.float64)
    return np.where(np.isfinite(depth), (256 * pixels + 1) / 65535, 0)


def as_batch(seen: Look, world: str) -> tuple[Tensor, dict[str, Tensor]]:
    depth = stored_disparity(seen.depth) if world == "street" else seen.depth
    targets = {"segmentation": torch.from_numpy(seen.label)[None], "depth": torch.from_numpy(depth).float()[None, None]}
    if world == "rooms":
        targets["normals"] = torch.from_numpy(seen.normals)[None]
    return normalise(torch.from_numpy(seen.clean) * 255)[None, None], targets


def mirrored(array: Array, flip: bool) -> Array:
    return array[..., ::-1] if flip else array


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
        frames, targets = as_batch(look(scene, camera, height, width), world)
        moved, changed = augment(frames, targets, SUITES[world], protocol, SEED, step)
        truth = look(scene, longer(camera, t), height, width)
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
    seen = look(*scene_and_camera("street", 1, 36, 72), 36, 72)
    frames, disparity = as_batch(seen, "street")
    metres = {"depth": torch.from_numpy(np.where(np.isfinite(seen.depth), seen.depth, 0))[None, None]}
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
    return np.degrees(np.arccos(np.clip((a * b).sum(0)[known] / lengths[known], -1, 1)))


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
        frames, targets = as_batch(look(scene, camera, height, width), "rooms")
        changed = augment(frames, targets, NYUV2, "default", SEED, step)[1]
        depth, normals = changed["depth"][0, 0].numpy(), changed["normals"][0].double().numpy()
        lens = longer(camera, t)
        cx = width - 1 - lens.cx if t.flip else lens.cx
        first = normals_from_depth(depth * t.scale, lens.fx, lens.fy, cx, lens.cy)
        assert np.median(angles(first, normals)) < 2
        if t.flip:  # and n_x is negated
            assert np.median(angles(first, normals * np.array([-1, 1, 1])[:, None, None])) > 10
        kx, ky = (cx - camera.cx) / lens.fx, (lens.cy - camera.cy) / lens.fy  # the window's points: X + k Z, Z / s
        nx, ny, nz = normals
        compressed = np.stack([nx, ny, t.scale * (nz - kx * nx - ky * ny)])
        off[round(t.scale, 1)].append(angles(compressed, normals).mean())
        if t.scale > 1.1:
            second = normals_from_depth(depth, camera.fx, camera.fy, camera.cx, camera.cy)
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


@pytest.mark.parametrize("protocol", PROTOCOLS_THAT_CHANGE)
def test_all_frames_of_a_clip_have_the_same_transform(protocol: AugmentationName) -> None:
    still = world_batch("rooms", 1, 24, 32)[0].expand(2, 5, 3, 24, 32)
    for step in range(5):
        moved, _ = augment(still, {}, NYUV2, protocol, SEED, step)
        assert torch.equal(moved, moved[:, :1].expand_as(moved))
        assert not torch.equal(moved[0, 0], moved[1, 0])


def test_a_colour_becomes_the_same_colour_in_every_frame() -> None:
    """Also when the rest of a frame gets brighter, as when the camera turns to a window."""
    clip = world_batch("rooms", 1, 24, 32)[0].repeat(1, 3, 1, 1, 1)
    bottom = denormalise(clip)
    for t, level in enumerate((0.0, 0.5, 1.0)):
        bottom[:, t, :, 12:] = level
    clip = normalise(bottom * 255)
    pixels = []
    for step in range(5):
        moved, _ = augment(clip, {}, NYUV2, "default", SEED, step)
        from_top = source_pixels("default", step, 2, 24, 32) < 11 * 32  # a row apart: bilinear reaches a pixel far
        for b in range(2):
            colours = moved[b, :, :, from_top[b]]
            assert torch.equal(colours, colours[:1].expand_as(colours))
            pixels.append(colours.shape[-1])
    assert sum(pixels) > 1000


def measured_factors(step: int) -> tuple[float, float, float]:
    """Brightness, contrast and saturation factors of the first clip of a step, from three pictures made for it."""

    def after(rgb: Tensor) -> Tensor:
        frames = normalise(rgb.view(1, 1, 3, 1, -1).expand(1, 1, 3, 8, -1) * 255)
        return denormalise(augment(frames, {}, NYUV2, "default", SEED, step)[0])[0, 0].double()

    brightness = (after(torch.full((3, 16), 0.5))[0, 4, 8] / 0.5).item()
    grey = after(torch.tensor([0.4] * 8 + [0.5] * 8).expand(3, 16))[0]
    contrast = (grey.max() - grey.min()).item() / (0.1 * brightness)
    red, green, _ = after(torch.tensor([0.5, 0.4, 0.4])[:, None].expand(3, 16))[:, 4, 8].tolist()
    return brightness, contrast, (red - green) / (0.1 * brightness * contrast)


def test_colour_jitter_is_brightness_contrast_saturation() -> None:
    """Where there is no zoom: against the three formulas, with ITU-R 601's weights of grey."""
    gray, tested = torch.tensor([0.2989, 0.587, 0.114], dtype=torch.float64)[:, None, None], 0
    rgb = 0.35 + 0.25 * torch.rand(1, 3, 3, 8, 16, generator=torch.Generator().manual_seed(3))
    factors = []
    for step in range(40):
        b, c, s = measured_factors(step)
        factors.append((b, c, s))
        t = transforms(step, 1, 8, 16)[0]
        if t.scale > 1.1:
            continue
        tested += 1
        got = denormalise(augment(normalise(rgb * 255), {}, NYUV2, "default", SEED, step)[0])[0].double()
        expected = rgb[0].double() * b
        mean = (expected * gray).sum(1).mean()  # of the clip, not of a frame
        expected = c * expected + (1 - c) * mean
        expected = s * expected + (1 - s) * (expected * gray).sum(1, keepdim=True)
        assert got.numpy() == pytest.approx(mirrored(expected.numpy(), t.flip), abs=2e-3)
    assert tested >= 8
    for values in zip(*factors, strict=True):
        assert 0.8 - 1e-3 < min(values) < 0.85
        assert 1.15 < max(values) < 1.2 + 1e-3
    assert np.abs(np.corrcoef(np.array(factors).T) - np.eye(3)).max() < 0.5


def test_jittered_frames_stay_between_black_and_white() -> None:
    noise = torch.randint(256, (4, 2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    for step in range(5):
        rgb = denormalise(augment(normalise(noise), {}, NYUV2, "default", SEED, step)[0])
        assert rgb.min() > -1e-5
        assert rgb.max() < 1 + 1e-5


def test_a_function_of_seed_step_and_place_alone() -> None:
    frames, targets = world_batch("rooms", 2, 12, 16, clips=3)
    random.seed(0)
    torch.manual_seed(0)
    states = random.getstate(), torch.get_rng_state()
    moved, changed = augment(frames, targets, NYUV2, "default", SEED, 11)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    again, changed_again = augment(frames, targets, NYUV2, "default", SEED, 11)
    assert torch.equal(again, moved)
    assert all(torch.equal(changed_again[name], changed[name]) for name in targets)
    fewer, _ = augment(frames[:2], {}, NYUV2, "default", SEED, 11)
    assert torch.equal(fewer, moved[:2])
    for seed, step in ((SEED + 1, 11), (SEED, 12)):
        assert not torch.equal(augment(frames, {}, NYUV2, "default", seed, step)[0], moved)
    same = frames[:1].expand(3, -1, -1, -1, -1)
    one, two, three = augment(same, {}, NYUV2, "default", SEED, 11)[0]
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """Six tiny rooms."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32), 1, folder)
    return PackedClips(folder)


def run(clips: PackedClips, path: Path, seed: int = 0, **options: Any) -> tuple[MultiTask, list[dict[str, float]]]:
    torch.manual_seed(seed)
    model = MultiTask(NYUV2, 18, width=0.0625)
    return model, train(model, clips, Schedule(epochs=2, batch=2, lr=1e-3), 5, path, "me", **options)  # 6 steps


def test_training_sees_the_augmented_batch(clips: PackedClips, tmp_path: Path) -> None:
    _, plain = run(clips, tmp_path / "a")
    assert run(clips, tmp_path / "b", augmentation="none")[1] == plain
    _, curve = run(clips, tmp_path / "c", augmentation="default")
    assert curve != plain
    torch.manual_seed(0)
    model = MultiTask(NYUV2, 18, width=0.0625).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    indices, offset = batch_of(0, 6, 2, model.keyframe_interval, 5)
    frames, targets = augment(*clips.batch(indices, offset, model.history), NYUV2, "default", 5, 0)
    predictions, _ = model.training_forward(frames, offset)
    for task in NYUV2.tasks:
        assert curve[0][task.name] == task_loss(task.name, predictions[task.name], targets[task.name]).item()
    with pytest.raises(ValueError, match="unknown augmentation 'flip'"):
        run(clips, tmp_path / "d", augmentation="flip")


def test_interrupted_augmented_training_gives_the_same_numbers(clips: PackedClips, tmp_path: Path) -> None:
    whole, curve = run(clips, tmp_path / "whole", augmentation="default")

    def until(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(clips, tmp_path / "part", augmentation="default", progress=until, checkpoint_seconds=0.0)
    done: list[int] = []
    continued, again = run(
        clips, tmp_path / "part", seed=9, augmentation="default", progress=lambda d, _total: done.append(d)
    )
    assert done == [4, 5, 6]
    assert again == curve
    for name, value in whole.state_dict().items():
        assert torch.equal(continued.state_dict()[name], value), name
