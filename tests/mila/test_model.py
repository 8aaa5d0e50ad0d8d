"""MILA and the baselines: stream equals clip, who receives from whom, gradients, switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from baselines.cross_stitch import CrossStitch
from baselines.flow_warping import Accel
from baselines.mtan import MTAN
from baselines.multi_task import MultiTask
from baselines.multinetpp import MultiNetPP
from baselines.segnet import SegNetCrossStitch, SegNetMTAN
from baselines.single_task import SingleTask
from baselines.slow_fast import SlowFast
from baselines.svc import SVC
from mila.backbone import OUTPUT_STRIDE
from mila.losses import task_loss
from mila.model import MILA, Architecture
from mila.modules import TaskDecoder, upsample
from mila.names import WeightingName
from mila.tasks import CITYSCAPES, NYUV2, VOID
from mila.video_model import VideoModel
from mila.weighting import make_weighting

SMALL: dict[str, Any] = {"width": 0.0625}


def make(model: Callable[..., VideoModel], **switches: Any) -> VideoModel:
    """A small model in eval mode whose batch norms have seen something."""
    torch.manual_seed(0)
    built = model(NYUV2, **{**SMALL, **switches})
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return built.eval()


def video(frames: int, height: int = 24, width: int = 32) -> Tensor:
    return torch.randn(2, frames, 3, height, width, generator=torch.Generator().manual_seed(3))


MODELS: dict[str, tuple[Callable[..., VideoModel], dict[str, Any]]] = {
    "single task": (SingleTask, {"depth": 18}),
    "multi task": (MultiTask, {"depth": 34}),
    "MultiNet++": (MultiNetPP, {"slow": 34}),
    "MILA": (MILA, {"slow": 50}),
    "w/o TS": (MILA, {"slow": 34, "task_specific": False}),
    "w/o MF": (MILA, {"slow": 34, "multi_frame": False}),
    "w/o MF&TS": (MILA, {"slow": 34, "multi_frame": False, "task_specific": False}),
    "fused": (MILA, {"slow": 34, "architecture": Architecture(propagate="fused")}),
    "fused w/o MF": (MILA, {"slow": 34, "architecture": Architecture(propagate="fused"), "multi_frame": False}),
    "concat": (MILA, {"slow": 34, "propagation": "concat"}),
    "K=1": (MILA, {"slow": 34, "keyframe_interval": 1}),
    "K=2": (MILA, {"slow": 34, "keyframe_interval": 2}),
    "K=3, global": (
        MILA,
        {"slow": 34, "keyframe_interval": 3, "window": "global", "architecture": Architecture(scaled=True)},
    ),
    "none": (SlowFast, {"slow": 34, "propagation": "none"}),
    "slow only": (MILA, {"slow": 50, "fast": None, "keyframe_interval": 1, "mimicry": None}),
    "flow": (SlowFast, {"slow": 34, "propagation": "flow", "flow_width": 0.0625, "keyframe_interval": 3}),
    "flow w/o MF&TS": (
        SlowFast,
        {
            "slow": 34,
            "propagation": "flow",
            "flow_width": 0.0625,
            "multi_frame": False,
            "task_specific": False,
            "half_resolution": False,
        },
    ),
    "fused flow": (
        SlowFast,
        {
            "slow": 34,
            "propagation": "flow",
            "flow_width": 0.0625,
            "keyframe_interval": 3,
            "architecture": Architecture(propagate="fused"),
        },
    ),
    "svc": (SlowFast, {"slow": 34, "propagation": "svc", "keyframe_interval": 3}),
    "fused svc": (
        SlowFast,
        {"slow": 34, "propagation": "svc", "keyframe_interval": 3, "architecture": Architecture(propagate="fused")},
    ),
    "SVC": (SVC, {"slow": 34}),
    "Accel": (Accel, {"slow": 34, "flow_width": 0.0625}),
    "Accel, R50 update": (Accel, {"slow": 34, "fast": 50, "flow_width": 0.0625, "keyframe_interval": 3}),
    "MTAN": (MTAN, {"depth": 34}),
    "MTAN, R50": (MTAN, {"depth": 50}),
    "Cross-Stitch": (CrossStitch, {"depth": 18}),
    "Cross-Stitch, scalar": (CrossStitch, {"depth": 50, "units": "scalar"}),
    "SegNet MTAN": (SegNetMTAN, {}),
    "SegNet Cross-Stitch": (SegNetCrossStitch, {}),
}


TASK_BRANCHED = ("MTAN", "Cross-Stitch", "SegNet MTAN", "SegNet Cross-Stitch")
FRAME_MODELS = (SingleTask, MultiTask, MTAN, CrossStitch, SegNetMTAN, SegNetCrossStitch)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_stream_equals_clip_at_every_offset(name: str) -> None:
    model = make(MODELS[name][0], **MODELS[name][1])
    interval = model.keyframe_interval
    frames = video(2 * interval + 1)
    stream = model.stream()
    seen = set()
    for t in range(frames.shape[1]):
        streamed = stream.step(frames[:, t])
        offset = t % interval
        whole = model(frames[:, : t + 1], offset)
        for task, prediction in whole.items():
            torch.testing.assert_close(streamed[task], prediction, rtol=1e-4, atol=1e-5)
        # A clip that reaches back only as far as the model's history says the same, once there was that much.
        start = t - offset - model.history
        if start >= 0 and not name.startswith("fused"):
            short = model(frames[:, start : t + 1], offset)
            for task, prediction in short.items():
                torch.testing.assert_close(prediction, whole[task], rtol=1e-4, atol=1e-5)
            seen.add(offset)
    assert seen == set(range(interval)) or name.startswith("fused")


def influences(model: VideoModel, length: int, offset: int) -> set[int]:
    """Which frames of a clip the last frame's prediction depends on, counted back from the last one."""
    frames = video(length).requires_grad_()
    predictions = model(frames, offset)
    sum(p.square().sum() for p in predictions.values()).backward()
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
    assert influences(make(MILA, slow=34), 7, offset) == expected


