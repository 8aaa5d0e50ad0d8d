"""MTAN on the DeepLab-ResNet against a slow re-statement, arithmetic and the published cost."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.mtan import MTAN
from baselines.multi_task import MultiTask
from mila.cost.conventions import count
from mila.modules import upsample
from mila.tasks import CITYSCAPES, NYUV2, Suite
from tests.support.fake_models import fake_statistics

TASKS = ("segmentation", "depth", "normals")


def make(depth: int = 18, width: float = 0.0625) -> MTAN:
    """A small model in eval mode whose batch norms have seen something."""
    torch.manual_seed(0)
    model = MTAN(NYUV2, depth, width=width)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            fake_statistics(module)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


def video(frames: int, height: int = 32, width: int = 48) -> Tensor:
    return torch.randn(2, frames, 3, height, width, generator=torch.Generator().manual_seed(3))


def norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def one_by_one(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    return torch.einsum("oi,bihw->bohw", state[f"{name}.weight"][:, :, 0, 0], x)


def pooled(x: Tensor) -> Tensor:
    rows = [
        [x[..., i : i + 2, j : j + 2].amax((2, 3)) for j in range(0, x.shape[3], 2)] for i in range(0, x.shape[2], 2)
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def restate(model: MTAN, frame: Tensor) -> dict[str, Tensor]:
    """Note 4.1, task by task, from the state dict; the encoder's blocks are taken as they are."""
    state, encoder = model.state_dict(), model.encoder
    predictions = {}
    for task in TASKS:
        x = encoder.maxpool(torch.relu(encoder.bn1(encoder.conv1(frame))))
        carried: list[Tensor] = []
        for stage in range(4):
            blocks = list(getattr(encoder, f"layer{stage + 1}"))
            for block in blocks[:-1]:
                x = block(x)
            source = torch.cat([x, *carried], 1)
            x = blocks[-1](x)
            mask = f"masks.{task}.{stage}"
            hidden = norm(one_by_one(source, state, f"{mask}.0"), state, f"{mask}.1").clamp(min=0)
            logits = norm(one_by_one(hidden, state, f"{mask}.3"), state, f"{mask}.4")
            attended = x / (1 + (-logits).exp())
            if stage < 3:
                name = f"carry.{stage}"
                hidden = norm(one_by_one(attended, state, f"{name}.layers.0"), state, f"{name}.layers.1").clamp(min=0)
                hidden = F.conv2d(hidden, state[f"{name}.layers.3.weight"], padding=1)
                hidden = norm(hidden, state, f"{name}.layers.4").clamp(min=0)
                hidden = norm(one_by_one(hidden, state, f"{name}.layers.6"), state, f"{name}.layers.7")
                shortcut = norm(one_by_one(attended, state, f"{name}.shortcut.0"), state, f"{name}.shortcut.1")
                following = (hidden + shortcut).clamp(min=0)
                carried = [pooled(following) if stage == 0 else following]
        prediction = upsample(model.decoders[task](attended), (frame.shape[-2], frame.shape[-1]))
        predictions[task] = prediction / prediction.norm(dim=1, keepdim=True) if task == "normals" else prediction
    return predictions


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize("size", [(32, 48), (29, 35)])
@torch.no_grad()
def test_it_is_what_the_notes_say(depth: int, size: tuple[int, int]) -> None:
    model, clip = make(depth), video(1, *size)
    predictions, expected = model(clip, 0), restate(model, clip[:, 0])
    for task in TASKS:
        assert predictions[task].shape[-2:] == size
        torch.testing.assert_close(predictions[task], expected[task], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_teaches_what_is_shared_and_its_own(task: str) -> None:
    model = make().train()
    model(video(1), 0)[task].sum().backward()
    touched = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    mine = ("encoder.", "carry.", f"masks.{task}.", f"decoders.{task}.")
    assert touched == {n for n, _ in model.named_parameters() if n.startswith(mine)}


@torch.no_grad()
def test_a_multi_task_models_encoder_loads() -> None:
    torch.manual_seed(1)
    trained, model = MultiTask(NYUV2, 18, width=0.0625), make()
    model.encoder.load_state_dict(trained.encoder.state_dict())
    frame = video(1)[:, 0]
    assert torch.equal(model.encoder.eval()(frame), trained.encoder.eval()(frame))


def added_parameters(channels: list[int], tasks: int) -> int:
    """Masks of all tasks and bottlenecks, by hand: a 1x1 is in x out, a batch norm 2 numbers a channel."""
    masks = sum((c if s == 0 else 2 * c) * (c // 4) + (c // 4) * c + 2 * (c // 4 + c) for s, c in enumerate(channels))
    carry = 0
    for c, out in pairwise(channels):
        mid = out // 4
        carry += c * mid + 9 * mid * mid + mid * out + c * out + 2 * (mid + mid + out + out)
    return tasks * masks + carry


@pytest.mark.parametrize(
    ("depth", "channels"), [(18, [64, 128, 256, 512]), (34, [64, 128, 256, 512]), (101, [256, 512, 1024, 2048])]
)
def test_parameters_of_masks_and_bottlenecks(depth: int, channels: list[int]) -> None:
    with torch.device("meta"):
        mtan, multi_task = MTAN(NYUV2, depth), MultiTask(NYUV2, depth)
    numbers = [sum(p.numel() for p in model.parameters()) for model in (mtan, multi_task)]
    assert numbers[0] - numbers[1] == added_parameters(channels, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "gmacs", "grids"),
    [(CITYSCAPES, 150.5, (65 * 129, 33 * 65)), (NYUV2, 151.4, (73 * 97, 37 * 49))],
    ids=["cityscapes", "nyuv2"],
)
def test_cost(suite: Suite, gmacs: float, grids: tuple[int, int]) -> None:
    """Note 1.6, and by hand what is added to a bare encoder: convolutions, and 4 an element of a batch norm."""
    with torch.device("meta"):
        model, bare = MTAN(suite), MultiTask(suite)
    cost = count(model, suite.height, suite.width)
    assert cost.gflops == pytest.approx(gmacs, abs=0.06)
    channels = [256, 512, 1024, 2048]
    added = 0
    for stage, c in enumerate(channels):
        pixels = grids[min(stage, 1)]
        inputs = c if stage == 0 else 2 * c
        added += pixels * (inputs * c // 4 + c // 4 * c + 4 * (c // 4 + c))
        if stage < 3:
            out = channels[stage + 1]
            mid = out // 4
            added += pixels * (c * mid + 9 * mid * mid + mid * out + c * out + 4 * (2 * mid + 2 * out))
    encoder = count(bare, suite.height, suite.width).average
    assert cost.average == encoder + len(suite.tasks) * added
