"""Kinds of propagation against slow re-statements: warping (and exact flow), predicted kernels, chains, who pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.flow_warping import Accel, FlowWarping, warp
from baselines.slow_fast import SlowFast
from baselines.svc import SVC, KernelPrediction
from mila.attention import aggregate
from mila.cost.conventions import count
from mila.data.worlds.clips import WorldFlow
from mila.data.worlds.rendering import render
from mila.model import MILA
from mila.modules import upsample
from mila.tasks import CITYSCAPES, NYUV2
from mila.video_model import VideoModel

SMALL: dict[str, Any] = {"width": 0.0625, "flow_width": 0.0625}
KINDS = ("ila", "flow", "svc", "concat", "none")


def randomised(model: VideoModel) -> VideoModel:
    """In eval mode, with batch norms that have seen something and flows that move something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def slow_fast(kind: str, **switches: Any) -> SlowFast:
    torch.manual_seed(0)
    model = SlowFast(NYUV2, 34, 18, propagation=kind, **{**SMALL, **switches})
    randomised(model)
    return model


def video(frames: int, height: int = 24, width: int = 32) -> Tensor:
    return torch.randn(2, frames, 3, height, width, generator=torch.Generator().manual_seed(3))


# --- warping ---------------------------------------------------------------------------------------------------------


def slow_warp(features: Tensor, flow: Tensor, outside: str) -> Tensor:
    """Bilinear sampling at p + flow(p), pixel by pixel."""
    batch, channels, height, width = features.shape
    out = torch.zeros(batch, channels, height, width, dtype=features.dtype)

    def read(b: int, i: int, j: int) -> Tensor:
        if outside == "border":
            i, j = min(max(i, 0), height - 1), min(max(j, 0), width - 1)
        if 0 <= i < height and 0 <= j < width:
            return features[b, :, i, j]
        return torch.zeros(channels, dtype=features.dtype)

    for b in range(batch):
        for i in range(height):
            for j in range(width):
                x, y = j + float(flow[b, 0, i, j]), i + float(flow[b, 1, i, j])
                if outside == "border":
                    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
                j0, i0 = int(np.floor(x)), int(np.floor(y))
                a, c = x - j0, y - i0
                top = read(b, i0, j0) * (1 - a) + read(b, i0, j0 + 1) * a
                low = read(b, i0 + 1, j0) * (1 - a) + read(b, i0 + 1, j0 + 1) * a
                out[b, :, i, j] = top * (1 - c) + low * c
    return out


@pytest.mark.parametrize("outside", ["zeros", "border"])
@pytest.mark.parametrize("size", [(4, 6), (1, 5), (3, 1)])
def test_warping_is_bilinear_sampling_at_the_flow(outside: Any, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    flow = 2 * torch.randn(2, 2, *size, dtype=torch.float64, generator=generator)
    expected = slow_warp(features, flow, outside)
    torch.testing.assert_close(warp(features, flow, outside), expected, rtol=0, atol=1e-12)


def test_whole_pixels_are_moved_exactly() -> None:
    features = torch.arange(20.0).view(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    assert torch.equal(warp(features, flow), features)
    flow[:, 0], flow[:, 1] = 1, -2  # look one to the right and two up
    expected = torch.zeros_like(features)
    expected[..., 2:, :4] = features[..., :2, 1:]
    torch.testing.assert_close(warp(features, flow), expected)


@pytest.mark.parametrize("world", ["rooms", "street"])
def test_features_moved_by_exact_flow_come_back(world: Any) -> None:
    """The older frame's features, warped by the world's exact flow, are the current frame's, occlusions aside."""
    height, width = 192, 256
    moved, still, wrong = [], [], []
    for index in range(6):
        older, current = render(world, "val", 5, index, 2, height, width)
        flow = WorldFlow(world, "val", clips=6, height=height, width=width, seed=5).clip(index, 2).targets["flow"]
        field = torch.from_numpy(flow)[None]
        # A point is seen in both frames where the flow back and the flow forth cancel, and where it does not lie on the
        # edge of a surface, which a bilinear sample would mix with what is behind it.
        there_and_back = warp(torch.from_numpy(older.flow)[None], field, "border") + field
        surface = torch.from_numpy(older.surface).double()[None, None]
        edge = F.max_pool2d(surface, 3, 1, 1) + F.max_pool2d(-surface, 3, 1, 1)
        seen = (there_and_back.norm(dim=1)[0] < 0.3) & (warp(edge, field.double(), "border")[0, 0] == 0)
        assert seen.float().mean() > 0.5
        before, now = (torch.from_numpy(f.clean)[None] for f in (older, current))
        for errors, guess in ((moved, warp(before, field)), (still, before), (wrong, warp(before, -field))):
            errors.append((guess - now).abs().mean(1)[0][seen])
    for measure, share in ((torch.mean, 0.55), (torch.median, 0.25)):  # fine textures are sampled at points, not areas
        error, without, backwards = (float(measure(torch.cat(x))) for x in (moved, still, wrong))
        assert error < share * without < share * backwards


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 5)), "does not fit"),
        ((torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), "reflection"), "outside is"),
    ],
)
def test_wrong_warps_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        warp(*arguments)