@pytest.mark.parametrize("model", [MILA, MultiNetPP])
def test_without_multi_frame_only_the_keyframe_gives(model: Callable[..., VideoModel]) -> None:
    switches = {"multi_frame": False} if model is MILA else {}
    built = make(model, slow=34, **switches)
    assert influences(built, 7, 0) == {0}
    assert influences(built, 7, 3) == {0, 3}


def test_fused_features_reach_further() -> None:
    built = make(MILA, slow=34, architecture=Architecture(propagate="fused"))
    assert influences(built, 7, 3) == {0, 1, 2, 3, 4, 5, 6}


def test_slow_and_fast_see_their_own_frames() -> None:
    model = make(MILA, slow=34)
    calls: list[tuple[str, int]] = []
    model.slow.register_forward_hook(lambda _m, args, _o: calls.append(("slow", args[0].shape[0])))
    model.fast.register_forward_hook(lambda _m, args, _o: calls.append(("fast", args[0].shape[0])))
    with torch.no_grad():
        model(video(7), 4)
    assert calls == [("slow", 2), ("fast", 4)]  # batch 2: the keyframe; the last non-keyframe and the current frame
    calls.clear()
    with torch.no_grad():
        model.training_forward(video(6), 4)
    assert calls == [("slow", 2), ("fast", 6)]  # training runs the fast network on the keyframe as well


@pytest.mark.parametrize(
    "switches",
    [{}, {"task_specific": False}, {"multi_frame": False}, {"architecture": Architecture(propagate="fused")}],
)
@torch.no_grad()
def test_charging_embeddings_anew_changes_no_prediction(switches: dict[str, Any]) -> None:
    model = make(MILA, slow=34, **switches)
    frames = video(7)
    before = [model(frames, offset) for offset in range(5)]
    model.charge_embeddings(once_a_frame=False)
    for offset, expected in enumerate(before):
        for task, prediction in model(frames, offset).items():
            torch.testing.assert_close(prediction, expected[task])


