"""MILA: who receives from whom, branches, switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from baselines.multinetpp import MultiNetPP
from mila.model import MILA
from mila.switches import Architecture
from mila.tasks import CITYSCAPES, NYUV2
from mila.video_model import VideoModel
from tests.support.fake_models import experienced, fake_model, fake_video

SMALL: dict[str, Any] = {"width": 0.0625}


def influences(model: VideoModel, length: int, offset: int) -> set[int]:
    """Which frames of a clip the last frame's prediction depends on, counted back from the last one."""
    frames = fake_video(length).requires_grad_()
    predictions = model(frames, offset)
    torch.stack([p.square().sum() for p in predictions.values()]).sum().backward()
    assert frames.grad is not None
    return {length - 1 - t for t in range(length) if frames.grad[:, t].abs().sum() > 0}


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(0, {0, 1}), (1, {0, 1, 2}), (2, {0, 1, 2}), (3, {0, 1, 3}), (4, {0, 1, 4})],
)
def test_who_receives_from_whom(offset: int, expected: set[int]) -> None:
    """Section 3.1: a non-keyframe from the last keyframe and the last non-keyframe, a keyframe from the last
    non-keyframe; at offset 1 the last non-keyframe is the one before the keyframe.
    """
    assert influences(fake_model(MILA, slow=34), 7, offset) == expected


@pytest.mark.parametrize("model", [MILA, MultiNetPP])
def test_without_multi_frame_only_the_keyframe_gives(model: Callable[..., VideoModel]) -> None:
    switches = {"multi_frame": False} if model is MILA else {}
    built = fake_model(model, slow=34, **switches)
    assert influences(built, 7, 0) == {0}
    assert influences(built, 7, 3) == {0, 3}


def test_fused_features_reach_further() -> None:
    built = fake_model(MILA, slow=34, architecture=Architecture(propagate="fused"))
    assert influences(built, 7, 3) == {0, 1, 2, 3, 4, 5, 6}


def test_slow_and_fast_see_their_own_frames() -> None:
    model = fake_model(MILA, slow=34)
    calls: list[tuple[str, int]] = []
    assert model.fast is not None
    model.slow.register_forward_hook(lambda _m, args, _o: calls.append(("slow", args[0].shape[0])))
    model.fast.register_forward_hook(lambda _m, args, _o: calls.append(("fast", args[0].shape[0])))
    with torch.no_grad():
        model(fake_video(7), 4)
    assert calls == [("slow", 2), ("fast", 4)]  # batch 2: the keyframe; the last non-keyframe and the current frame
    calls.clear()
    with torch.no_grad():
        model.training_forward(fake_video(6), 4, {})
    assert calls == [("slow", 2), ("fast", 6)]  # training runs the fast network on the keyframe as well


@pytest.mark.parametrize(
    "switches",
    [{}, {"task_specific": False}, {"multi_frame": False}, {"architecture": Architecture(propagate="fused")}],
)
@torch.no_grad()
def test_charging_embeddings_anew_changes_no_prediction(switches: dict[str, Any]) -> None:
    model = fake_model(MILA, slow=34, **switches)
    frames = fake_video(7)
    before = [model(frames, offset) for offset in range(5)]
    model.charge_embeddings(once_a_frame=False)
    for offset, expected in enumerate(before):
        for task, prediction in model(frames, offset).items():
            torch.testing.assert_close(prediction, expected[task])


def test_task_specific_branches() -> None:
    whole, shared = fake_model(MILA, slow=34), fake_model(MILA, slow=34, task_specific=False)
    assert len(whole.branches) == 3
    assert len(shared.branches) == 1
    assert isinstance(shared.branch(0).se, nn.Identity)
    frames = fake_video(6)
    # A task's loss teaches its own branch and no other.
    whole(frames, 4)["depth"].sum().backward()
    names = [task.name for task in NYUV2.tasks]
    for name, branch in zip(names, whole.branches, strict=True):
        touched = any(p.grad is not None and p.grad.abs().sum() > 0 for p in branch.parameters())
        assert touched == (name == "depth")


def test_predictions_have_the_size_of_the_image_and_normals_unit_length() -> None:
    model = fake_model(MILA, slow=34)
    with torch.no_grad():
        predictions = model(fake_video(6, 29, 35), 4)
    assert {n: tuple(p.shape) for n, p in predictions.items()} == {
        "segmentation": (2, 13, 29, 35),
        "depth": (2, 1, 29, 35),
        "normals": (2, 3, 29, 35),
    }
    torch.testing.assert_close(predictions["normals"].norm(dim=1), torch.ones(2, 29, 35))


def test_cityscapes_suite_has_two_tasks() -> None:
    torch.manual_seed(0)
    model = MILA(CITYSCAPES, 34, **SMALL).eval()
    with torch.no_grad():
        predictions = model(fake_video(6), 1)
    assert {n: p.shape[1] for n, p in predictions.items()} == {"segmentation": 7, "depth": 1}


@pytest.mark.parametrize(
    ("clip", "offset", "message"),
    [
        ((1, 6, 3, 24, 32), 5, "offset 5 is not in 0..4"),
        ((1, 2, 3, 24, 32), 2, "no keyframe 2 frames"),
        ((6, 3, 24, 32), 0, "a clip is"),
    ],
)
def test_wrong_clips_are_refused(clip: tuple[int, ...], offset: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fake_model(MILA, slow=34)(torch.zeros(clip), offset)


@pytest.mark.parametrize(
    "switches",
    [
        lambda: {"propagation": "teleport"},
        lambda: {"architecture": Architecture(propagate="twice")},  # type: ignore[arg-type]
        lambda: {"window": 4},
        lambda: {"keyframe_interval": 0},
    ],
)
def test_wrong_switches_are_refused(switches: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="teleport|twice|window|keyframe interval"):
        MILA(NYUV2, 18, 18, **SMALL, **switches())


def test_slow_only_has_no_fast_network() -> None:
    """Table 10: every frame is slow, and receives from the one before it."""
    torch.manual_seed(0)
    model = experienced(MILA(CITYSCAPES, 50, None, width=0.0625, keyframe_interval=1, mimicry=None))
    assert not [n for n, _ in model.named_parameters() if n.startswith(("fast", "mimicry"))]
    frames = fake_video(3).requires_grad_()
    model(frames, 0)["depth"].sum().backward()
    assert frames.grad is not None
    assert [bool(frames.grad[:, t].any()) for t in range(3)] == [False, True, True]
