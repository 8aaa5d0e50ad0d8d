"""Batch norm is folded where it follows a convolution and nothing else looks at that, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mila.backbone import DeepLabResNet
from mila.streaming.folding import fold_batch_norms
from tests.support.all_models import MODELS
from tests.support.fake_models import experienced, fake_model


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("depth", [18, 50])
def test_every_norm_of_a_resnet(depth: int) -> None:
    torch.manual_seed(0)
    model = experienced(DeepLabResNet(depth, 0.125)).double()
    frame, count = torch.randn(1, 3, 32, 40, dtype=torch.float64), norms(model)
    with torch.no_grad():
        expected = model(frame)
        assert fold_batch_norms(model) == count
        torch.testing.assert_close(model(frame), expected, rtol=1e-9, atol=1e-9)
    assert not norms(model)


@pytest.mark.parametrize("name", ["MILA", "MTAN", "Cross-Stitch", "SegNet MTAN", "Accel"])
def test_none_is_left_in_models_of_the_suite(name: str) -> None:
    model = fake_model(MODELS[name][0], **MODELS[name][1])
    model.for_inference()
    fold_batch_norms(model)
    assert not norms(model)


class Before(nn.Module):
    """Norm, then convolution: a pre-activation block, named as the other kind is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv1(self.bn1(x))
        return out


class Shared(Before):
    """Somebody else looks at the convolution, too."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv1(x)
        normed: Tensor = self.bn1(out)
        return normed + out


class Twice(Before):
    """One convolution before a norm and before nothing."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn1(self.conv1(x)) + self.conv1(2 * x)
        return out


class Untraceable(Before):
    """Looks at values."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv1(x)
        if x.sum() > 0:
            out = self.bn1(out)
        return out


@pytest.mark.parametrize("block", [Before, Shared, Twice, Untraceable])
def test_others_stay(block: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = experienced(block())
    x = torch.randn(1, 4, 8, 8)
    expected = model(x)
    assert fold_batch_norms(model) == 0
    assert torch.equal(model(x), expected)
