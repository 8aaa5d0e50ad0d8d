"""Cross-Stitch units in plain loops; the model against single-task networks, a slow re-statement and arithmetic."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from baselines.cross_stitch import CrossStitch, CrossStitchUnit
from baselines.multi_task import MultiTask
from baselines.single_task import SingleTask
from mila.backbone import DeepLabResNet
from mila.cost.conventions import count
from mila.modules import upsample
from mila.tasks import CITYSCAPES, NYUV2, Suite
from tests.support.fake_models import fake_statistics

TASKS = ("segmentation", "depth", "normals")


def shake(model: nn.Module) -> nn.Module:
    """Eval mode, with batch norms that have seen something, and no two alphas alike."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            fake_statistics(module)
        if isinstance(module, CrossStitchUnit):
            nn.init.uniform_(module.alpha, -1, 1)
    return model.eval()


def make(depth: int = 18, **arguments: Any) -> CrossStitch:
    torch.manual_seed(0)
    model = shake(CrossStitch(NYUV2, depth, width=0.0625, **arguments))
    assert isinstance(model, CrossStitch)
    return model


def video(frames: int, height: int = 32, width: int = 48) -> Tensor:
    return torch.randn(2, frames, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("units", ["channel", "scalar"])
@torch.no_grad()
def test_unit_in_plain_loops(units: Any) -> None:
    torch.manual_seed(0)
    unit = CrossStitchUnit(3, 4, units)
    assert unit.alpha.shape == ((3, 3, 4) if units == "channel" else (3, 3))
    nn.init.normal_(unit.alpha)
    maps = [torch.randn(2, 4, 3, 5) for _ in range(3)]
    stitched = unit(maps)
    assert len(stitched) == 3
    for i in range(3):
        for channel in range(4):
            expected = torch.zeros(2, 3, 5)
            for j in range(3):
                share = unit.alpha[i, j, channel] if units == "channel" else unit.alpha[i, j]
                expected += share.item() * maps[j][:, channel]
            torch.testing.assert_close(stitched[i][:, channel], expected)


@pytest.mark.parametrize(("tasks", "total"), [(2, 1.0), (3, 1.1)])
@pytest.mark.parametrize("units", ["channel", "scalar"])
def test_units_start_at_0_9_and_0_1(tasks: int, total: float, units: Any) -> None:
    alpha = CrossStitchUnit(tasks, 5, units).alpha.detach()
    for i in range(tasks):
        for j in range(tasks):
            torch.testing.assert_close(alpha[i, j], torch.full_like(alpha[i, j], 0.9 if i == j else 0.1))
    torch.testing.assert_close(alpha.sum(1), torch.full_like(alpha[:, 0], total))


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("size", [(32, 48), (29, 35)])
@torch.no_grad()
def test_it_is_what_the_notes_say(depth: int, size: tuple[int, int]) -> None:
    model, clip = make(depth), video(1, *size)
    predictions = model(clip, 0)
    maps = {}
    for task in TASKS:
        encoder = cast(DeepLabResNet, model.encoders[task])
        maps[task] = encoder.maxpool(torch.relu(encoder.bn1(encoder.conv1(clip[:, 0]))))
    for stage in range(4):
        alpha = cast(CrossStitchUnit, model.stitches[stage]).alpha
        outputs = {task: getattr(model.encoders[task], f"layer{stage + 1}")(maps[task]) for task in TASKS}
        for i, task in enumerate(TASKS):
            maps[task] = torch.zeros_like(outputs[task])
            for j, other in enumerate(TASKS):
                for channel in range(alpha.shape[2]):
                    maps[task][:, channel] += alpha[i, j, channel] * outputs[other][:, channel]
    for task in TASKS:
        expected = upsample(model.decoders[task](maps[task]), size)
        if task == "normals":
            expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(predictions[task], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("units", ["channel", "scalar"])
@torch.no_grad()
def test_unstitched_it_is_the_single_task_networks(units: Any) -> None:
    torch.manual_seed(1)
    single = shake(SingleTask(NYUV2, 18, width=0.0625))
    model = CrossStitch(NYUV2, 18, width=0.0625, units=units, diagonal=1, off_diagonal=0).eval()
    report = model.load_state_dict(single.state_dict(), strict=False)
    assert report.missing_keys == [f"stitches.{stage}.alpha" for stage in range(4)]
    assert not report.unexpected_keys
    clip = video(1)
    predictions, expected = model(clip, 0), single(clip, 0)
    assert all(torch.equal(predictions[task], expected[task]) for task in TASKS)


@torch.no_grad()
def test_scalar_units_equal_channel_units_with_equal_entries() -> None:
    scalar, channel = make(units="scalar"), make()
    state = channel.state_dict() | {
        name: value[:, :, None].expand_as(channel.state_dict()[name]) if name.startswith("stitches.") else value
        for name, value in scalar.state_dict().items()
    }
    channel.load_state_dict(state)
    clip = video(1)
    predictions, expected = channel(clip, 0), scalar(clip, 0)
    for task in TASKS:
        torch.testing.assert_close(predictions[task], expected[task])


def touched(model: CrossStitch) -> set[str]:
    """Parameters with a gradient that is not 0."""
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize(("index", "task"), list(enumerate(TASKS)))
def test_a_task_teaches_all_encoders_and_its_own_decoder(index: int, task: str) -> None:
    model = make().train()
    model(video(1), 0)[task].sum().backward()
    mine = ("encoders.", "stitches.", f"decoders.{task}.")
    assert touched(model) == {n for n, _ in model.named_parameters() if n.startswith(mine)}
    # The last unit gives the task's decoder its own row and nothing else; before, every row reaches it.
    grads = [cast(CrossStitchUnit, stitch).alpha.grad for stitch in model.stitches]
    rows = [[bool(row.abs().sum() > 0) for row in grad] for grad in grads if grad is not None]
    assert rows == [[True] * 3] * 3 + [[i == index for i in range(3)]]


def test_unstitched_a_task_teaches_its_own_encoder_alone() -> None:
    torch.manual_seed(0)
    model = CrossStitch(NYUV2, 18, width=0.0625, diagonal=1, off_diagonal=0)
    model(video(1), 0)["depth"].sum().backward()
    mine = ("encoders.depth.", "stitches.", "decoders.depth.")
    assert touched(model) == {n for n, _ in model.named_parameters() if n.startswith(mine)}


@pytest.mark.parametrize(
    ("depth", "units", "added"),
    [
        (18, "channel", 9 * (64 + 128 + 256 + 512)),
        (101, "channel", 9 * (256 + 512 + 1024 + 2048)),
        (101, "scalar", 9 * 4),
    ],
)
def test_parameters_of_the_units(depth: int, units: Any, added: int) -> None:
    with torch.device("meta"):
        models = CrossStitch(NYUV2, depth, units=units), SingleTask(NYUV2, depth)
    numbers = [sum(p.numel() for p in model.parameters()) for model in models]
    assert numbers[0] - numbers[1] == added


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "gmacs"), [(CITYSCAPES, 186.51), (NYUV2, 236.46)], ids=["cityscapes", "nyuv2"])
def test_cost_is_that_of_the_encoders(suite: Suite, gmacs: float) -> None:
    with torch.device("meta"):
        model, encoder = CrossStitch(suite), MultiTask(suite)
    cost = count(model, suite.height, suite.width)
    assert cost.gflops == pytest.approx(gmacs, abs=0.006)
    assert cost.average == len(suite.tasks) * count(encoder, suite.height, suite.width).average


def test_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match="'channel' or 'scalar', not 'row'"):
        CrossStitch(NYUV2, 18, width=0.0625, units="row")  # type: ignore[arg-type]
