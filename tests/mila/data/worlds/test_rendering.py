"""Rendering of the worlds: the same bits for the same identity, at any length and resolution."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mila
from mila.data.worlds.clips import WorldClips
from mila.data.worlds.rendering import Frame, render
from tests.support.worlds import (
    SIZES,
    SUITES,
    WORLDS,
)

FIELDS = ("rgb", "clean", "segmentation", "depth", "normals", "flow", "visible", "surface")


def digest(frames: list[Frame]) -> str:
    content = hashlib.sha256()
    for frame in frames:
        for name in FIELDS:
            content.update(np.ascontiguousarray(getattr(frame, name)).tobytes())
    return content.hexdigest()


@pytest.mark.slow
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
