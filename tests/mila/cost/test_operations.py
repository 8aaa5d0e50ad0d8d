"""`complete` against counts by hand: every module of the suite, single operations, and what no table knows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.constant import Constant
from baselines.cross_stitch import CrossStitchUnit
from baselines.flow_warping import FlowWarping, warp
from baselines.flownet import FlowNetS
from baselines.mtan import CarryBottleneck, attention_mask
from baselines.segnet import SegNet, pool, unpool
from baselines.svc import KernelPrediction
from mila.attention import InterFrameLocalAttention, local_attention
from mila.backbone import DeepLabResNet
from mila.cost.counter import Call, OperationCounter, count_calls
from mila.cost.operations import FREE, FUNCTIONS, OPERATIONS, UnknownOperationError
from mila.mimicry import Discriminator
from mila.modules import Fusion, TaskDecoder, TaskDecoders, squeeze_excitation
from mila.tasks import NYUV2
from tests.support.macs_by_hand import conv, resnet

H, W = 6, 10
HW = H * W


def meta(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


def macs(run: Callable[[], object]) -> int:
    return sum(call.macs for call in count_calls(run))


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_deeplab_resnet(depth: int) -> None:
    with torch.device("meta"):
        encoder = DeepLabResNet(depth).eval()
    assert macs(lambda: encoder(meta(1, 3, 64, 96))) == resnet(depth, 64, 96)


LEVELS = [(64 >> level) * (128 >> level) for level in range(7)]
"""Pixels of FlowNet-S's maps, of frames of 64 x 128."""

FLOWNET = (
    6 * LEVELS[0]  # frames back to 0..1
    + conv(LEVELS[1], 6, 64, 7)
    + conv(LEVELS[2], 64, 128, 5)
    + conv(LEVELS[3], 128, 256, 5)
    + conv(LEVELS[3], 256, 256, 3)
    + conv(LEVELS[4], 256, 512, 3)
    + conv(LEVELS[4], 512, 512, 3)
    + 2 * conv(LEVELS[5], 512, 512, 3)
    + conv(LEVELS[6], 512, 1024, 3)
    + conv(LEVELS[6], 1024, 1024, 3)
    + sum(conv(LEVELS[level], c, 2, 3) for level, c in {6: 1024, 5: 1026, 4: 770, 3: 386, 2: 194}.items())
    # Transposed convolutions: every value of the coarser level meets 4 x 4 weights for each output channel.
    + sum(
        LEVELS[level] * c * out * 16 for level, c, out in ((6, 1024, 512), (5, 1026, 256), (4, 770, 128), (3, 386, 64))
    )
    + sum(LEVELS[level] * 2 * 2 * 16 for level in (6, 5, 4, 3))
    + 2 * LEVELS[2]  # times the divisor
)


def on_meta(make: Callable[[], nn.Module]) -> Callable[..., Any]:
    with torch.device("meta"):
        return make().eval()


def decoder(classes: int, norm: int = 0) -> int:
    """16 -> 512 -> 256 -> classes, `norm` multiplications a value of the normalisations."""
    return HW * (16 * 512 * 9 + 512 * 256 + 256 * classes + norm * (512 + 256))


FULL = (8 * (H - 1) + 1) * (8 * (W - 1) + 1)  # pixels that aligned upsampling gives

with torch.device("meta"):
    DECODERS = TaskDecoders(NYUV2, 16)
    CROSS_STITCH = CrossStitchUnit(3, 16)
    SEGNET = SegNet(width=0.125).eval()


def _predictions(x: Tensor) -> dict[str, Tensor]:
    return DECODERS.predict({"segmentation": x, "depth": x, "normals": x}, (8 * H - 7, 8 * W - 7))


def _segnet_level(x: Tensor) -> Tensor:
    """One level down and up again; putting values back where they were costs nothing."""
    encoded = SEGNET.encoder[0](x)
    pooled, places = pool(encoded)
    out: Tensor = SEGNET.decoder[0](unpool(pooled, places, (encoded.shape[-2], encoded.shape[-1])))
    return out


