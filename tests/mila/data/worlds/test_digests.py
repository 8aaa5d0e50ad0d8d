"""The pixels of the worlds stay what they are, bit for bit: trained networks have seen them.

What of this is the same on every machine is compared everywhere; what depends on how a processor rounds an arctangent
or adds up a product of matrices, where it does so as the machine did that wrote the digests. After a change of what is
rendered, which raises `VERSION`: `python -m tests.mila.data.worlds.test_digests`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mila.common.files import write_json
from mila.data.worlds.clips import WorldClips, WorldFlow
from mila.data.worlds.rendering import VERSION, World, render

FILE = Path(__file__).with_name("digests.json")
ANYWHERE = ("segmentation", "depth", "surface")
ARCTANGENT = ("rgb",)
PRODUCTS = ("clean", "normals", "flow", "visible")
FLOW_BEFORE = "flow to the frame before"
CASES: tuple[tuple[World, int, int], ...] = (
    ("street", 64, 128),
    ("street", 256, 512),
    ("rooms", 72, 96),
    ("rooms", 256, 512),
)
CLIPS = range(3)


def _digest(values: Any) -> str:
    return hashlib.sha256(f"{values.dtype.str} {values.shape}".encode() + values.tobytes()).hexdigest()[:16]


@cache
def digests_of(world: World, height: int, width: int, clip: int) -> dict[str, str]:
    """Digest of every field of a clip's two frames, and of the flow from the last one to the one before."""
    frames = render(world, "train", clip, 7 * clip, 2, height, width)
    fields = (*ANYWHERE, *ARCTANGENT, *PRODUCTS)
    found = {name: _digest(np.stack([getattr(frame, name) for frame in frames])) for name in fields}
    source = WorldFlow(world, "train", clips=7 * clip + 1, height=height, width=width, seed=clip)
    return found | {FLOW_BEFORE: _digest(source.clip(7 * clip, 2).targets["flow"])}


@cache
def arithmetic() -> dict[str, str]:
    """How this machine rounds what NumPy leaves to it, by the fields that depend on it."""
    rng = np.random.default_rng(0)
    values, matrix = rng.standard_normal((3, 4096), np.float32), rng.standard_normal((3, 3), np.float32)
    arctangent = _digest(np.arctan2(values[0], values[1]))
    exact = values.astype(np.float64)
    products = [matrix @ values, matrix[0] @ values, matrix.T @ values, np.tensordot(matrix.astype(float).T, exact, 1)]
    return {"arctangent": arctangent, "products": _digest(np.concatenate([p.ravel() for p in products]))}


def all_digests() -> dict[str, Any]:
    """What the file of digests holds."""
    frames = {
        f"{world} {height}x{width}": [digests_of(world, height, width, clip) for clip in CLIPS]
        for world, height, width in CASES
    }
    return {"version": VERSION, "arithmetic": arithmetic(), "frames": frames}


def _compare(case: tuple[World, int, int], names: tuple[str, ...]) -> None:
    world, height, width = case
    known = json.loads(FILE.read_text())["frames"][f"{world} {height}x{width}"]
    for clip, digests in zip(CLIPS, known, strict=True):
        found = digests_of(*case, clip)
        assert {name: found[name] for name in names} == {name: digests[name] for name in names}, (case, clip)


def _skip_where_rounded_otherwise(*kinds: str) -> None:
    known = json.loads(FILE.read_text())["arithmetic"]
    if any(arithmetic()[kind] != known[kind] for kind in kinds):
        pytest.skip(f"this machine rounds {' and '.join(kinds)} in another way than the one that wrote the digests")


def test_the_digests_are_of_this_version() -> None:
    assert json.loads(FILE.read_text())["version"] == VERSION


@pytest.mark.parametrize("case", CASES)
def test_geometry_stays_bit_for_bit(case: Any) -> None:
    _compare(case, ANYWHERE)


@pytest.mark.parametrize("case", CASES)
def test_pixels_stay_bit_for_bit(case: Any) -> None:
    _skip_where_rounded_otherwise("arctangent")
    _compare(case, ARCTANGENT)


@pytest.mark.parametrize("case", CASES)
def test_colours_normals_and_flow_stay_bit_for_bit(case: Any) -> None:
    _skip_where_rounded_otherwise("arctangent", "products")
    _compare(case, (*PRODUCTS, FLOW_BEFORE))


@pytest.mark.parametrize("case", CASES)
def test_clips_hold_the_frames_that_are_rendered(case: Any) -> None:
    world, height, width = case
    clip = WorldClips(world, "train", clips=8, height=height, width=width, seed=1).clip(7, 2)
    assert _digest(clip.frames) == digests_of(*case, 1)["rgb"]
    last = render(world, "train", 1, 7, 1, height, width)[0]
    assert np.array_equal(clip.targets["segmentation"], last.segmentation)


if __name__ == "__main__":
    write_json(FILE, all_digests())
    sys.stdout.write(f"{FILE} is up to date\n")
