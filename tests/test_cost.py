"""The counter against the published columns (facts, 1) and against arithmetic; it leaves the model alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from baselines.flow_warping import Accel
from baselines.multi_task import MultiTask
from baselines.multinetpp import MultiNetPP
from baselines.single_task import SingleTask
from baselines.slow_fast import SlowFast
from baselines.svc import SVC
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


# torchvision's ResNets without their classifiers
RESNET = {18: 11_176_512, 50: 23_508_032, 101: 42_500_160}
FLOWNET = 38_676_514
PROJECT = 2048 * 512 + 2 * 512
SE = 512 * 32 + 32 + 32 * 512 + 512
H = 512 * 36 * 9
DISCRIMINATOR = 9 * (512 * 256 + 256 * 128 + 128) + 256 + 128 + 1


def decoders(channels: int, classes: tuple[int, ...] = (7, 1)) -> int:
    return sum(9 * channels * 512 + 512 + 512 * 256 + 256 + 256 * c + c for c in classes)


def fusion(maps: int, layers: int = 1) -> int:
    return 9 * 512 * 512 * (maps + layers - 1) + 2 * 512 * layers


PAIR = RESNET[101] + RESNET[18] + PROJECT + decoders(512)
BY_HAND: list[tuple[str, Callable[[Suite], VideoModel], int]] = [
    ("single task", SingleTask, 2 * RESNET[101] + decoders(2048)),
    ("multi task", MultiTask, RESNET[101] + decoders(2048)),
    ("MultiNet++", MultiNetPP, PAIR + fusion(2)),
    ("MILA", MILA, PAIR + DISCRIMINATOR + 2 * (SE + H + fusion(2) + fusion(3))),
    ("w/o TS", lambda s: MILA(s, task_specific=False), PAIR + DISCRIMINATOR + H + fusion(2) + fusion(3)),
    (
        "w/o MF&TS",
        lambda s: MILA(s, multi_frame=False, task_specific=False),
        PAIR + DISCRIMINATOR + H + fusion(2),
    ),
    (
        "slow only",
        lambda s: MILA(s, 50, None, keyframe_interval=1, mimicry=None),
        RESNET[50] + PROJECT + decoders(512) + 2 * (SE + H + fusion(2)),
    ),
    ("none", lambda s: SlowFast(s, propagation="none"), PAIR + DISCRIMINATOR + 2 * SE),
    (
        "flow",
        lambda s: SlowFast(s, propagation="flow", task_specific=False, mimicry=None),
        PAIR + FLOWNET + fusion(2) + fusion(3),
    ),
    ("SVC", SVC, PAIR + fusion(2, layers=3) + 9 * (1024 * 256 + 256 * 256 + 256 * 81) + 256 + 256 + 81),
    (
        "Accel",
        Accel,
        RESNET[101] + RESNET[18] + FLOWNET + decoders(2048) + decoders(512) + (14 * 7 + 7) + (2 * 1 + 1),
    ),
]


@pytest.mark.parametrize(("model", "parameters"), [row[1:] for row in BY_HAND], ids=[row[0] for row in BY_HAND])
def test_parameters_by_hand(model: Callable[[Suite], VideoModel], parameters: int) -> None:
    with torch.device("meta"):
        built = model(CITYSCAPES)
    assert sum(p.numel() for p in built.parameters()) == parameters


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
