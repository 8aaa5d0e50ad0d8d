"""Upsampling to the image's grid, and the task decoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mila.backbone import OUTPUT_STRIDE
from mila.modules import TaskDecoder, upsample


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


@pytest.mark.parametrize(("size", "features"), [((24, 32), (4, 5)), ((29, 35), (4, 6)), ((30, 17), (3, 2))])
def test_upsampling_with_a_gradient_is_pytorchs(size: tuple[int, int], features: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *features, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(2, 3, *size, dtype=torch.double)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    result = upsample(ours, size)
    torch.testing.assert_close(result, upsample(x, size))
    (result * weights).sum().backward()
    padded = F.pad(theirs, (0, 5, 0, 5), mode="replicate")
    full = [OUTPUT_STRIDE * (n - 1) + 1 for n in padded.shape[-2:]]
    enlarged = F.interpolate(padded, size=full, mode="bilinear", align_corners=True)
    (enlarged[..., : size[0], : size[1]] * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_upsampling_with_a_gradient_stays_float32_under_autocast() -> None:
    x = torch.randn(1, 2, 4, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        result = upsample(x, (24, 32))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, upsample(x.detach(), (24, 32)))


def test_decoder_is_the_papers() -> None:
    decoder = TaskDecoder(2048, 13)
    shapes = [tuple(m.weight.shape) for m in decoder.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(512, 2048, 3, 3), (256, 512, 1, 1), (13, 256, 1, 1)]
