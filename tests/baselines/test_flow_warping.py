"""Warping against a slow re-statement and exact flow; Accel against its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.flow_warping import Accel, FlowWarping, Outside, warp
from baselines.slow_fast import PropagationName, SlowFast
from baselines.svc import SVC
from mila.cost.conventions import count
from mila.data.worlds.clips import WorldFlow
from mila.data.worlds.rendering import World, render
from mila.modules import TaskDecoders, upsample
from mila.tasks import CITYSCAPES, NYUV2
from tests.support.fake_models import fake_model, fake_video


def slow_warp(features: Tensor, flow: Tensor, outside: Outside) -> Tensor:
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
def test_warping_is_bilinear_sampling_at_the_flow(outside: Outside, size: tuple[int, int]) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("world", ["rooms", "street"])
def test_features_moved_by_exact_flow_come_back(world: World) -> None:
    """The older frame's features, warped by the world's exact flow, are the current frame's, occlusions aside."""
    height, width = 192, 256
    moved, still, wrong = list[Tensor](), list[Tensor](), list[Tensor]()
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


def accel(fast: int = 18) -> Accel:
    return fake_model(Accel, slow=34, fast=fast, flow_width=0.0625)


def score(model: Accel, branch: str, task: str, features: Tensor) -> Tensor:
    """A branch's score map of a task."""
    decoders = model.decoders[branch]
    assert isinstance(decoders, TaskDecoders)
    return cast(Tensor, decoders[task](features))


@pytest.mark.parametrize("fast", [18, 34, 50])
@torch.no_grad()
def test_accel_fuses_the_scores_of_warped_reference_and_update(fast: int) -> None:
    model = accel(fast)
    fusions = cast(Mapping[str, nn.Conv2d], model.score_fusion)
    for fusion in fusions.values():
        nn.init.normal_(fusion.weight)
    frames = fake_video(3)
    reference = model.slow(frames[:, 0])
    for t in (1, 2):
        flow = model.warping.flownet.estimate(frames[:, t], frames[:, t - 1])
        reference = warp(reference, model.warping.flownet.at_features(flow, reference.shape[-2:]))
    for task in NYUV2.tasks:
        scores = [
            score(model, "slow", task.name, reference),
            score(model, "fast", task.name, model.fast(frames[:, 2])),
        ]
        weight, bias = fusions[task.name].weight[..., 0, 0], fusions[task.name].bias  # [C, 2 C]
        assert bias is not None
        fused = torch.einsum("oc,bchw->bohw", weight, torch.cat(scores, 1)) + bias[:, None, None]
        expected = upsample(fused, (24, 32))
        if task.name == "normals":
            expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(model(frames, 2)[task.name], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_accel_predicts_keyframes_by_the_reference_branch_alone() -> None:
    model = accel()
    calls: list[int] = []
    for part in (model.fast, model.warping.flownet.network):
        part.register_forward_hook(lambda *_: calls.append(1))
    frames = fake_video(1)
    expected = upsample(score(model, "slow", "depth", model.slow(frames[:, 0])), (24, 32))
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


@pytest.mark.slow
def test_costs_of_accel_and_svc_are_those_of_their_parts() -> None:
    """At 256x512: R101 93.26, R18 25.22 GMACs (note 1.2); 1x1 projection, fusion, kernels, scores by hand."""
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
    assert flow / 1e9 == pytest.approx(4.45, abs=0.01)  # half resolution (note 1.8)


def slow_fast_meta(kind: PropagationName) -> SlowFast:
    with torch.device("meta"):
        return SlowFast(CITYSCAPES, propagation=kind, multi_frame=False, task_specific=False)