MODULES: dict[str, tuple[Callable[[], Callable[..., Any]], tuple[Tensor, ...], int]] = {
    "squeeze-excitation": (
        lambda: on_meta(lambda: squeeze_excitation(64)),
        (meta(1, 64, H, W),),
        64 + 64 * 4 + 4 * 64 + 64 * HW,
    ),
    "fusion": (
        lambda: on_meta(lambda: Fusion(8, maps=3, layers=2)),
        (meta(1, 8, H, W), meta(1, 8, H, W), meta(1, 8, H, W)),
        conv(HW, 24, 8, 3, norm=True) + conv(HW, 8, 8, 3, norm=True),
    ),
    "decoder": (lambda: on_meta(lambda: TaskDecoder(16, 7)), (meta(1, 16, H, W),), decoder(7)),
    "decoder, batch": (
        lambda: on_meta(lambda: TaskDecoder(16, 7, norm="batch")),
        (meta(1, 16, H, W),),
        decoder(7, norm=1),
    ),
    "decoder, group": (
        lambda: on_meta(lambda: TaskDecoder(16, 7, norm="group")),
        (meta(1, 16, H, W),),
        decoder(7, norm=2),
    ),
    "predictions": (
        lambda: _predictions,
        (meta(1, 16, H, W),),
        # bilinear; unit vectors: three squares, three products
        decoder(13) + decoder(1) + decoder(3) + 4 * (13 + 1 + 3) * FULL + 6 * FULL,
    ),
    "attention 5x5": (
        lambda: lambda q, k, v: local_attention(q, k, v, 5),
        (meta(1, 36, H, W), meta(1, 36, H, W), meta(1, 64, H, W)),
        25 * HW * (36 + 1 + 64),
    ),
    "attention, global": (
        lambda: lambda q, k, v: local_attention(q, k, v, "global"),
        (meta(1, 36, H, W), meta(1, 36, H, W), meta(1, 64, H, W)),
        HW * HW * (36 + 1 + 64) + 2 * 36 * HW,  # query and key are scaled, by 1
    ),
    "ILA": (
        lambda: on_meta(lambda: InterFrameLocalAttention(64, scaled=True)),
        (meta(1, 64, H, W), meta(1, 64, H, W), meta(1, 64, H, W)),
        2 * conv(HW, 64, 36, 3) + 36 * HW + 25 * HW * (36 + 1 + 64),
    ),
    "SVC": (
        lambda: on_meta(lambda: KernelPrediction(16, hidden=32)),
        (meta(1, 16, H, W), meta(1, 16, H, W), meta(1, 16, H, W)),
        conv(HW, 32, 32, 3) + conv(HW, 32, 32, 3) + conv(HW, 32, 81, 3) + 81 * HW * (1 + 16),
    ),
    "FlowNet-S": (lambda: on_meta(FlowNetS), (meta(1, 3, 64, 128), meta(1, 3, 64, 128)), FLOWNET),
    "warping": (
        lambda: warp,
        (meta(1, 64, H, W), meta(1, 2, H, W)),
        4 * HW + 4 * 64 * HW,  # coordinates: times 2, by the size, for x and y; four neighbours a value
    ),
    "flow warping": (
        lambda: on_meta(FlowWarping),
        (meta(1, 3, 128, 256), meta(1, 3, 128, 256), meta(1, 8, 17, 33)),
        2 * 3 * LEVELS[0]  # frames of half the size
        + FLOWNET
        + 2 * LEVELS[2]  # flow in full-size pixels
        + 4 * (17 + 33)  # its coordinates: times 8, by the stride, times 2, by the cells
        + (4 * 2 + 2) * 17 * 33  # sampled, in feature pixels
        + (4 + 4 * 8) * 17 * 33,
    ),
    "cross-stitch": (
        lambda: lambda *maps: CROSS_STITCH(maps),
        (meta(1, 16, H, W), meta(1, 16, H, W), meta(1, 16, H, W)),
        3 * 3 * 16 * HW,
    ),
    "MTAN's mask": (
        lambda: on_meta(lambda: attention_mask(32, 4, 16)),
        (meta(1, 32, H, W),),
        conv(HW, 32, 4, 1, norm=True) + conv(HW, 4, 16, 1, norm=True),
    ),
    "MTAN's bottleneck": (
        lambda: on_meta(lambda: CarryBottleneck(16, 32)),
        (meta(1, 16, H, W),),
        conv(HW, 16, 8, 1, norm=True)
        + conv(HW, 8, 8, 3, norm=True)
        + conv(HW, 8, 32, 1, norm=True)
        + conv(HW, 16, 32, 1, norm=True),
    ),
    "SegNet's level": (
        lambda: _segnet_level,
        (meta(1, 3, 2 * H, 2 * W),),
        conv(4 * HW, 3, 8, 3, norm=True) + 3 * conv(4 * HW, 8, 8, 3, norm=True),
    ),
    "discriminator": (
        lambda: on_meta(lambda: Discriminator(16)),
        (meta(1, 16, H, W),),
        conv(HW, 16, 8, 3) + conv(HW, 8, 4, 3) + conv(HW, 4, 1, 3) + 1,
    ),
    "constant": (lambda: on_meta(lambda: Constant(NYUV2)).predict, (meta(1, 3, H, W),), 0),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_by_hand(name: str) -> None:
    make, inputs, expected = MODULES[name]
    run = make()
    assert macs(lambda: run(*inputs)) == expected


def unfold_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Local attention as it is usually written, 5x5, without what lies outside the map."""

    def neighbours(x: Tensor) -> Tensor:
        return F.unfold(x, 5, padding=2).view(1, x.shape[1], 25, HW)

    weights = (query.flatten(2).unsqueeze(2) * neighbours(key)).sum(1).softmax(1)
    return (neighbours(value) * weights.unsqueeze(1)).sum(2)


def einsum_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    def neighbours(x: Tensor) -> Tensor:
        return F.unfold(x, 5, padding=2).view(1, x.shape[1], 25, HW)

    weights = torch.einsum("bcp,bcnp->bnp", query.flatten(2), neighbours(key)).softmax(1)
    return torch.einsum("bcnp,bnp->bcp", neighbours(value), weights)


@pytest.mark.parametrize("attend", [unfold_attention, einsum_attention, lambda q, k, v: local_attention(q, k, v, 5)])
def test_attention_costs_the_same_however_it_is_written(attend: Callable[..., Tensor]) -> None:
    inputs = meta(1, 36, H, W), meta(1, 36, H, W), meta(1, 64, H, W)
    assert macs(lambda: attend(*inputs)) == 25 * HW * (36 + 1 + 64)


def test_the_banded_product_is_noted_beside_the_definition() -> None:
    calls: list[Call] = count_calls(lambda: local_attention(meta(1, 36, H, W), meta(1, 36, H, W), meta(1, 64, H, W), 5))
    # Rows of W + 2 pixels, H + 2 of them, in tiles of 8 pixels that reach 12 pixels in each of 5 window rows.
    tiles = -(-(H + 2) * (W + 2) // 8)
    softmax = sum(c.run for c in calls if c.kind == "softmax")
    assert sum(c.run for c in calls) - softmax == tiles * 8 * 12 * 5 * (36 + 64)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(0, 2),
    st.booleans(),
)
def test_convolutions_as_pytorch_counts_them(
    groups: int, inputs: int, outputs: int, kernel: int, stride: int, padding: int, transposed: bool
) -> None:
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    padding = min(padding, kernel - 1)
    with torch.device("meta"):
        layer = make(groups * inputs, groups * outputs, kernel, stride, padding, groups=groups)
    x = meta(2, groups * inputs, 7, 9)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert macs(lambda: layer(x)) == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda: meta(2, 3, 4) @ meta(2, 4, 5), 2 * 3 * 4 * 5),
        (lambda: meta(3, 4) @ meta(4), 3 * 4),
        (lambda: meta(4) @ meta(4), 4),
        (lambda: F.linear(meta(2, 7, 4), meta(5, 4), meta(5)), 2 * 7 * 4 * 5),
        (lambda: torch.baddbmm(meta(2, 3, 5), meta(2, 3, 4), meta(2, 4, 5)), 2 * 3 * 4 * 5),
        (lambda: torch.einsum("ij,jk,kl->il", meta(2, 3), meta(3, 4), meta(4, 5)), 2 * 3 * 4 + 2 * 4 * 5),
        (lambda: meta(3, 4) * meta(4), 12),
        (lambda: meta(3, 4).mul_(2.0), 12),
        (lambda: meta(3, 4) / 2, 12),
        (lambda: meta(3, 4).square(), 12),
        (lambda: torch.add(meta(3, 4), meta(3, 4), alpha=2), 12),
        (lambda: meta(3, 4) + meta(3, 4), 0),
        (lambda: meta(3, 4).sigmoid().clamp(0, 1).cumsum(0).amax(1), 0),
        (lambda: torch.arange(12, device="meta") * 2, 0),
        (lambda: F.layer_norm(meta(3, 4), (4,)), 24),
        (lambda: F.interpolate(meta(1, 2, 3, 4), scale_factor=2), 0),
        (lambda: F.interpolate(meta(1, 2, 3, 4), scale_factor=2, mode="bilinear"), 4 * 2 * 6 * 8),
        (lambda: F.interpolate(meta(1, 2, 3, 4), scale_factor=2, mode="bicubic"), 16 * 2 * 6 * 8),
        (lambda: F.grid_sample(meta(1, 2, 3, 4), meta(1, 5, 6, 2), "nearest", align_corners=False), 0),
        (lambda: F.avg_pool2d(meta(1, 2, 4, 6), 2), 2 * 2 * 3),
        (lambda: F.adaptive_avg_pool2d(meta(1, 2, 4, 6), 2), 2 * 2 * 2),
        (lambda: F.max_pool2d(meta(1, 2, 4, 6), 2), 0),
    ],
)
def test_single_operations(run: Callable[[], object], expected: int) -> None:
    assert macs(run) == expected


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(UnknownOperationError, match=r"knows the operation 'aten.special_bessel_j0'; say what it costs"):
        count_calls(lambda: torch.special.bessel_j0(meta(3)))


def test_no_operation_stands_in_two_tables() -> None:
    names = [f"aten.{name}" for group in FREE.values() for name in group.split()]
    assert len(names) == len(set(names))
    assert not set(names) & set(OPERATIONS)


def test_other_threads_and_later_runs_are_left_alone() -> None:
    """Local attention is charged as a whole only inside the counter, and only in its thread."""
    inputs = torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3)
    before = local_attention(*inputs, 3, "band")
    with torch.no_grad(), OperationCounter() as counter:
        with ThreadPoolExecutor(1) as other:
            elsewhere = other.submit(local_attention, *inputs, 3, "band").result()
        assert not counter.calls
        here = local_attention(*inputs, 3, "band")
    assert {c.operation for c in counter.calls if c.kind == "local attention"} == {"Similarity", "Aggregate"}
    assert torch.equal(here, before)
    assert torch.equal(elsewhere, before)
    assert all("apply" not in vars(function) for function in FUNCTIONS)
    leaf = inputs[0].requires_grad_()
    local_attention(leaf, *inputs[1:], 3, "band").sum().backward()
    assert leaf.grad is not None
