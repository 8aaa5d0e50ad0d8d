"""The encoder against torchvision's own dilated ResNet, the published sizes, and its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from mila.backbone import DeepLabResNet
from mila.errors import UserError


def reference(depth: int) -> nn.Sequential:
    """The ResNet of torchvision with the dilation switch it offers for bottlenecks, and a ceil-mode pool."""
    whole = getattr(torchvision.models, f"resnet{depth}")(replace_stride_with_dilation=[False, True, True])
    whole.maxpool.ceil_mode = True
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return nn.Sequential(*(getattr(whole, name) for name in names))


@torch.no_grad()
def test_bottlenecks_equal_torchvisions_dilated_network() -> None:
    torch.manual_seed(0)
    ours, theirs = DeepLabResNet(50).eval(), reference(50).eval()
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        other.copy_(mine)
    frames = torch.randn(2, 3, 64, 96)
    assert torch.equal(ours(frames), theirs(frames))


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
@pytest.mark.parametrize(
    ("size", "features"), [((256, 512), (33, 65)), ((288, 384), (37, 49)), ((1024, 2048), (129, 257))]
)
def test_feature_maps_have_the_published_size(depth: int, size: tuple[int, int], features: tuple[int, int]) -> None:
    with torch.device("meta"):
        backbone = DeepLabResNet(depth)
        out = backbone(torch.empty(1, 3, *size))
    assert out.shape == (1, 512 if depth < 50 else 2048, *features)
    assert out.shape[1] == backbone.channels


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_dilations(depth: int) -> None:
    """Output stride 8: no stride in layers 3 and 4, dilation 2 and 4 instead; the strided convolution keeps the old."""
    backbone = DeepLabResNet(depth, width=0.0625)
    for layer, before, dilation in ((backbone.layer3, 1, 2), (backbone.layer4, 2, 4)):
        convolutions = [m for m in layer.modules() if isinstance(m, nn.Conv2d)]
        assert all(m.stride == (1, 1) for m in convolutions)
        sizes = [m.dilation[0] for m in convolutions if m.kernel_size == (3, 3)]
        assert sizes == [before] + [dilation] * (len(sizes) - 1)
        assert all(m.padding == m.dilation for m in convolutions if m.kernel_size == (3, 3))


def test_feature_i_lies_on_pixel_8i() -> None:
    """A single bright pixel at (8 i, 8 j) excites its feature symmetrically."""
    backbone = DeepLabResNet(18, width=0.125).eval()
    for parameter in backbone.parameters():
        parameter.data = (
            parameter.data.mean((2, 3), keepdim=True).abs().expand_as(parameter) if parameter.dim() == 4 else parameter
        )
    frame = torch.zeros(1, 3, 65, 65)
    frame[..., 32, 32] = 1000
    with torch.no_grad():
        response = backbone(frame).mean(1)[0] - backbone(torch.zeros_like(frame)).mean(1)[0]
    assert response.shape == (9, 9)
    torch.testing.assert_close(response, response.flip(0, 1), rtol=1e-3, atol=1e-4)
    assert response[4, 4] > 0


def test_width_scales_every_channel_count() -> None:
    narrow, full = DeepLabResNet(18, width=0.25), DeepLabResNet(18)
    for small, large in zip(narrow.parameters(), full.parameters(), strict=True):
        shape = [n if n == 3 else n // 4 if n >= 64 else n for n in large.shape]
        assert list(small.shape) == shape
    assert narrow.channels == 128


def test_weights_from_a_file_are_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = torchvision.models.resnet18()
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    backbone = DeepLabResNet(18, weights=tmp_path / "resnet18.pth")
    assert torch.equal(backbone.layer4[1].conv2.weight, whole.layer4[1].conv2.weight)
    assert torch.equal(backbone.get_buffer("bn1.running_mean"), whole.get_buffer("bn1.running_mean"))


def test_wrong_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "r18.pth")
    with pytest.raises(UserError, match=r"r18\.pth' do not fit DeepLab-ResNet34"):
        DeepLabResNet(34, weights=tmp_path / "r18.pth")
    with pytest.raises(UserError, match="do not fit DeepLab-ResNet18 at width 0.5"):
        DeepLabResNet(18, width=0.5, weights=tmp_path / "r18.pth")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "r18.pth").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"torn\.pth cannot be read"):
        DeepLabResNet(18, weights=tmp_path / "torn.pth")
    with pytest.raises(UserError, match="neither a file nor the name of weights"):
        DeepLabResNet(18, weights="ImageNet")
    with pytest.raises(UserError, match="neither a file nor the name of weights"):
        DeepLabResNet(18, weights="ResNet18_Weights.IMAGENET1K_V9")

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    ways = r"give its path instead \(.*--weights FOLDER\), or put it into .*/checkpoints, which TORCH_HOME moves"
    with pytest.raises(UserError, match=f"could not be downloaded from https://.*{ways}"):
        DeepLabResNet(18, weights="ResNet18_Weights.IMAGENET1K_V1")


def test_unknown_depth_and_width() -> None:
    with pytest.raises(ValueError, match="no DeepLab-ResNet152"):
        DeepLabResNet(152)
    with pytest.raises(ValueError, match="width must be positive"):
        DeepLabResNet(18, width=0)
