"""MTAN and Cross-Stitch on SegNet against slow re-statements, arithmetic and what the public code costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.cross_stitch import CrossStitchUnit
from baselines.segnet import SegNetCrossStitch, SegNetMTAN
from mila.cost.conventions import EXECUTED, PUBLISHED, count
from mila.losses import task_loss
from mila.modules import upsample
from mila.tasks import CITYSCAPES, NYUV2, Suite
from mila.video_model import FrameModel
from tests.support.fake_models import fake_statistics

TASKS = ("segmentation", "depth", "normals")
FILTERS = (64, 128, 256, 512, 512)
DECODED = (64, 64, 128, 256, 512)
CONVOLUTIONS = (2, 2, 3, 3, 3)
BOTH = pytest.mark.parametrize("model_type", [SegNetMTAN, SegNetCrossStitch])


def make(model_type: Callable[..., FrameModel], **arguments: Any) -> FrameModel:
    """A small model in eval mode, with batch norms that have seen something, and no two alphas alike."""
    torch.manual_seed(0)
    model = model_type(NYUV2, width=0.0625, **arguments)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            fake_statistics(module, 0.05, 0.15)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, CrossStitchUnit):
            nn.init.uniform_(module.alpha, -1, 1)
    return model.eval()


def video(frames: int, height: int = 32, width: int = 48) -> Tensor:
    return torch.randn(2, frames, 3, height, width, generator=torch.Generator().manual_seed(3))


State = Mapping[str, Tensor]


def norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def convolution(x: Tensor, state: State, name: str) -> Tensor:
    return norm(F.conv2d(x, state[f"{name}.0.weight"], padding=1), state, f"{name}.1").clamp(min=0)


def mask(x: Tensor, state: State, name: str) -> Tensor:
    hidden = torch.einsum("oi,bihw->bohw", state[f"{name}.0.weight"][:, :, 0, 0], x)
    hidden = norm(hidden, state, f"{name}.1").clamp(min=0)
    logits = norm(torch.einsum("oi,bihw->bohw", state[f"{name}.3.weight"][:, :, 0, 0], hidden), state, f"{name}.4")
    return 1 / (1 + (-logits).exp())


def head(x: Tensor, state: State, task: str) -> Tensor:
    x = F.conv2d(x, state[f"decoders.{task}.0.weight"], state[f"decoders.{task}.0.bias"], padding=1)
    x = F.conv2d(x, state[f"decoders.{task}.1.weight"], state[f"decoders.{task}.1.bias"])
    return x / x.square().sum(1, keepdim=True).sqrt() if task == "normals" else x


def pooled(x: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
    """Maxima of 2x2 windows, and which of a window's values it was: the first one, row by row, where several are."""
    rows, places = list[list[Tensor]](), list[list[Tensor]]()
    for i in range(0, x.shape[2], 2):
        rows.append([])
        places.append([])
        for j in range(0, x.shape[3], 2):
            window = x[:, :, i : i + 2, j : j + 2].flatten(2)
            best, place = window[:, :, 0], torch.zeros(x.shape[:2])
            for k in range(1, window.shape[2]):
                place = torch.where(window[:, :, k] > best, k, place)
                best = torch.maximum(best, window[:, :, k])
            rows[-1].append(best)
            places[-1].append(place)
    return torch.stack([torch.stack(row, -1) for row in rows], -2), places