@torch.no_grad()
def test_flow_warping_moves_a_feature_by_the_flow_of_its_pixel() -> None:
    warping = FlowWarping(0.0625).eval()
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0] = 8.0  # eight pixels are one feature
    value = torch.randn(1, 5, 3, 5)
    out = warping.move((flow,), value)
    torch.testing.assert_close(out[..., :-1], value[..., 1:])
    assert not out[..., -1].any()


# --- spatially variant convolution -----------------------------------------------------------------------------------


@torch.no_grad()
def test_svc_is_one_softmax_kernel_a_pixel_for_all_channels() -> None:
    torch.manual_seed(0)
    svc = KernelPrediction(4, kernel=3, hidden=6).double()
    current, older, value = (torch.randn(2, 4, 5, 6, dtype=torch.float64) for _ in range(3))
    x = torch.cat([current, older], 1)
    for place in (0, 2, 4):
        layer = svc.predictor[place]
        assert isinstance(layer, nn.Conv2d)
        x = F.conv2d(x, layer.weight, layer.bias, padding=1)
        x = x.clamp(min=0) if place < 4 else x
    expected = torch.zeros_like(value)
    for b in range(2):
        for i in range(5):
            for j in range(6):
                weights = x[b, :, i, j].exp() / x[b, :, i, j].exp().sum()
                for n in range(9):
                    y, z = i + n // 3 - 1, j + n % 3 - 1
                    if 0 <= y < 5 and 0 <= z < 6:
                        expected[b, :, i, j] += weights[n] * value[b, :, y, z]
    torch.testing.assert_close(svc(current, older, value), expected, rtol=0, atol=1e-12)


def test_svc_has_the_parameters_and_macs_of_table_7() -> None:
    """3.14 M parameters; 104 GMACs at the features of 1024x2048 (facts, 1.8)."""
    svc = KernelPrediction(512)
    shapes = [tuple(m.weight.shape) for m in svc.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(256, 1024, 3, 3), (256, 256, 3, 3), (81, 256, 3, 3)]
    weights = 9 * (1024 * 256 + 256 * 256 + 256 * 81)
    assert sum(p.numel() for p in svc.parameters()) == weights + 256 + 256 + 81
    assert 129 * 257 * weights / 1e9 == pytest.approx(104, abs=0.1)


def test_kernels_reach_gradients_of_weights_and_values() -> None:
    torch.manual_seed(0)
    weights = torch.rand(1, 3, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    value = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(aggregate, (weights, value))


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="positive odd number"):
        KernelPrediction(4, kernel=4)


# --- the SlowFast model takes any ------------------------------------------------------------------------------------


def test_slow_fast_with_ila_is_mila() -> None:
    torch.manual_seed(0)
    mila = MILA(NYUV2, 34, 18, width=0.0625)
    ours = slow_fast("ila")
    assert list(ours.state_dict()) == list(mila.state_dict())
    ours.load_state_dict(mila.state_dict())
    frames = video(7)
    with torch.no_grad():
        for offset in range(5):
            for task, prediction in mila.eval()(frames, offset).items():
                assert torch.equal(ours(frames, offset)[task], prediction)


