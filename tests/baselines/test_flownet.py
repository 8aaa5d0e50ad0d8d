"""FlowNet-S: architecture and cost against arithmetic, weights of three layouts, the grid of its flow, training."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from thop import profile
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from baselines.flownet import FlowNet, FlowNetS, load_flownet_weights
from mila.data.clips import MEAN, STD, denormalise, normalise
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldFlow
from mila.errors import UserError
from mila.evaluation import evaluate
from mila.losses import task_loss
from mila.modules import upsample
from mila.schedule import one_part
from mila.tasks import CITYSCAPES, FLOW
from mila.training import Checkpoint, train
from mila.training_steps import Recipe

SMALL = 1 / 64

CONVOLUTIONS = [  # name, in, out, kernel, stride (note 4.5)
    ("conv1", 6, 64, 7, 2),
    ("conv2", 64, 128, 5, 2),
    ("conv3", 128, 256, 5, 2),
    ("conv3_1", 256, 256, 3, 1),
    ("conv4", 256, 512, 3, 2),
    ("conv4_1", 512, 512, 3, 1),
    ("conv5", 512, 512, 3, 2),
    ("conv5_1", 512, 512, 3, 1),
    ("conv6", 512, 1024, 3, 2),
    ("conv6_1", 1024, 1024, 3, 1),
]
DECONVOLUTIONS = [("5", 1024, 512), ("4", 1026, 256), ("3", 770, 128), ("2", 386, 64)]
HEADS = [("6", 1024), ("5", 1026), ("4", 770), ("3", 386), ("2", 194)]


def frames(height: int, width: int, seed: int = 0, count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, height, width, generator=generator) for _ in range(count)]


def small(**switches: Any) -> FlowNet:
    torch.manual_seed(0)
    return FlowNet(FLOW, width=SMALL, **switches).eval()


def test_parameters_layer_by_layer() -> None:
    with torch.device("meta"):
        network = FlowNetS()
    expected: dict[str, list[int]] = {}
    for name, inside, outside, kernel, _ in CONVOLUTIONS:
        expected[f"encoder.{name}"] = [outside, inside, kernel, kernel]
    for level, inside, outside in DECONVOLUTIONS:
        expected[f"deconvolutions.{level}"] = [inside, outside, 4, 4]
        expected[f"upsamplings.{level}"] = [2, 2, 4, 4]
    for level, inside in HEADS:
        expected[f"heads.{level}"] = [2, inside, 3, 3]
    assert len(expected) == 23
    state = network.state_dict()
    assert {name: list(state[f"{name}.weight"].shape) for name in expected} == expected
    assert set(state) == {f"{name}.{part}" for name in expected for part in ("weight", "bias")}
    encoder = sum(o * i * k * k + o for _, i, o, k, _ in CONVOLUTIONS)
    refinement = sum(i * o * 16 + o + 2 * 2 * 16 + 2 for _, i, o in DECONVOLUTIONS) + sum(18 * i + 2 for _, i in HEADS)
    assert encoder == 24_050_752
    assert refinement == 14_625_762
    assert sum(p.numel() for p in network.parameters()) == encoder + refinement  # 38.68 M


def test_cost_at_half_of_1024_x_2048() -> None:
    """Note 1.8: 42.10 GMACs, of which thop sees the transposed convolutions four times."""
    with torch.device("meta"):
        network = FlowNetS()
        frame = torch.empty(1, 3, 512, 1024)
    pixels = 512 * 1024
    area = {"conv1": 4, "conv2": 16, "conv3": 64, "conv4": 256, "conv5": 1024, "conv6": 4096}  # pixels a cell
    plain = sum(pixels // area[name.split("_")[0]] * o * i * k * k for name, i, o, k, _ in CONVOLUTIONS)
    plain += sum(pixels // 4 ** int(level) * 18 * inside for level, inside in HEADS)
    # A transposed convolution with stride 2 spreads each cell of its input, of level + 1, over 4 x 4 cells.
    transposed = sum(pixels // 4 ** (int(level) + 1) * 16 * (i * o + 4) for level, i, o in DECONVOLUTIONS)
    with FlopCounterMode(display=False) as counter:
        assert network(frame, frame).shape == (1, 2, 128, 256)
    assert counter.get_total_flops() / 2 == plain + transposed
    assert (plain + transposed) / 1e9 == pytest.approx(42.10, abs=0.005)
    macs, _ = profile(copy.deepcopy(network), (frame, frame), verbose=False)
    assert macs == plain + 4 * transposed
    assert macs / 1e9 == pytest.approx(71.18, abs=0.005)


def restated(state: dict[str, Tensor], pair: Tensor, norms: bool = False) -> Tensor:
    """The network from a state dict in the published layout, written out; `[B, 6, h, w]` in, pixels out."""

    def conv(x: Tensor, name: str, kernel: int, stride: int) -> Tensor:
        x = F.conv2d(x, state[f"{name}.0.weight"], state.get(f"{name}.0.bias"), stride, (kernel - 1) // 2)
        if norms:
            mean, variance = state[f"{name}.1.running_mean"], state[f"{name}.1.running_var"]
            x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
            x = x * state[f"{name}.1.weight"][:, None, None] + state[f"{name}.1.bias"][:, None, None]
        return torch.maximum(x, 0.1 * x)

    def deconv(x: Tensor, name: str, like: Tensor) -> Tensor:
        x = F.conv_transpose2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride=2, padding=1)
        return x[:, :, : like.shape[2], : like.shape[3]]

    def head(x: Tensor, level: int) -> Tensor:
        return F.conv2d(x, state[f"predict_flow{level}.weight"], state.get(f"predict_flow{level}.bias"), padding=1)

    c2 = conv(conv(pair, "conv1", 7, 2), "conv2", 5, 2)
    c3 = conv(conv(c2, "conv3", 5, 2), "conv3_1", 3, 1)
    c4 = conv(conv(c3, "conv4", 3, 2), "conv4_1", 3, 1)
    c5 = conv(conv(c4, "conv5", 3, 2), "conv5_1", 3, 1)
    x = conv(conv(c5, "conv6", 3, 2), "conv6_1", 3, 1)
    for level, skip in ((5, c5), (4, c4), (3, c3), (2, c2)):
        flow = deconv(head(x, level + 1), f"upsampled_flow{level + 1}_to_{level}", skip)
        finer = deconv(x, f"deconv{level}.0", skip)
        x = torch.cat([skip, torch.maximum(finer, 0.1 * finer), flow], 1)
    return 20 * head(x, 2)


def published(layout: str, width: float = SMALL, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the published names: layout "plain", "norms" or "biases"."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / math.sqrt(math.prod(shape[1:]))

    def scaled(channels: int) -> int:
        """Of a map that may hold an encoder's and a deconvolution's channels and the flow."""
        parts = {1026: (512, 512), 770: (512, 256), 386: (256, 128), 194: (128, 64)}.get(channels)
        return round(channels * width) if parts is None else sum(round(part * width) for part in parts) + 2

    state: dict[str, Tensor] = {}
    for name, inside, outside, kernel, _ in CONVOLUTIONS:
        out = scaled(outside)
        state[f"{name}.0.weight"] = draw(out, 6 if name == "conv1" else scaled(inside), kernel, kernel)
        if layout == "norms":
            state[f"{name}.1.weight"] = draw(out) / 2 + 1
            state[f"{name}.1.bias"] = draw(out)
            state[f"{name}.1.running_mean"] = draw(out)
            state[f"{name}.1.running_var"] = draw(out).abs() + 0.1
            state[f"{name}.1.num_batches_tracked"] = torch.tensor(7)
        else:
            state[f"{name}.0.bias"] = draw(out)
    rest = [(f"deconv{level}.0", scaled(i), scaled(o), 4) for level, i, o in DECONVOLUTIONS]
    rest += [(f"upsampled_flow{int(level) + 1}_to_{level}", 2, 2, 4) for level, _, _ in DECONVOLUTIONS]
    rest += [(f"predict_flow{level}", 2, scaled(i), 3) for level, i in HEADS]
    for name, first, second, kernel in rest:
        state[f"{name}.weight"] = draw(first, second, kernel, kernel)
        if layout == "biases":
            state[f"{name}.bias"] = draw(2 if name.startswith("predict") else second)
    return state


def as_input(first: Tensor, second: Tensor, normalisation: str) -> Tensor:
    """RGB in 0..1 less the mean, pixel for pixel as the published ports feed it, from ImageNet-normalised frames."""
    rgb = [x * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None] for x in (first, second)]
    if normalisation == "mean":
        mean = torch.tensor([[0.45, 0.432, 0.411]]).expand(len(first), 3)
    else:
        mean = torch.stack([torch.cat([rgb[0][b].flatten(1), rgb[1][b].flatten(1)], 1).mean(1) for b in range(2)])
    return torch.cat([x - mean[:, :, None, None] for x in rgb], 1)


@pytest.mark.parametrize("size", [(18, 24), (36, 48), (64, 128), (1, 7)])
@pytest.mark.parametrize("layout", ["plain", "norms", "biases"])
@torch.no_grad()
def test_published_weights_give_the_published_network(layout: str, size: tuple[int, int], tmp_path: Path) -> None:
    state = published(layout)
    stored = {"prefixed": {f"module.{k}": v for k, v in state.items()}, "whole": {"arch": "x", "state_dict": state}}
    torch.save(stored["prefixed"] if layout == "biases" else stored["whole"], tmp_path / "weights.pth")
    normalisation: Any = "pair" if layout == "biases" else "mean"
    network = FlowNetS(SMALL, normalisation)
    load_flownet_weights(network, tmp_path / "weights.pth")
    first, second = frames(*size)
    got = network(first, second)
    assert got.shape == (2, 2, math.ceil(size[0] / 4), math.ceil(size[1] / 4))
    expected = restated(state, as_input(first, second, normalisation), norms=layout == "norms")
    assert expected.std() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_weights_trained_on_bgr_see_bgr(tmp_path: Path) -> None:
    torch.save(published("plain"), tmp_path / "weights.pth")
    network = FlowNetS(SMALL)
    load_flownet_weights(network, tmp_path / "weights.pth", bgr=True)
    first, second = frames(18, 24)
    seen = as_input(first, second, "mean").unflatten(1, (2, 3)).flip(2).flatten(1, 2)
    torch.testing.assert_close(
        network(first, second), restated(published("plain"), seen, norms=False), rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_a_stored_divisor_is_honoured(tmp_path: Path) -> None:
    first, second = frames(18, 24)
    flows = []
    for divisor in (20, 5):
        torch.save({"state_dict": published("biases"), "div_flow": divisor}, tmp_path / "weights.pth")
        model = small(weights=str(tmp_path / "weights.pth"), half_resolution=False)
        flows.append(model.estimate(first, second))
    torch.testing.assert_close(flows[0], 4 * flows[1])


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    network, path = FlowNetS(SMALL), tmp_path / "weights.pth"
    state = published("plain")
    foreign: list[tuple[Any, str]] = [
        ({k: v for k, v in state.items() if k != "deconv3.0.weight"}, "no 'deconv3.0.weight'"),
        ({**state, "conv_redir.0.weight": torch.ones(3)}, "'conv_redir.0.weight'"),
        (published("plain", width=1 / 32), "size mismatch"),
        ([1, 2], "holds a list, not weights by name"),
        ({"state_dict": 3}, "holds an int as 'state_dict', not a tensor"),
    ]
    for content, text in foreign:
        torch.save(content, path)
        with pytest.raises(UserError, match=text) as error:
            load_flownet_weights(network, path)
        assert "\n" not in str(error.value)
    path.write_text("no weights")
    for unreadable in (path, tmp_path / "none.pth"):
        with pytest.raises(UserError, match="cannot be read") as error:
            load_flownet_weights(network, unreadable)
        assert "\n" not in str(error.value)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        FlowNetS(0)
    with pytest.raises(ValueError, match="'scale'"):
        FlowNetS(SMALL, "scale")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 'cityscapes'"):
        FlowNet(CITYSCAPES)


def test_denormalise_undoes_normalise() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    torch.testing.assert_close(denormalise(normalise(pixels)), pixels.double().div(255).float(), rtol=0, atol=2e-7)


@pytest.mark.parametrize("half", [True, False])
@torch.no_grad()
def test_stream_equals_clip(half: bool) -> None:
    model = small(half_resolution=half)
    video = torch.stack(frames(19, 26, count=4), 1)  # [B, T, 3, H, W]
    stream, before = model.stream(), torch.zeros(())
    for t in range(4):
        streamed = stream.step(video[:, t])["flow"]
        assert streamed.shape == (2, 2, 19, 26)
        torch.testing.assert_close(streamed, model(video[:, : t + 1], 0)["flow"])
        if t:
            torch.testing.assert_close(streamed, model(video[:, t - 1 : t + 1], 0)["flow"])
            assert (streamed - before).abs().max() > 0.01
        before = streamed
    still = model(video[:, :1].expand(-1, 2, -1, -1, -1), 0)["flow"]
    assert still.isfinite().all()
    torch.testing.assert_close(model(video[:, :1], 0)["flow"], still)
    with pytest.raises(ValueError, match="offset 1"):
        model(video, 1)


@torch.no_grad()
def test_the_current_frame_comes_first() -> None:
    model = small(half_resolution=False)
    older, current = frames(16, 24)
    expected = model.network(current, older)
    assert not torch.allclose(expected, model.network(older, current))
    torch.testing.assert_close(model.estimate(current, older), expected)
    clip = torch.stack([older, current], 1)
    torch.testing.assert_close(model(clip, 0)["flow"][:, :, 6, 10], bilinear(expected, 6 / 4 - 0.375, 10 / 4 - 0.375))


@torch.no_grad()
def test_half_resolution_averages_and_counts_full_size_pixels() -> None:
    model = small()
    current, older = frames(7, 10)
    halves = []
    for frame in (current, older):
        half = torch.empty(2, 3, 4, 5)
        for i in range(4):
            for j in range(5):
                half[:, :, i, j] = frame[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((2, 3))
        halves.append(half)
    torch.testing.assert_close(model.estimate(current, older), 2 * model.network(*halves))


def bilinear(flow: Tensor, i: float, j: float) -> Tensor:
    """`[B, C]` of a map `[B, C, h, w]` at fractional cells, the outermost repeated."""
    i, j = (min(max(at, 0), n - 1) for at, n in zip((i, j), flow.shape[-2:], strict=True))
    a, b = int(i), int(j)
    c, d = min(a + 1, flow.shape[-2] - 1), min(b + 1, flow.shape[-1] - 1)
    top = flow[:, :, a, b] * (1 - (j - b)) + flow[:, :, a, d] * (j - b)
    low = flow[:, :, c, b] * (1 - (j - b)) + flow[:, :, c, d] * (j - b)
    return top * (1 - (i - a)) + low * (i - a)


@pytest.mark.parametrize("half", [True, False])
def test_flow_is_sampled_where_the_features_lie(half: bool) -> None:
    """A flow that is linear in the position is the same at full size and, over 8, at feature i on pixel 8 i."""
    model = small(half_resolution=half)
    height, width, stride = 40, 64, 8 if half else 4

    def linear(y: Tensor, x: Tensor) -> Tensor:
        return torch.stack([0.5 * x - 0.25 * y + 3, 0.125 * x + y - 2])[None]

    def places(count: int, step: float, start: float) -> Tensor:
        return start + step * torch.arange(count, dtype=torch.float32)

    middle = (stride - 1) / 2
    cells = torch.meshgrid(
        places(height // stride, stride, middle), places(width // stride, stride, middle), indexing="ij"
    )
    flow = linear(*cells).expand(2, -1, -1, -1)
    sampled = model.at_features(flow, (6, 9))
    assert sampled.shape == (2, 2, 6, 9)
    expected = linear(*torch.meshgrid(places(6, 8, 0), places(9, 8, 0), indexing="ij")) / 8
    torch.testing.assert_close(
        sampled[:, :, 1:5, 1:8], expected[:, :, 1:5, 1:8].expand(2, -1, -1, -1), rtol=0, atol=1e-5
    )
    for i in (0, 5):  # beyond the outermost centres
        for j in (0, 3, 8):
            at = bilinear(flow, (8 * i - middle) / stride, (8 * j - middle) / stride)
            torch.testing.assert_close(sampled[:, :, i, j], at / 8, rtol=0, atol=1e-5)
    # The features themselves are spread over the image by `upsample`: both ways agree on the positions.
    inside = upsample(8 * sampled[:, :, 1:5, 1:8], (25, 49))
    model.estimate = lambda *_: flow  # type: ignore[method-assign]
    full = model.predict(*frames(height, width))["flow"]
    torch.testing.assert_close(full[:, :, 8:33, 8:57], inside, rtol=0, atol=1e-4)


def test_a_map_of_one_cell_is_the_same_everywhere() -> None:
    flow = torch.tensor([3.0, -5.0]).view(1, 2, 1, 1)
    assert torch.equal(small().at_features(flow, (2, 2)), flow.expand(1, 2, 2, 2) / 8)


@pytest.mark.parametrize("half", [True, False])
def test_every_parameter_gets_a_gradient(half: bool) -> None:
    model = small(half_resolution=half).train()
    predictions, losses = model.training_forward(torch.stack(frames(72, 96), 1), 0, {})
    assert losses == {}
    task_loss("flow", predictions["flow"], torch.randn(2, 2, 72, 96)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
def test_two_pairs_are_learnt(tmp_path: Path) -> None:
    pack(WorldFlow("street", "train", clips=2, height=24, width=48), 2, tmp_path / "clips")
    clips = PackedClips(tmp_path / "clips")
    assert clips.suite is FLOW
    frames, targets = clips.batch([0, 1], 0, 1)
    assert frames.shape == (2, 2, 3, 24, 48)
    torch.manual_seed(0)
    model = FlowNet(FLOW, width=0.0625, half_resolution=False)
    recipe = Recipe(one_part(epochs=60, batch=2, lr=4e-3, decay="cosine"), 0)
    curve = train(model, clips, recipe, Checkpoint(tmp_path / "model.pt", "flow"))
    scores = evaluate(model, clips, 0).metrics()
    truth = targets["flow"].double().numpy()
    assert scores["epe_zero"] == pytest.approx(np.hypot(truth[:, 0], truth[:, 1]).mean(), rel=1e-6)
    assert scores["epe"] < 0.35 * scores["epe_zero"]
    assert curve[-1]["flow"] == pytest.approx(scores["epe"], rel=0.2)