def unpooled(x: Tensor, places: list[list[Tensor]], height: int, width: int) -> Tensor:
    out = x.new_zeros(*x.shape[:2], height, width)
    for i, row in enumerate(places):
        for j, place in enumerate(row):
            wide = min(2, width - 2 * j)  # a window at the edge of an odd width has one column
            for k in range(wide * min(2, height - 2 * i)):
                out[:, :, 2 * i + k // wide, 2 * j + k % wide] = torch.where(place == k, x[:, :, i, j], 0)
    return out


def doubled(x: Tensor) -> Tensor:
    """Bilinear: every value stands for two, each 3/4 of it and 1/4 of the neighbour on that side, by dimension."""
    for dim in (2, 3):
        values = list(x.unbind(dim))
        out = []
        for i, value in enumerate(values):
            out.append(0.75 * value + 0.25 * values[max(i - 1, 0)])
            out.append(0.75 * value + 0.25 * values[min(i + 1, len(values) - 1)])
        x = torch.stack(out, dim)
    return x


def restate_mtan(model: FrameModel, frame: Tensor) -> dict[str, Tensor]:
    """Note 4.2, from the state dict."""
    state = model.state_dict()
    x, places = frame, dict[int, list[list[Tensor]]]()
    first, last, widened, out = dict[int, Tensor](), dict[int, Tensor](), dict[int, Tensor](), dict[int, Tensor]()
    for level in range(5):
        for number in range(CONVOLUTIONS[level]):
            x = convolution(x, state, f"network.encoder.{level}.{number}")
            first.setdefault(level, x)
        last[level] = x
        x, places[level] = pooled(x)
    for level in (4, 3, 2, 1, 0):
        x = widened[level] = unpooled(x, places[level], *last[level].shape[2:])
        for number in range(CONVOLUTIONS[level]):
            x = convolution(x, state, f"network.decoder.{level}.{number}")
        out[level] = x
    predictions = {}
    for task in TASKS:
        carried: list[Tensor] = []
        for level in range(5):
            source = torch.cat([first[level], *carried], 1)
            attended = mask(source, state, f"masks.{task}.encoder.{level}") * last[level]
            carried = [pooled(convolution(attended, state, f"carry_encoder.{level}"))[0]]
        attended = carried[0]
        for level in (4, 3, 2, 1, 0):
            height, width = out[level].shape[2:]
            larger = doubled(attended)[:, :, :height, :width]
            source = torch.cat([widened[level], convolution(larger, state, f"carry_decoder.{level}")], 1)
            attended = mask(source, state, f"masks.{task}.decoder.{level}") * out[level]
        predictions[task] = head(attended, state, task)
    return predictions


def restate_cross_stitch(model: FrameModel, frame: Tensor) -> dict[str, Tensor]:
    """Note 4.3, from the state dict: stitched pools, stitched unpools, everybody's own indices."""
    state = model.state_dict()

    def stitched(maps: dict[str, Tensor], alpha: Tensor) -> dict[str, Tensor]:
        result = {}
        for i, task in enumerate(TASKS):
            result[task] = torch.zeros_like(maps[task])
            for j, other in enumerate(TASKS):
                for channel in range(maps[task].shape[1]):
                    result[task][:, channel] += alpha[i, j, channel] * maps[other][:, channel]
        return result

    x = dict.fromkeys(TASKS, frame)
    places: dict[tuple[int, str], Any] = {}
    sizes = {}
    for level in range(5):
        for task in TASKS:
            for number in range(CONVOLUTIONS[level]):
                x[task] = convolution(x[task], state, f"networks.{task}.encoder.{level}.{number}")
            sizes[level] = x[task].shape[2:]
            x[task], places[level, task] = pooled(x[task])
        x = stitched(x, state[f"stitch_pooled.{level}.alpha"])
    for level in (4, 3, 2, 1, 0):
        x = {task: unpooled(x[task], places[level, task], *sizes[level]) for task in TASKS}
        x = stitched(x, state[f"stitch_unpooled.{level}.alpha"])
        for task in TASKS:
            for number in range(CONVOLUTIONS[level]):
                x[task] = convolution(x[task], state, f"networks.{task}.decoder.{level}.{number}")
    return {task: head(x[task], state, task) for task in TASKS}


@BOTH
@pytest.mark.parametrize("size", [(32, 48), (29, 35), (24, 32), (7, 3)])
@torch.no_grad()
def test_it_is_what_the_notes_say(model_type: Callable[..., FrameModel], size: tuple[int, int]) -> None:
    model, clip = make(model_type).double(), video(1, *size).double()  # 26 convolutions amplify the rounding of floats
    predictions = model(clip, 0)
    expected = (restate_mtan if model_type is SegNetMTAN else restate_cross_stitch)(model, clip[:, 0])
    for task in TASKS:
        assert predictions[task].shape == (2, NYUV2.task(task).channels, *size)
        torch.testing.assert_close(predictions[task], expected[task])


def touched(model: nn.Module) -> set[str]:
    """Parameters with a gradient that is not 0."""
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_teaches_mtans_shared_parts_and_its_own(task: str) -> None:
    model = make(SegNetMTAN).train()
    model(video(1), 0)[task].sum().backward()
    mine = ("network.", "carry_", f"masks.{task}.", f"decoders.{task}.")
    assert touched(model) == {n for n, _ in model.named_parameters() if n.startswith(mine)}


@pytest.mark.parametrize("task", TASKS)
def test_stitched_networks_teach_each_other_and_unstitched_ones_do_not(task: str) -> None:
    stitched, alone = make(SegNetCrossStitch), SegNetCrossStitch(NYUV2, width=0.0625, diagonal=1, off_diagonal=0)
    alone.load_state_dict({n: v for n, v in stitched.state_dict().items() if "stitch" not in n}, strict=False)
    for model, network in ((stitched, "networks."), (alone, f"networks.{task}.")):
        model.train()(video(1), 0)[task].sum().backward()
        mine = {n for n, _ in model.named_parameters() if n.startswith((network, "stitch_", f"decoders.{task}."))}
        # After the last unit come the decoder blocks of level 0, and no way from one task to another.
        assert touched(model) == {n for n in mine if ".decoder.0." not in n or f".{task}." in n}


@torch.no_grad()
def test_scalar_units_equal_channel_units_with_equal_entries() -> None:
    scalar, channel = make(SegNetCrossStitch, units="scalar"), make(SegNetCrossStitch)
    shapes = {n: v.shape for n, v in channel.state_dict().items()}
    channel.load_state_dict(
        {n: v[:, :, None].expand(shapes[n]) if "alpha" in n else v for n, v in scalar.state_dict().items()}
    )
    clip = video(1)
    predictions, expected = channel(clip, 0), scalar(clip, 0)
    for task in TASKS:
        torch.testing.assert_close(predictions[task], expected[task])


Layer = tuple[int, int, int, int]
"""Kernel size, channels in, channels out, level."""


def segnet_layers() -> Iterator[Layer]:
    for level in range(5):
        inputs = 3 if level == 0 else FILTERS[level - 1]
        for _ in range(CONVOLUTIONS[level]):
            yield 3, inputs, FILTERS[level], level
            inputs = FILTERS[level]
        for _ in range(CONVOLUTIONS[level]):
            yield 3, inputs, DECODED[level], level
            inputs = DECODED[level]


def attention_layers() -> Iterator[Layer]:
    """Masks of one task."""
    for level, (c, d) in enumerate(zip(FILTERS, DECODED, strict=True)):
        yield from ((1, c if level == 0 else 2 * c, c, level), (1, c, c, level))
        yield from ((1, c + d, d, level), (1, d, d, level))


def carry_layers() -> Iterator[Layer]:
    for level, (c, d) in enumerate(zip(FILTERS, DECODED, strict=True)):
        yield from ((3, c, FILTERS[min(level + 1, 4)], level), (3, c, d, level))


def macs(layers: Iterator[Layer], pixels: int) -> int:
    """Of convolutions, each with a batch norm at 4 an element."""
    return sum(pixels // 4**level * o * (k * k * i + 4) for k, i, o, level in layers)


def parameters(layers: Iterator[Layer]) -> int:
    return sum(o * (k * k * i + 2) for k, i, o, _ in layers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "mtan", "cross_stitch"),
    [(CITYSCAPES, (184.21, 193.94), (133.82, 143.55)), (NYUV2, (204.91, 217.26), (169.37, 181.72))],
    ids=["cityscapes", "nyuv2"],
)
def test_cost(suite: Suite, mtan: tuple[float, float], cross_stitch: tuple[float, float]) -> None:
    """Note 1.7: 194 and 217 for MTAN, 182 for Cross-Stitch on NYUv2, heads included; without heads, golden numbers.

    And all of it by hand.
    """
    pixels, tasks = suite.height * suite.width, len(suite.tasks)
    heads = sum(pixels * (9 * 64 * 64 + 64 * t.channels) for t in suite.tasks)
    network = macs(segnet_layers(), pixels)
    attention = macs(attention_layers(), pixels) + macs(carry_layers(), pixels)
    for model_type, golden, by_hand in (
        (SegNetMTAN, mtan, network + tasks * attention),
        (SegNetCrossStitch, cross_stitch, tasks * network),
    ):
        with torch.device("meta"):
            model = model_type(suite)
        published, executed = (count(model, suite.height, suite.width, c) for c in (PUBLISHED, EXECUTED))
        assert published.gflops == pytest.approx(golden[0], abs=0.006)
        assert executed.gflops == pytest.approx(golden[1], abs=0.006)
        assert published.average == by_hand
        assert executed.average == by_hand + heads


def test_parameters() -> None:
    heads = sum(9 * 64 * 64 + 64 + 64 * t.channels + t.channels for t in NYUV2.tasks)
    network, masks, carry = (parameters(layers()) for layers in (segnet_layers, attention_layers, carry_layers))
    cases: tuple[tuple[int, type[FrameModel], dict[str, Any]], ...] = (
        (network + 3 * masks + carry + heads, SegNetMTAN, {}),
        (3 * network + 2 * 9 * sum(FILTERS) + heads, SegNetCrossStitch, {}),
        (3 * network + 2 * 9 * 5 + heads, SegNetCrossStitch, {"units": "scalar"}),
    )
    for expected, model_type, arguments in cases:
        with torch.device("meta"):
            model = model_type(NYUV2, **arguments)
        assert sum(p.numel() for p in model.parameters()) == expected


@BOTH
def test_wrong_arguments_are_refused(model_type: Callable[..., FrameModel]) -> None:
    with pytest.raises(ValueError, match="width must be positive, not 0"):
        model_type(NYUV2, width=0)


def fit(model_type: Callable[..., FrameModel], steps: int, width: float) -> tuple[list[list[float]], nn.Module]:
    """Losses by step on two clips of one frame with smooth random targets, and what became of the model."""
    torch.manual_seed(0)
    model = model_type(NYUV2, width=width).train()

    def smooth(channels: int) -> Tensor:
        return upsample(torch.randn(2, channels, 4, 6), (32, 48))

    clip = smooth(3)[:, None]
    normals = smooth(3)
    targets = {
        "segmentation": smooth(13).argmax(1),
        "depth": 3 + smooth(1).clamp(-2, 2),
        "normals": normals / normals.norm(dim=1, keepdim=True),
    }
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    curve = []
    for _ in range(steps):
        predictions = model(clip, 0)
        losses = [task_loss(t.name, predictions[t.name], targets[t.name]) for t in NYUV2.tasks]
        curve.append([loss.item() for loss in losses])
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
    return curve, model


@pytest.mark.slow
@BOTH
def test_training_is_reproducible_to_the_bit(model_type: Callable[..., FrameModel]) -> None:
    """With deterministic kernels, as stages are run; PyTorch raises where it has none."""
    torch.use_deterministic_algorithms(True)
    try:
        (first, one), (second, other) = (fit(model_type, 2, 0.0625) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert first == second
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
