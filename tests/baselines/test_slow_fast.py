"""The SlowFast model takes any propagation: what differs is the propagation alone, and who pays for it."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from baselines.flow_warping import FlowWarping, warp
from baselines.slow_fast import PropagationName, SlowFast
from baselines.svc import KernelPrediction
from mila.model import MILA
from mila.modules import upsample
from mila.tasks import NYUV2
from tests.support.fake_models import fake_model, fake_video

SMALL: dict[str, Any] = {"width": 0.0625, "flow_width": 0.0625}


def slow_fast(kind: PropagationName, **switches: Any) -> SlowFast:
    return fake_model(SlowFast, slow=34, propagation=kind, **{**SMALL, **switches})


def test_slow_fast_with_ila_is_mila() -> None:
    torch.manual_seed(0)
    mila = MILA(NYUV2, 34, 18, width=0.0625)
    ours = slow_fast("ila")
    assert list(ours.state_dict()) == list(mila.state_dict())
    ours.load_state_dict(mila.state_dict())
    frames = fake_video(7)
    with torch.no_grad():
        for offset in range(5):
            for task, prediction in mila.eval()(frames, offset).items():
                assert torch.equal(ours(frames, offset)[task], prediction)


def test_what_differs_between_kinds_is_the_propagation_alone() -> None:
    shapes = {}
    for kind in get_args(PropagationName):
        model = slow_fast(kind, multi_frame=False, task_specific=False)
        state = {n: tuple(p.shape) for n, p in model.state_dict().items() if not n.startswith("propagations.")}
        shapes[kind] = state
    assert shapes["ila"] == shapes["flow"] == shapes["svc"] == shapes["concat"]
    without = {n: s for n, s in shapes["ila"].items() if "fuse" not in n}
    assert shapes["none"] == without  # nothing arrives, so nothing is fused


@torch.no_grad()
def test_none_is_the_slow_and_the_fast_network_by_turns() -> None:
    model = slow_fast("none", multi_frame=False, task_specific=False)
    frames = fake_video(3)
    assert model.fast is not None
    decoder = model.decoders["depth"]
    slow, fast = model.project(model.slow(frames[:, 2])), model.fast(frames[:, 2])
    torch.testing.assert_close(model(frames, 0)["depth"], upsample(decoder(slow), (24, 32)))
    torch.testing.assert_close(model(frames, 2)["depth"], upsample(decoder(fast), (24, 32)))


@torch.no_grad()
def test_flow_is_chained_from_frame_to_frame() -> None:
    model = slow_fast("flow", multi_frame=False, task_specific=False)
    frames = fake_video(4)
    assert len(model.propagations) == 1
    propagation = model.propagation_of(0)
    assert isinstance(propagation, FlowWarping)
    assert model.fast is not None
    value = model.project(model.slow(frames[:, 0]))
    for t in (1, 2, 3):
        flow = propagation.flownet.estimate(frames[:, t], frames[:, t - 1])
        value = warp(value, propagation.flownet.at_features(flow, (value.shape[-2], value.shape[-1])))
    fused = model.branch(0).fuse(model.fast(frames[:, 3]), [value], keyframe=False)
    expected = upsample(model.decoders["depth"](fused), (24, 32))
    torch.testing.assert_close(model(frames, 3)["depth"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_svc_looks_at_the_fast_features_of_both_frames() -> None:
    model = slow_fast("svc", multi_frame=False, task_specific=False)
    frames = fake_video(4)
    assert len(model.propagations) == 1
    propagation = model.propagation_of(0)
    assert model.fast is not None
    key, current = model.fast(frames[:, 0]), model.fast(frames[:, 3])
    moved = propagation(current, key, model.project(model.slow(frames[:, 0])))
    fused = model.branch(0).fuse(current, [moved], keyframe=False)
    expected = upsample(model.decoders["depth"](fused), (24, 32))
    torch.testing.assert_close(model(frames, 3)["depth"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["flow", "svc"])
def test_what_all_tasks_share_is_found_once(kind: PropagationName) -> None:
    """With three task-specific branches and two sources a frame there are still as many comparisons as pairs."""
    model = slow_fast(kind)
    assert len(model.propagations) == 1
    assert len(model.branches) == 3
    calls = 0
    network = model.get_submodule(f"propagations.0.{'flownet.network' if kind == 'flow' else 'predictor'}")

    def called(*_: object) -> None:
        nonlocal calls
        calls += 1

    network.register_forward_hook(called)
    stream = model.stream()
    frames = fake_video(8)
    with torch.no_grad():
        for t in range(8):
            stream.step(frames[:, t])
    # flow: every frame but the first receives from the one before it, in whatever slot;
    # SVC: keyframes 0 and 5 look at one source, the other six frames at two
    assert calls == (7 - 0 if kind == "flow" else 2 * 1 + 6 * 2)


def test_frozen_flow_stays_and_the_rest_learns() -> None:
    model = slow_fast("flow", freeze_flow=True).train()
    predictions, own = model.training_forward(fake_video(6), 4, {})
    torch.stack([*(p.sum() for p in predictions.values()), *own.values()]).sum().backward()
    flow = {n for n, _ in model.named_parameters() if "flownet" in n}
    assert flow
    assert all((p.grad is None) == (n in flow) for n, p in model.named_parameters() if "fuse_key" not in n)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"propagation": "teleport"}, "teleport"),
        ({"propagation": "svc", "fast": None, "keyframe_interval": 1, "mimicry": None}, "there is no fast network"),
        ({"fast": None}, "K = 1"),
        ({"fast": None, "keyframe_interval": 1}, "mimicry None"),
    ],
)
def test_contradictions_are_refused(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlowFast(NYUV2, 18, **{"fast": 18, **SMALL, **switches})


def test_only_what_compares_frames_can_be_chained() -> None:
    class Chained(KernelPrediction):
        chained = True

    with pytest.raises(ValueError, match="only by what compares frames"):
        MILA(NYUV2, 18, 18, width=0.0625, propagation=Chained)
