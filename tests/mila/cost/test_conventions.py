"""The counter against the published columns (note 1) and against arithmetic; it leaves the model alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.constant import Constant
from baselines.cross_stitch import CrossStitch
from baselines.flow_warping import Accel
from baselines.flownet import FlowNet
from baselines.mtan import MTAN
from baselines.multi_task import MultiTask
from baselines.multinetpp import MultiNetPP
from baselines.segnet import SegNetCrossStitch, SegNetMTAN
from baselines.single_task import SingleTask
from baselines.slow_fast import SlowFast
from baselines.svc import SVC
from mila.cost.comparison import compare_step
from mila.cost.conventions import BANDED, COMPLETE, EXECUTED, PUBLISHED, Convention, count
from mila.cost.counter import count_calls
from mila.cost.memory import memory
from mila.cost.steps import Step
from mila.errors import UserError
from mila.model import MILA
from mila.tasks import CITYSCAPES, NYUV2, Suite
from mila.video_model import FrameModel, Part, VideoModel

PAPER: list[tuple[str, Callable[[Suite], VideoModel], float, float]] = [
    ("D101-SingleTask", SingleTask, 186.51, 236.46),
    ("D101-MultiTask", MultiTask, 93.26, 78.82),
    ("MultiNet++", MultiNetPP, 47.38, 40.04),
    ("MILA w/o MF&TS", lambda s: MILA(s, multi_frame=False, task_specific=False), 47.94, 40.52),
    ("MILA w/o TS", lambda s: MILA(s, task_specific=False), 54.73, 46.26),
    ("MILA", MILA, 70.19, 72.39),
]


@pytest.mark.slow
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


@pytest.mark.slow
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


SMALL: dict[str, Any] = {"slow": 18, "fast": 18, "width": 0.0625, "keyframe_interval": 2}
MODELS: dict[str, tuple[Callable[[], VideoModel], set[Part]]] = {
    "single task": (lambda: SingleTask(NYUV2, 18, width=0.0625), {"encoder", "decoders"}),
    "multi task": (lambda: MultiTask(NYUV2, 18, width=0.0625), {"encoder", "decoders"}),
    "MTAN": (lambda: MTAN(NYUV2, 18, width=0.0625), {"encoder", "other", "decoders"}),
    "Cross-Stitch": (lambda: CrossStitch(NYUV2, 18, width=0.0625), {"encoder", "other", "decoders"}),
    "SegNet MTAN": (lambda: SegNetMTAN(NYUV2, width=0.0625), {"encoder", "other", "decoders"}),
    "SegNet Cross-Stitch": (lambda: SegNetCrossStitch(NYUV2, width=0.0625), {"encoder", "other", "decoders"}),
    "MILA": (lambda: MILA(NYUV2, **SMALL), {"encoder", "propagation", "fusion", "decoders"}),
    "MILA, K = 1": (
        lambda: MILA(NYUV2, 18, None, width=0.0625, keyframe_interval=1, mimicry=None),
        {"encoder", "propagation", "fusion", "decoders"},
    ),
    "MultiNet++": (lambda: MultiNetPP(NYUV2, **SMALL), {"encoder", "fusion", "decoders"}),
    "SVC": (lambda: SVC(NYUV2, **SMALL), {"encoder", "propagation", "fusion", "decoders"}),
    "flow": (
        lambda: SlowFast(NYUV2, **SMALL, propagation="flow", flow_width=0.0625),
        {"encoder", "propagation", "fusion", "decoders"},
    ),
    "Accel": (
        lambda: Accel(NYUV2, **SMALL, flow_width=0.0625),
        {"encoder", "propagation", "fusion", "decoders"},
    ),
    "FlowNet-S": (lambda: FlowNet(width=0.0625), {"propagation"}),
    "constant": (lambda: Constant(NYUV2), set()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_parts_add_up(name: str) -> None:
    make, parts = MODELS[name]
    model = make()
    cost = count(model, 64, 96, COMPLETE)
    shares = cost.parts.values()
    assert {part for part, share in cost.parts.items() if share.average} == parts
    assert cost.keyframe == sum(s.keyframe for s in shares)
    assert cost.non_keyframe == sum(s.non_keyframe for s in shares)
    assert cost.average == pytest.approx(sum(s.average for s in shares), rel=1e-12)
    model.for_inference()
    assert cost.parameters == sum(s.parameters for s in shares) == sum(p.numel() for p in model.parameters())
    # What runs is what there is: thop's convolutions are modules, the others are kernels.
    thop = count(model, 64, 96, EXECUTED)
    assert cost.conv_layers == sum(s.conv_layers for s in shares) == thop.conv_layers
    assert {p: s.conv_layers for p, s in cost.parts.items()} == {p: s.conv_layers for p, s in thop.parts.items()}


@pytest.mark.slow
def test_convolutions_and_parameters_by_part() -> None:
    with torch.device("meta"):
        model = MILA(NYUV2)
    cost, published = count(model, 64, 96, COMPLETE), count(model, 64, 96, PUBLISHED)
    parts = cost.parts
    assert "decoders" not in published.parts
    assert published.parameters == cost.parameters - parts["decoders"].parameters
    assert published.conv_layers == cost.conv_layers - 9
    # 1 + 3 * 33 + 4, 1 + 2 * 8 + 3 and the projection; h a task; SE's two and two fusions a task; three a decoder
    assert {part: share.conv_layers for part, share in parts.items()} == {
        "encoder": 104 + 20 + 1,
        "propagation": 3,
        "fusion": 3 * 4,
        "decoders": 9,
        "other": 0,
    }
    assert parts["encoder"].parameters == RESNET[101] + RESNET[18] + PROJECT
    assert parts["propagation"].parameters == 3 * H
    assert parts["fusion"].parameters == 3 * (SE + fusion(2) + fusion(3))
    assert parts["decoders"].parameters == decoders(512, (13, 1, 3))
    assert count(FlowNet(), 64, 128, COMPLETE).conv_layers == 23


def test_average_is_that_of_every_frame_of_an_interval() -> None:
    with torch.device("meta"):
        model = MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=4).eval()
        frame = torch.empty(1, 3, 64, 96)
        step = Step(model, 4, frame)
    steps = [count_calls(partial(step, frame)) for _ in range(4)]
    total = sum(call.macs for calls in steps for call in calls)
    assert count(model, 64, 96, COMPLETE).average == pytest.approx(total / 4, rel=1e-12)


def test_banded_attention_costs_more_than_its_definition() -> None:
    model = MILA(NYUV2, **SMALL)
    complete, banded = (count(model, 64, 96, c) for c in (COMPLETE, BANDED))
    for part in ("encoder", "fusion", "decoders"):
        assert banded.parts[part] == complete.parts[part]
    more = banded.parts["propagation"].keyframe - complete.parts["propagation"].keyframe
    tiles = -(-(9 + 2) * (13 + 2) // 8)
    assert more == 3 * (36 + 32) * (tiles * 8 * 12 * 5 - 25 * 9 * 13)


@pytest.mark.parametrize("counter", [PUBLISHED, COMPLETE, "memory", "compare"])
def test_counting_leaves_the_model_as_it_was(counter: Convention | str) -> None:
    torch.manual_seed(0)
    model = MILA(NYUV2, **SMALL).train()
    before = copy.deepcopy(model.state_dict())
    clip = torch.randn(1, 3, 3, 32, 32)
    if isinstance(counter, Convention):
        count(model, 64, 96, counter)
    elif counter == "memory":
        memory(model, 64, 96)
    else:
        compare_step(model, 64, 96)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert model.training
    assert model.mimicry is not None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not any("relate" in vars(m) for m in model.modules())
    model.training_forward(clip, 1, {})[0]["depth"].sum().backward()


class _Own(FrameModel):
    """A user's model with whatever operation."""

    def __init__(self, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__(NYUV2)
        self.encoder = nn.Conv2d(3, 4, 1)
        self.operation = operation

    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        return {"depth": self.operation(self.encoder(frame))}


@pytest.mark.parametrize("convention", [PUBLISHED, EXECUTED, COMPLETE, BANDED])
def test_an_operation_that_no_counter_knows_is_an_error(convention: Convention) -> None:
    """Also where thop would pass over it."""
    model = _Own(torch.special.bessel_j0)
    with pytest.raises(UserError, match=r"no counter knows the operation 'aten.special_bessel_j0'"):
        count(model, 8, 8, convention)
    assert count(MILA(NYUV2, **SMALL), 64, 96, convention).average > 0  # nothing was left behind


def test_what_needs_numbers_is_an_error() -> None:
    model = _Own(lambda x: x * x.mean().item())
    with pytest.raises(UserError, match=r"_Own cannot be counted, as one of its operations needs numbers"):
        count(model, 8, 8, COMPLETE)


def test_an_impossible_size_is_an_error() -> None:
    with pytest.raises(UserError, match=r"a frame of 0x8 pixels cannot be counted"):
        count(_Own(torch.relu), 0, 8)


def test_other_errors_of_a_model_are_its_own() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        count(_Own(lambda x: x.view(5, 7)), 8, 8, COMPLETE)


@pytest.mark.parametrize("convention", [PUBLISHED, COMPLETE])
def test_tensors_that_a_model_makes_or_keeps_itself(convention: Convention) -> None:
    constant = torch.arange(8.0)  # neither parameter nor buffer
    model = _Own(lambda x: x + torch.arange(8.0))
    model.constant = constant
    model.operation = lambda x: x + torch.arange(8.0)
    cost = count(model, 8, 8, convention)
    assert cost.keyframe == 64 * 3 * 4
    assert model.constant is constant
    assert not constant.is_meta


def test_a_functional_convolution_is_counted_and_thop_misses_it() -> None:
    model = _Own(lambda x: F.conv2d(x, torch.ones(5, 4, 3, 3)))
    complete, published = (count(model, 8, 8, c) for c in (COMPLETE, PUBLISHED))
    assert complete.keyframe == 64 * 3 * 4 + 36 * 5 * 4 * 9
    assert (complete.conv_layers, published.conv_layers) == (2, 1)
    assert published.keyframe == 64 * 3 * 4
    assert complete.parts["other"].keyframe == 36 * 5 * 4 * 9
