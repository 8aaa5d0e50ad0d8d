"""Clips that take every n-th time step of their scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.pretraining import pretrainings
from experiments.profiles import QUICK
from mila.backbone import OUTPUT_STRIDE
from mila.data.worlds.clips import WorldClips, WorldFlow
from mila.data.worlds.rendering import render
from mila.errors import UserError
from mila.tasks import CITYSCAPES, NYUV2, VOID
from tests.support.worlds import WORLDS

SIZE: dict[str, Any] = {"height": 24, "width": 32}


@pytest.mark.parametrize("world", WORLDS)
def test_every_nth_time_step_is_taken(world: Any) -> None:
    fine, coarse = (WorldClips(world, "val", clips=2, stride=n, **SIZE) for n in (1, 3))
    long, short = fine.clip(1, 7), coarse.clip(1, 3)
    assert np.array_equal(short.frames, long.frames[::3])
    for name, target in long.targets.items():
        assert np.array_equal(short.targets[name], target)
    assert coarse.manifest() == fine.manifest() | {"stride": 3}


@pytest.mark.parametrize("world", WORLDS)
def test_flow_leads_n_time_steps_back(world: Any) -> None:
    fine, coarse = (WorldFlow(world, "val", clips=12, stride=n, **SIZE) for n in (1, 3))
    ratios = []
    for index in range(12):
        one, three = (source.clip(index, 1).targets["flow"] for source in (fine, coarse))
        ratios.append(np.linalg.norm(three, axis=0).mean() / np.linalg.norm(one, axis=0).mean())
    assert 2 < np.median(ratios) < 4.5  # a camera held by hand sways


@pytest.mark.slow
@pytest.mark.parametrize(("world", "suite"), [("street", CITYSCAPES), ("rooms", NYUV2)])
def test_quick_moves_as_many_cells_a_frame_as_the_papers_size(world: Any, suite: Any) -> None:
    def cells(height: int, width: int, stride: int) -> float:
        source = WorldFlow(world, "val", clips=16, height=height, width=width, stride=stride)
        flows = [source.clip(index, 1).targets["flow"] for index in range(16)]
        return float(np.median([np.linalg.norm(flow, axis=0) / OUTPUT_STRIDE for flow in flows]))

    assert cells(*QUICK.size(suite), QUICK.stride) == pytest.approx(cells(suite.height, suite.width, 1), rel=0.4)


def test_clips_that_begin_before_their_street_are_refused() -> None:
    source = WorldClips("street", "val", clips=1, stride=8, **SIZE)
    source.check(7)
    with pytest.raises(UserError, match="begins 56 time steps before its last frame"):
        source.check(8)
    with pytest.raises(UserError, match="smaller stride"):
        source.clip(0, 8)
    WorldClips("rooms", "val", clips=1, stride=8, **SIZE).check(100)
    with pytest.raises(UserError, match="at least 1 time step a frame, not 0"):
        WorldClips("rooms", "val", clips=1, stride=0, **SIZE)


def test_what_encoders_are_pretrained_on_shares_no_scene_with_any_other_split() -> None:
    """A scene is a function of (world, split, seed, index): no two splits have one in common."""
    for each in pretrainings(QUICK):
        trained, scored = each.train.data.manifest, each.score.data.manifest
        assert (trained["split"], scored["split"]) == ("pretrain", "val")
        assert trained["clips"] >= 10_000
    for world in ("street", "rooms"):
        splits: Any = ("pretrain", "train", "val", "test")
        depths = [render(world, split, 0, i, 1, 12, 16)[0].depth.tobytes() for split in splits for i in range(4)]
        assert len(set(depths)) == len(depths)


@pytest.mark.slow
def test_rays_that_slip_out_of_a_room_meet_nothing() -> None:
    """Of 24,000 rooms, seven have a pixel whose ray passes between two walls."""
    clip = WorldClips("rooms", "pretrain", clips=1065, height=72, width=96).clip(1064, 1)
    assert clip.targets["segmentation"][12, 12] == VOID
    assert clip.targets["depth"][0, 12, 12] == 0
    assert not clip.targets["normals"][:, 12, 12].any()
    assert (clip.targets["segmentation"] == VOID).sum() == 1
