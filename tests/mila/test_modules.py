"""Upsampling to the image's grid, and the task decoder."""

from __future__ import annotations

import pytest
import torch
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


def test_decoder_is_the_papers() -> None:
    decoder = TaskDecoder(2048, 13)
    shapes = [tuple(m.weight.shape) for m in decoder.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(512, 2048, 3, 3), (256, 512, 1, 1), (13, 256, 1, 1)]
