"""Augmentation on the embedded worlds: against slow re-statements of what it should do."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from mila.data.augment import PROTOCOLS, augment, depth_kind
from mila.names import AugmentationName
from mila.tasks import CITYSCAPES, FLOW, NYUV2, VOID, Metric, Suite
from tests.support.augmentation import (
    PROTOCOLS_THAT_CHANGE,
    SEED,
    SUITES,
    Transform,
    source_pixels,
    transforms,
    world_batch,
)


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


@pytest.mark.parametrize("protocol", PROTOCOLS_THAT_CHANGE)
def test_all_frames_of_a_clip_have_the_same_transform(protocol: AugmentationName) -> None:
    still = world_batch("rooms", 1, 24, 32)[0].expand(2, 5, 3, 24, 32)
    for step in range(5):
        moved, _ = augment(still, {}, NYUV2, protocol, SEED, step)
        assert torch.equal(moved, moved[:, :1].expand_as(moved))
        assert not torch.equal(moved[0, 0], moved[1, 0])


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
