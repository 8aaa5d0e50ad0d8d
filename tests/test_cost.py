"""The counter against the published columns (facts, 1) and against arithmetic; it leaves the model alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from baselines.multi_task import MultiTask
from baselines.multinetpp import MultiNetPP
from baselines.single_task import SingleTask
from mila.cost import EXECUTED, PUBLISHED, count
from mila.model import MILA
from mila.tasks import CITYSCAPES, NYUV2, Suite
from mila.video_model import VideoModel

PAPER: list[tuple[str, Callable[[Suite], VideoModel], float, float]] = [
    ("D101-SingleTask", SingleTask, 186.51, 236.46),
    ("D101-MultiTask", MultiTask, 93.26, 78.82),
    ("MultiNet++", MultiNetPP, 47.38, 40.04),
    ("MILA w/o MF&TS", lambda s: MILA(s, multi_frame=False, task_specific=False), 47.94, 40.52),
    ("MILA w/o TS", lambda s: MILA(s, task_specific=False), 54.73, 46.26),
    ("MILA", MILA, 70.19, 72.39),
]


@pytest.mark.parametrize(("model", "city", "nyu"), [row[1:] for row in PAPER], ids=[row[0] for row in PAPER])
def test_architecture_a_costs_what_thop_said(model: Callable[[Suite], VideoModel], city: float, nyu: float) -> None:
    for suite, gmacs in ((CITYSCAPES, city), (NYUV2, nyu)):
        with torch.device("meta"):
            built = model(suite)
        assert count(built, suite.height, suite.width).gflops == pytest.approx(gmacs, abs=0.006)


def test_average_is_one_keyframe_and_the_rest() -> None:
    with torch.device("meta"):
        model = MILA(NYUV2, keyframe_interval=10)
    cost = count(model, 288, 384)
    assert cost.average == pytest.approx((cost.keyframe + 9 * cost.non_keyframe) / 10)
    assert cost.non_keyframe < cost.keyframe


def test_embeddings_are_charged_as_the_convention_says() -> None:
    """At a non-keyframe with two sources: 4 h a task on both maps of each propagation, 1 a frame otherwise."""
    with torch.device("meta"):
        model = MILA(NYUV2)
    h = 37 * 49 * 36 * 512 * 9
    published, executed = count(model, 288, 384, PUBLISHED), count(model, 288, 384, EXECUTED)
    pixels, classes = 37 * 49, (13, 1, 3)
    decoder = sum(pixels * (512 * 512 * 9 + 512 * 256 + 256 * c) for c in classes)
    assert executed.non_keyframe - published.non_keyframe == pytest.approx(decoder - 3 * 3 * h, rel=1e-9)
    assert executed.parameters - published.parameters == sum(
        512 * 512 * 9 + 512 + 512 * 256 + 256 + 256 * c + c for c in classes
    )


def test_counting_leaves_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = MILA(NYUV2, 18, 18, width=0.0625).train()
    before = copy.deepcopy(model.state_dict())
    clip = torch.randn(1, 3, 3, 32, 32)
    count(model, 64, 96)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert model.training
    assert model.mimicry is not None
    assert not any(m._forward_hooks for m in model.modules())
    model.training_forward(clip, 1)[0]["depth"].sum().backward()
