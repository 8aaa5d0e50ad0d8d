"""The contract that every model of the suite keeps: stream equals clip, gradients, every weighting, a tiny training."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from baselines.cross_stitch import CrossStitch
from baselines.mtan import MTAN
from baselines.multi_task import MultiTask
from baselines.segnet import SegNetCrossStitch, SegNetMTAN
from baselines.single_task import SingleTask
from mila.losses import task_loss
from mila.names import WeightingName
from mila.tasks import NYUV2, VOID
from mila.weighting import make_weighting
from tests.support.all_models import MODELS
from tests.support.fake_models import fake_model, fake_video

TASK_BRANCHED = ("MTAN", "Cross-Stitch", "SegNet MTAN", "SegNet Cross-Stitch")
FRAME_MODELS = (SingleTask, MultiTask, MTAN, CrossStitch, SegNetMTAN, SegNetCrossStitch)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_stream_equals_clip_at_every_offset(name: str) -> None:
    model = fake_model(MODELS[name][0], **MODELS[name][1])
    interval = model.keyframe_interval
    frames = fake_video(2 * interval + 1)
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


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name: str) -> None:
    # fewer channels may all be dead by chance
    model = fake_model(MODELS[name][0], **MODELS[name][1], width=0.125).train()
    for offset in range(model.keyframe_interval):
        predictions, own = model.training_forward(fake_video(offset + 1 + model.history), offset, {})
        # Normals have unit length, so their squares teach nothing; a fixed direction does.
        torch.stack([*(p.square().sum() + p.sum() for p in predictions.values()), *own.values()]).sum().backward()
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
    model = fake_model(MODELS[name][0], **MODELS[name][1]).train()
    interval = model.keyframe_interval
    predictions, _ = model.training_forward(fake_video(interval + model.history), interval - 1, {})
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in MODELS if not n.startswith(("fused", "K="))])
def test_a_tiny_training_overfits_two_clips_on_every_task(name: str) -> None:
    torch.manual_seed(0)
    model, switches = MODELS[name]
    if "keyframe_interval" not in switches and model not in FRAME_MODELS:
        switches = {**switches, "keyframe_interval": 2}
    built = model(NYUV2, width=0.125, **switches).train()
    frames = fake_video(built.keyframe_interval + built.history)
    targets = targets_of()
    optimiser = torch.optim.Adam(built.parameters(), lr=5e-3)
    history: list[dict[str, float]] = []
    for step in range(60):
        offset = step % built.keyframe_interval
        clip = frames[:, : offset + 1 + built.history]
        predictions, own = built.training_forward(clip, offset, {})
        losses = {t.name: task_loss(t.name, predictions[t.name], targets[t.name]) for t in NYUV2.tasks}
        history.append({name: loss.item() for name, loss in losses.items()})
        optimiser.zero_grad()
        torch.stack([*losses.values(), *(0.1 * loss for loss in own.values())]).sum().backward()
        optimiser.step()
    interval = built.keyframe_interval
    for task in NYUV2.tasks:
        first, last = (sum(h[task.name] for h in part) for part in (history[:interval], history[-interval:]))
        assert last < first / 3, (task.name, first / interval, last / interval)