def test_task_specific_branches() -> None:
    whole, shared = make(MILA, slow=34), make(MILA, slow=34, task_specific=False)
    assert len(whole.branches) == 3
    assert len(shared.branches) == 1
    assert isinstance(shared.branches[0].se, nn.Identity)
    frames = video(6)
    # A task's loss teaches its own branch and no other.
    whole(frames, 4)["depth"].sum().backward()
    names = [task.name for task in NYUV2.tasks]
    for name, branch in zip(names, whole.branches, strict=True):
        touched = any(p.grad is not None and p.grad.abs().sum() > 0 for p in branch.parameters())
        assert touched == (name == "depth")


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = make(MODELS[name][0], **MODELS[name][1], width=0.125).train()  # fewer channels may all be dead by chance
    for offset in range(model.keyframe_interval):
        predictions, own = model.training_forward(video(offset + 1 + model.history), offset)
        # Normals have unit length, so their squares teach nothing; a fixed direction does.
        (sum(p.square().sum() + p.sum() for p in predictions.values()) + sum(own.values())).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert not without


def targets_of() -> dict[str, Tensor]:
    """Smooth targets of two frames of 24x32, with something not annotated."""
    segmentation = torch.zeros(2, 24, 32, dtype=torch.int64)
    segmentation[0, :, 16:], segmentation[1, 12:], segmentation[:, :2] = 3, 7, VOID
    depth = torch.stack([torch.linspace(1, 3, 32).expand(24, 32), torch.linspace(4, 2, 24)[:, None].expand(24, 32)])
    normals = torch.tensor([[0.6, 0.0, -0.8], [0.0, -1.0, 0.0]])[..., None, None].expand(2, 3, 24, 32)
    return {"segmentation": segmentation, "depth": depth[:, None], "normals": normals}


@pytest.mark.parametrize("weighting", get_args(WeightingName))
@pytest.mark.parametrize(
    "name", ["single task", "MultiNet++", "MILA", "slow only", "flow", "svc", "Accel", *TASK_BRANCHED]
)
def test_every_weighting_teaches_every_task_of_every_model(name: str, weighting: WeightingName) -> None:
    model = make(MODELS[name][0], **MODELS[name][1]).train()
    predictions, _ = model.training_forward(video(model.keyframe_interval + model.history), model.keyframe_interval - 1)
    targets = targets_of()
    losses = {t.name: task_loss(t.name, predictions[t.name], targets[t.name]) for t in NYUV2.tasks}
    weigh = make_weighting(weighting, [t.name for t in NYUV2.tasks])
    weigh(losses).backward()
    for task in NYUV2.tasks:
        own = [p for n, p in model.named_parameters() if f"decoders.{task.name}" in n or f".{task.name}." in n]
        assert own
        grads = [p.grad for p in own if p.grad is not None]
        assert all(grad.isfinite().all() for grad in grads)
        assert any(grad.any() for grad in grads)


@pytest.mark.parametrize("name", [n for n in MODELS if not n.startswith(("fused", "K="))])
def test_a_tiny_training_overfits_two_clips_on_every_task(name: str) -> None:
    torch.manual_seed(0)
    model, switches = MODELS[name]
    if "keyframe_interval" not in switches and model not in FRAME_MODELS:
        switches = {**switches, "keyframe_interval": 2}
    built = model(NYUV2, **{**SMALL, "width": 0.125}, **switches).train()
    frames = video(built.keyframe_interval + built.history)
    targets = targets_of()
    optimiser = torch.optim.Adam(built.parameters(), lr=5e-3)
    history: list[dict[str, float]] = []
    for step in range(60):
        offset = step % built.keyframe_interval
        clip = frames[:, : offset + 1 + built.history]
        predictions, own = built.training_forward(clip, offset)
        losses = {t.name: task_loss(t.name, predictions[t.name], targets[t.name]) for t in NYUV2.tasks}
        history.append({name: loss.item() for name, loss in losses.items()})
        optimiser.zero_grad()
        (sum(losses.values()) + 0.1 * sum(own.values())).backward()
        optimiser.step()
    interval = built.keyframe_interval
    for task in NYUV2.tasks:
        first, last = (sum(h[task.name] for h in part) for part in (history[:interval], history[-interval:]))
        assert last < first / 3, (task.name, first / interval, last / interval)


