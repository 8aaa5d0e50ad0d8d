"""Spatially variant convolution against a slow re-statement and Table 7."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.svc import KernelPrediction
from mila.attention import aggregate


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
    """3.14 M parameters; 104 GMACs at the features of 1024x2048 (note 1.8)."""
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
