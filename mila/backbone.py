"""DeepLab-ResNet 18/34/50/101: torchvision's ResNet at output stride 8, with a ceil-mode pool and a width switch.

The layout is the one the paper's cost columns count (note 1.2): strides of layer3 and layer4 removed, dilation 2 and
4 in their place, the stride of a bottleneck in its 3x3, and `ceil_mode` in the max-pool, so that feature i lies on
input pixel 8 i: 33x65 at 256x512, 37x49 at 288x384, 129x257 at 1024x2048.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.hub import get_dir
from torchvision.models import get_weight
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from mila.carried import find_weights
from mila.common.weights import read_weight_file, weights_by_name
from mila.errors import UserError

OUTPUT_STRIDE = 8

_LAYOUT: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
}


class DeepLabResNet(ResNet):  # type: ignore[misc]  # torchvision carries no types
    """The encoder of every model in the suite: `[B, 3, H, W]` to the last residual features `[B, C, h, w]`.

    h = ceil-mode H / 8 (+ 1 where H is a multiple of 8). Parameter names are torchvision's, so its weights load as
    they are.

    Args:
        depth: 18, 34, 50 or 101.
        width: factor on every channel count; 1 is the paper's network, less makes one for a laptop.
        weights: None for random initialisation; a torchvision weight name such as
            `"ResNet101_Weights.IMAGENET1K_V1"` (downloaded by torchvision); the name of weights that the suite
            carries, such as `"street-resnet18"` (`mila.carried`); or the path of a file; see `load_encoder_weights`.
        zero_init_residual: torchvision's switch: every residual block starts as the identity (its last batch norm at
            0). Of use without `weights`: short trainings get much further.

    Attributes:
        channels: C, 512 (18, 34) or 2048 (50, 101) times `width`.

    Raises:
        ValueError: unknown depth or non-positive width.
        UserError: weights that cannot be had, read, or that belong to another network.
    """

    def __init__(
        self,
        depth: int,
        width: float = 1.0,
        weights: str | Path | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        if depth not in _LAYOUT:
            raise ValueError(f"there is no DeepLab-ResNet{depth}; depths are {sorted(_LAYOUT)}")
        if width <= 0:
            raise ValueError(f"width must be positive, not {width}")
        self._width = width
        block, layers = _LAYOUT[depth]
        super().__init__(block, layers, zero_init_residual=zero_init_residual)
        del self.avgpool, self.fc
        self.depth, self.width = depth, width
        self.channels: int = self.inplanes
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        _dilate(self.layer3, 1, 2)
        _dilate(self.layer4, 2, 4)
        if weights is not None:
            load_encoder_weights(self, weights)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> nn.Sequential:
        """The hook of torchvision's ResNet for a group of blocks, here with `width` on its planes."""
        if planes == 64:  # the first group; the stem before it gets its width here as well
            self.inplanes = scaled_channels(64, self._width)
            self.conv1 = nn.Conv2d(3, self.inplanes, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.inplanes)
        layer: nn.Sequential = super()._make_layer(block, scaled_channels(planes, self._width), blocks, stride, dilate)
        return layer

    @property
    def stages(self) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential, nn.Sequential]:
        """The four groups of residual blocks, in order; strides 4, 8, 8, 8."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    @property
    def stage_channels(self) -> list[int]:
        """Channels that each of the four stages gives: 256 to 2048 in the R101, 64 to 512 in the R18, times `width`."""
        # The last block keeps their number, so they are what its first convolution takes.
        return [stage[-1].get_submodule("conv1").in_channels for stage in self.stages]  # type: ignore[misc]

    def stem(self, x: Tensor) -> Tensor:
        """What stands before the first stage: `[B, 3, H, W]` to `[B, C, h, w]` at stride 4."""
        features: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """The last residual features, `[B, C, h, w]`."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


def scaled_channels(planes: int, width: float) -> int:
    """Channels of a layer that has `planes` of them at width 1."""
    return max(1, round(planes * width))


def _dilate(layer: nn.Module, first: int, rest: int) -> None:
    """Take a layer's stride out and dilate its 3x3 convolutions, as torchvision does for bottlenecks.

    The first block, which carried the stride, keeps the dilation that its input already has. torchvision refuses this
    for basic blocks, which is why it is done here, for all depths alike.
    """
    for index, block in enumerate(layer.children()):
        dilation = first if index == 0 else rest
        for module in block.modules():
            if isinstance(module, nn.Conv2d):
                if module.kernel_size == (3, 3):
                    # The second 3x3 of a basic block follows the stride, so it takes the layer's own dilation.
                    size = dilation if module is getattr(block, _strided(block)) else rest
                    module.dilation = module.padding = (size, size)
                module.stride = (1, 1)


def _strided(block: nn.Module) -> str:
    """Name of the 3x3 convolution that carries a block's stride."""
    return "conv2" if isinstance(block, Bottleneck) else "conv1"


_LONGEST_REASON = 200  # characters of PyTorch's list of names that are in excess or amiss


def load_encoder_weights(backbone: DeepLabResNet, weights: str | Path) -> None:
    """Load a ResNet's weights, its classifier left out.

    Args:
        backbone: takes the weights.
        weights: a torchvision weight name (`ResNet18_Weights.IMAGENET1K_V1`), a name of `mila.carried`, or a file with
            a state dict, bare or in one of the wrappings of `mila.common.weights`.

    Raises:
        UserError: unknown name, failed download, unreadable file, or weights of another network.
    """
    path = find_weights(weights)
    if path is not None:
        state = weights_by_name(read_weight_file(path), path)
    else:
        try:
            entry = get_weight(str(weights))
        except (ValueError, KeyError) as error:  # a KeyError where it has others of that network
            raise UserError(
                f"{weights!r} is neither a file nor the name of weights that torchvision has (such as "
                "'ResNet101_Weights.IMAGENET1K_V1') or this suite carries (mila/carried); give one of these."
            ) from error
        try:
            state = dict(entry.get_state_dict(progress=True, check_hash=True))
        except Exception as error:
            raise UserError(
                f"the weights {weights!r} could not be downloaded from {entry.url} ({error}); "
                "fetch that file on another machine and give its path instead (the folder that it lies in with "
                f"--weights FOLDER), or put it into {get_dir()}/checkpoints, which TORCH_HOME moves."
            ) from error
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        reason = reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}..."
        raise UserError(
            f"the weights {str(weights)!r} do not fit DeepLab-ResNet{backbone.depth} at width {backbone.width:g} "
            f"({reason}); "
            "choose the weights of the same depth, and width 1 for torchvision's, 0.125 for this suite's."
        ) from error