def test_predictions_have_the_size_of_the_image_and_normals_unit_length() -> None:
    model = make(MILA, slow=34)
    with torch.no_grad():
        predictions = model(video(6, 29, 35), 4)
    assert {n: tuple(p.shape) for n, p in predictions.items()} == {
        "segmentation": (2, 13, 29, 35),
        "depth": (2, 1, 29, 35),
        "normals": (2, 3, 29, 35),
    }
    torch.testing.assert_close(predictions["normals"].norm(dim=1), torch.ones(2, 29, 35))


@pytest.mark.parametrize("size", [(24, 32), (72, 96), (29, 35), (256, 512), (250, 101)])
def test_upsampling_puts_feature_i_on_pixel_8i(size: tuple[int, int]) -> None:
    height, width = (n // 2 // 2 + 1 for n in ((size[0] + 1), (size[1] + 1)))
    features = torch.rand(1, 2, (height + 1) // 2, (width + 1) // 2)
    out = upsample(features, size)
    assert out.shape[-2:] == size
    on_grid = out[..., ::OUTPUT_STRIDE, ::OUTPUT_STRIDE]
    torch.testing.assert_close(on_grid, features[..., : on_grid.shape[-2], : on_grid.shape[-1]])
    ramp = torch.arange(features.shape[-1]).float().expand(1, 1, 4, -1)
    reach = min(size[1], OUTPUT_STRIDE * (features.shape[-1] - 1) + 1)
    torch.testing.assert_close(upsample(ramp, (20, size[1]))[0, 0, 0, :reach], torch.arange(reach) / OUTPUT_STRIDE)


def test_decoder_is_the_papers() -> None:
    decoder = TaskDecoder(2048, 13)
    shapes = [tuple(m.weight.shape) for m in decoder.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(512, 2048, 3, 3), (256, 512, 1, 1), (13, 256, 1, 1)]


def test_single_task_shares_nothing() -> None:
    model = make(SingleTask, depth=18).train()
    model(video(1), 0)["depth"].sum().backward()
    touched = {n for n, p in model.named_parameters() if p.grad is not None}
    assert touched == {n for n, _ in model.named_parameters() if ".depth." in f".{n}"}


def test_multi_task_shares_its_encoder() -> None:
    model = make(MultiTask, depth=18)
    frame = video(1)
    with torch.no_grad():
        features = model.encoder(frame[:, -1])
        expected = upsample(model.decoders["depth"](features), (24, 32))
        torch.testing.assert_close(model(frame, 0)["depth"], expected)


def test_multinetpp_concatenates_key_and_current_features() -> None:
    model = make(MultiNetPP, slow=34)
    frames = video(3)
    with torch.no_grad():
        key = model.project(model.slow(frames[:, 0]))
        current = model.fast(frames[:, 2])
        fused = model.branches[0].fuse_non_key.layers(torch.cat([current, key], 1))
        torch.testing.assert_close(model(frames, 2)["depth"], upsample(model.decoders["depth"](fused), (24, 32)))
        torch.testing.assert_close(model(frames[:, :1], 0)["depth"], upsample(model.decoders["depth"](key), (24, 32)))
    assert not any("propagation" in name or "se." in name for name, _ in model.named_parameters())


def test_cityscapes_suite_has_two_tasks() -> None:
    torch.manual_seed(0)
    model = MILA(CITYSCAPES, 34, **SMALL).eval()
    with torch.no_grad():
        predictions = model(video(6), 1)
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
        make(MILA, slow=34)(torch.zeros(clip), offset)


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
