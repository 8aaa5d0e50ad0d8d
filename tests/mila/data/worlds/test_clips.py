"""The worlds as clip sources: classes, noise, targets, manifests and bad arguments."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from mila.data.worlds.clips import WorldClips
from mila.data.worlds.rendering import render
from mila.errors import UserError
from tests.support.worlds import (
    SUITES,
    WORLDS,
    video,
)


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