def test_what_differs_between_kinds_is_the_propagation_alone() -> None:
    shapes = {}
    for kind in KINDS:
        model = slow_fast(kind, multi_frame=False, task_specific=False)
        state = {n: tuple(p.shape) for n, p in model.state_dict().items() if not n.startswith("propagations.")}
        shapes[kind] = state
    assert shapes["ila"] == shapes["flow"] == shapes["svc"] == shapes["concat"]
    without = {n: s for n, s in shapes["ila"].items() if "fuse" not in n}
    assert shapes["none"] == without  # nothing arrives, so nothing is fused


@torch.no_grad()
def test_none_is_the_slow_and_the_fast_network_by_turns() -> None:
    model = slow_fast("none", multi_frame=False, task_specific=False)
    frames = video(3)
    decoder = model.decoders["depth"]
    slow, fast = model.project(model.slow(frames[:, 2])), model.fast(frames[:, 2])
    torch.testing.assert_close(model(frames, 0)["depth"], upsample(decoder(slow), (24, 32)))
    torch.testing.assert_close(model(frames, 2)["depth"], upsample(decoder(fast), (24, 32)))


@torch.no_grad()
def test_flow_is_chained_from_frame_to_frame() -> None:
    model = slow_fast("flow", multi_frame=False, task_specific=False)
    frames = video(4)
    (propagation,) = model.propagations
    value = model.project(model.slow(frames[:, 0]))
    for t in (1, 2, 3):
        flow = propagation.flownet.estimate(frames[:, t], frames[:, t - 1])
        value = warp(value, propagation.flownet.at_features(flow, value.shape[-2:]))
    fused = model.branches[0].fuse_non_key(model.fast(frames[:, 3]), value)
    expected = upsample(model.decoders["depth"](fused), (24, 32))
    torch.testing.assert_close(model(frames, 3)["depth"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_svc_looks_at_the_fast_features_of_both_frames() -> None:
    model = slow_fast("svc", multi_frame=False, task_specific=False)
    frames = video(4)
    (propagation,) = model.propagations
    key, current = model.fast(frames[:, 0]), model.fast(frames[:, 3])
    moved = propagation(current, key, model.project(model.slow(frames[:, 0])))
    fused = model.branches[0].fuse_non_key(current, moved)
    expected = upsample(model.decoders["depth"](fused), (24, 32))
    torch.testing.assert_close(model(frames, 3)["depth"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["flow", "svc"])
def test_what_all_tasks_share_is_found_once(kind: str) -> None:
    """With three task-specific branches and two sources a frame there are still as many comparisons as pairs."""
    model = slow_fast(kind)
    assert len(model.propagations) == 1
    assert len(model.branches) == 3
    calls = 0
    network = model.propagations[0].flownet.network if kind == "flow" else model.propagations[0].predictor

    def called(*_: object) -> None:
        nonlocal calls
        calls += 1

    network.register_forward_hook(called)
    stream = model.stream()
    frames = video(8)
    with torch.no_grad():
        for t in range(8):
            stream.step(frames[:, t])
    # flow: every frame but the first receives from the one before it, in whatever slot;
    # SVC: keyframes 0 and 5 look at one source, the other six frames at two
    assert calls == (7 - 0 if kind == "flow" else 2 * 1 + 6 * 2)


def test_frozen_flow_stays_and_the_rest_learns() -> None:
    model = slow_fast("flow", freeze_flow=True).train()
    predictions, own = model.training_forward(video(6), 4)
    (sum(p.sum() for p in predictions.values()) + sum(own.values())).backward()
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


def test_slow_only_has_no_fast_network() -> None:
    """Table 10: every frame is slow, and receives from the one before it."""
    torch.manual_seed(0)
    model = randomised(MILA(CITYSCAPES, 50, None, width=0.0625, keyframe_interval=1, mimicry=None))
    assert not [n for n, _ in model.named_parameters() if n.startswith(("fast", "mimicry"))]
    frames = video(3).requires_grad_()
    model(frames, 0)["depth"].sum().backward()
    assert frames.grad is not None
    assert [bool(frames.grad[:, t].any()) for t in range(3)] == [False, True, True]


# --- Accel -----------------------------------------------------------------------------------------------------------


def accel(fast: int = 18) -> Accel:
    torch.manual_seed(0)
    model = Accel(NYUV2, 34, fast, **SMALL)
    randomised(model)
    return model


@pytest.mark.parametrize("fast", [18, 34, 50])
@torch.no_grad()
def test_accel_fuses_the_scores_of_warped_reference_and_update(fast: int) -> None:
    model = accel(fast)
    for fusion in model.score_fusion.values():
        nn.init.normal_(fusion.weight)
    frames = video(3)
    reference = model.slow(frames[:, 0])
    for t in (1, 2):
        flow = model.warping.flownet.estimate(frames[:, t], frames[:, t - 1])
        reference = warp(reference, model.warping.flownet.at_features(flow, reference.shape[-2:]))
    for task in NYUV2.tasks:
        scores = [
            model.decoders["slow"][task.name](reference),
            model.decoders["fast"][task.name](model.fast(frames[:, 2])),
        ]
        fusion = model.score_fusion[task.name]
        weight, bias = fusion.weight[..., 0, 0], fusion.bias  # [C, 2 C]
        fused = torch.einsum("oc,bchw->bohw", weight, torch.cat(scores, 1)) + bias[:, None, None]
        expected = upsample(fused, (24, 32))
        if task.name == "normals":
            expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(model(frames, 2)[task.name], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_accel_predicts_keyframes_by_the_reference_branch_alone() -> None:
    model = accel()
    calls = []
    for part in (model.fast, model.warping.flownet.network):
        part.register_forward_hook(lambda *_: calls.append(1))
    frames = video(1)
    expected = upsample(model.decoders["slow"]["depth"](model.slow(frames[:, 0])), (24, 32))
    torch.testing.assert_close(model(frames, 0)["depth"], expected)
    stream = model.stream()
    torch.testing.assert_close(stream.step(frames[:, 0])["depth"], expected)
    assert not calls


def test_accel_starts_as_the_average_of_its_branches() -> None:
    model = accel()
    reference, update = torch.randn(2, 13, 3, 4), torch.randn(2, 13, 3, 4)
    with torch.no_grad():
        fused = model.score_fusion["segmentation"](torch.cat([reference, update], 1))
    torch.testing.assert_close(fused, (reference + update) / 2)


def test_costs_of_accel_and_svc_are_those_of_their_parts() -> None:
    """At 256x512: R101 93.26, R18 25.22 GMACs (facts, 1.2); 1x1 projection, fusion, kernels, scores by hand."""
    pixels = 33 * 65
    with torch.device("meta"):
        svc, whole = SVC(CITYSCAPES), Accel(CITYSCAPES)
    project = pixels * (2048 * 512 + 4 * 512) / 1e9  # with thop's 4 operations an element of batch norm
    adaptation = pixels * (9 * 512 * (1024 + 512 + 512) + 3 * 4 * 512) / 1e9
    kernels = pixels * 9 * (1024 * 256 + 256 * 256 + 256 * 81) / 1e9
    cost = count(svc, 256, 512)
    assert cost.keyframe / 1e9 == pytest.approx(93.26 + project + 25.22, abs=0.02)
    assert cost.non_keyframe / 1e9 == pytest.approx(25.22 + kernels + adaptation, abs=0.02)
    flow = count(slow_fast_meta("flow"), 256, 512).non_keyframe - count(slow_fast_meta("concat"), 256, 512).non_keyframe
    scores = pixels * sum(2 * c * c for c in (7, 1)) / 1e9
    cost = count(whole, 256, 512)
    assert cost.keyframe / 1e9 == pytest.approx(93.26, abs=0.01)
    assert cost.non_keyframe / 1e9 == pytest.approx(25.22 + flow / 1e9 + scores, abs=0.02)
    assert flow / 1e9 == pytest.approx(4.45, abs=0.01)  # half resolution (facts, 1.8)


def slow_fast_meta(kind: Any) -> SlowFast:
    with torch.device("meta"):
        return SlowFast(CITYSCAPES, propagation=kind, multi_frame=False, task_specific=False)
