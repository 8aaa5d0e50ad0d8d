"""FlowNet-S, the optical-flow network of the warping baselines (note 4.5): architecture, weights, and how it is run.

23 convolutions: ten that shrink the pair of frames to 1/64, and a refinement that brings the flow back to 1/4 in four
steps, each from the encoder's features, the deconvolved features and the upsampled flow of the step before.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mila.backbone import OUTPUT_STRIDE, scaled_channels
from mila.carried import find_weights
from mila.common.weights import read_weight_file, weights_by_name
from mila.data.clips import MEAN, STD
from mila.errors import UserError
from mila.kernels.reference import wide
from mila.tasks import FLOW, Suite
from mila.video_model import Part, Stream, VideoModel

Normalisation = Literal["mean", "pair"]

RGB_MEAN = (0.45, 0.432, 0.411)
"""What the authors' network and its more widely used port are trained with: subtracted from RGB in 0..1."""
DIVISOR = 20.0
"""The network's raw output times this are pixels; the divisor of the flow in training."""
SLOPE = 0.1
"""Of the leaky ReLUs."""

_ENCODER = (  # name (its number is the level, a map of 1 / 2^level), channels, kernel, stride
    ("conv1", 64, 7, 2),
    ("conv2", 128, 5, 2),
    ("conv3", 256, 5, 2),
    ("conv3_1", 256, 3, 1),
    ("conv4", 512, 3, 2),
    ("conv4_1", 512, 3, 1),
    ("conv5", 512, 3, 2),
    ("conv5_1", 512, 3, 1),
    ("conv6", 1024, 3, 2),
    ("conv6_1", 1024, 3, 1),
)
_REFINEMENT = {5: 512, 4: 256, 3: 128, 2: 64}
"""Channels of the deconvolution that leads to a level."""


class FlowNetS(nn.Module):
    """The network: two frames to the flow from the first to the second at a quarter of their size.

    Args:
        width: factor on every channel count but the flow's own 2; 1 is the published network.
        normalisation: what is subtracted from RGB in 0..1, as the weights expect it: `"mean"`, a fixed colour
            (`RGB_MEAN`); `"pair"`, each channel's mean over the two frames.

    Raises:
        ValueError: non-positive width or unknown normalisation.
    """

    rgb_scale: Tensor
    rgb_shift: Tensor
    rgb_mean: Tensor

    def __init__(self, width: float = 1.0, normalisation: Normalisation = "mean") -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f"width must be positive, not {width}")
        if normalisation not in get_args(Normalisation):
            raise ValueError(f"the normalisation is 'mean' or 'pair', not {normalisation!r}")
        self.normalisation = normalisation
        # buffers, as a CUDA graph can copy nothing from the host; no weights, so not kept with them
        for name, values in (("rgb_scale", STD), ("rgb_shift", MEAN), ("rgb_mean", RGB_MEAN)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.encoder, self.heads = nn.ModuleDict(), nn.ModuleDict()
        self.deconvolutions, self.upsamplings = nn.ModuleDict(), nn.ModuleDict()
        channels, at_level = 6, dict[int, int]()
        for name, planes, kernel, stride in _ENCODER:
            out = scaled_channels(planes, width)
            self.encoder[name] = nn.Conv2d(channels, out, kernel, stride, kernel // 2)
            channels = at_level[_level(name)] = out
        for level, planes in _REFINEMENT.items():
            out = scaled_channels(planes, width)
            self.heads[str(level + 1)] = nn.Conv2d(channels, 2, 3, padding=1)
            self.deconvolutions[str(level)] = nn.ConvTranspose2d(channels, out, 4, 2, 1)
            self.upsamplings[str(level)] = nn.ConvTranspose2d(2, 2, 4, 2, 1)
            channels = at_level[level] + out + 2
        self.heads["2"] = nn.Conv2d(channels, 2, 3, padding=1)
        self._initialise()

    def _initialise(self) -> None:
        """He et al. for leaky ReLUs; the heads a hundredth of that, so that training starts near a flow of 0."""
        gain = nn.init.calculate_gain("leaky_relu", SLOPE)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # With stride 2, only 2x2 cells of a transposed convolution's 4x4 kernel meet in one value.
                area = 4 if isinstance(module, nn.ConvTranspose2d) else math.prod(module.kernel_size)
                std = gain / math.sqrt(module.in_channels * area)
                nn.init.normal_(module.weight, 0, 0.01 * std if name.startswith("heads") else std)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow of the first frame's pixels to the second frame.

        Args:
            first: `[B, 3, h, w]`, normalised as `mila.data.clips.normalise` does; of any size.
            second: likewise.

        Returns:
            `[B, 2, h / 4, w / 4]` (rounded up), (dx, dy) in pixels of the input; cell j covers pixels 4 j to 4 j + 3.

        On a CPU the network runs in float32 under autocast, too: there, bfloat16 gradients of weights on maps of a
        single pixel hold numbers that nobody wrote (PyTorch 2.14).
        """
        if first.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return self._estimate(first.float(), second.float())
        return self._estimate(first, second)

    def _estimate(self, first: Tensor, second: Tensor) -> Tensor:
        x = self._input(first, second)  # [B, 6, h, w]
        features = dict[int, Tensor]()
        for name, layer in self.encoder.items():
            x = features[_level(name)] = F.leaky_relu(layer(x), SLOPE)
        # x: [B, 1024, h / 64, w / 64]
        for level in _REFINEMENT:
            skip, key = features[level], str(level)
            flow = self.upsamplings[key](self.heads[str(level + 1)](x))
            finer = F.leaky_relu(self.deconvolutions[key](x), SLOPE)
            # Both are twice as large as x, which is one more than the encoder's odd sizes.
            height, width = skip.shape[-2:]
            x = torch.cat([skip, finer[..., :height, :width], flow[..., :height, :width]], 1)
        flow_2: Tensor = self.heads["2"](x)
        return DIVISOR * flow_2

    def _input(self, first: Tensor, second: Tensor) -> Tensor:
        pair = torch.addcmul(self.rgb_shift, torch.stack([first, second], 1), self.rgb_scale)  # [B, 2, 3, h, w]
        mean = pair.mean((1, 3, 4), keepdim=True) if self.normalisation == "pair" else self.rgb_mean
        return (pair - mean).flatten(1, 2)


def _level(name: str) -> int:
    return int(name.removeprefix("conv")[0])


def load_flownet_weights(network: FlowNetS, path: str | Path, bgr: bool = False) -> None:
    """Load a file of published FlowNet-S weights in any of the three layouts in use, or weights of this module itself.

    - Convolutions with biases, deconvolutions and heads without; the file may hold the network's `state_dict` beside
      `arch` and `div_flow`. It goes with the normalisation `"mean"`.
    - The same with a batch norm after each of the encoder's convolutions, which is folded into it.
    - Biases everywhere, goes with `"pair"`.

    A bias that the file lacks is 0. A stored divisor other than `DIVISOR` is folded into the last head.

    Args:
        network: takes the weights.
        path: the file, or a name of `mila.carried`.
        bgr: the weights were trained on BGR frames, as those are that were converted from the authors' own; the first
            convolution's channels are turned round, since ours are RGB.

    Raises:
        UserError: unreadable file, or weights of another network.
    """
    path = find_weights(path) or Path(path)
    stored = read_weight_file(path)
    found = weights_by_name(stored, path)
    if found.keys() == network.state_dict().keys():
        _load_own(network, found, path)
        return
    try:
        state = _translate(found)
        if bgr:
            state["encoder.conv1.weight"] = state["encoder.conv1.weight"][:, [2, 1, 0, 5, 4, 3]]
        state["heads.2.weight"] *= stored.get("div_flow", DIVISOR) / DIVISOR
        state["heads.2.bias"] *= stored.get("div_flow", DIVISOR) / DIVISOR
        network.load_state_dict(state)
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).split("\n")[-1].strip()
        raise UserError(
            f"{path} does not hold the weights of this FlowNet-S ({reason}); "
            "give a FlowNet-S file, and width 1 for published ones."
        ) from error


def _load_own(network: FlowNetS, found: Mapping[str, Tensor], path: Path) -> None:
    """Load weights that have this module's own names, as `mila.carried` has them."""
    try:
        network.load_state_dict(dict(found))
    except RuntimeError as error:
        raise UserError(
            f"{path} does not hold the weights of this FlowNet-S ({str(error).splitlines()[-1].strip()}); "
            "give those of the same width."
        ) from error


def _translate(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under this module's names, with all biases and without batch norms."""
    left, state = dict(found), dict[str, Tensor]()

    def take(source: str, target: str, out_dimension: int) -> None:
        weight = state[f"{target}.weight"] = left.pop(f"{source}.weight").float()
        state[f"{target}.bias"] = left.pop(f"{source}.bias", weight.new_zeros(weight.shape[out_dimension])).float()

    for name, *_ in _ENCODER:
        target = f"encoder.{name}"
        take(f"{name}.0", target, 0)
        if f"{name}.1.weight" in left:
            # y = (w x + b - mean) scale + shift; in double precision, so that nothing is lost
            left.pop(f"{name}.1.num_batches_tracked", None)  # older files have none
            gain, shift, mean, variance = (
                left.pop(f"{name}.1.{key}").double() for key in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gain / (variance + 1e-5).sqrt()
            state[f"{target}.bias"] = ((state[f"{target}.bias"].double() - mean) * scale + shift).float()
            state[f"{target}.weight"] = (state[f"{target}.weight"].double() * scale[:, None, None, None]).float()
    for level in _REFINEMENT:
        take(f"deconv{level}.0", f"deconvolutions.{level}", 1)
        take(f"upsampled_flow{level + 1}_to_{level}", f"upsamplings.{level}", 1)
    for level in (*_REFINEMENT, 6):
        take(f"predict_flow{level}", f"heads.{level}", 0)
    if left:
        raise TypeError(f"it has {next(iter(left))!r}, which FlowNet-S has not")
    return state


class FlowNet(VideoModel):
    """FlowNet-S as a model of the suite: optical flow from the last frame of a clip to the frame before it.

    Args:
        suite: `FLOW`.
        width: see `FlowNetS`.
        half_resolution: whether the network sees frames of half the size, averaged 2x2, as in Accel (note 4.5); the
            cost in Table 7 at 1024x2048 is of that, too (note 1.8).
        weights: file or name for `load_flownet_weights`; None for random initialisation.
        bgr: see `load_flownet_weights`.
        normalisation: see `FlowNetS`.

    Attributes:
        network: the `FlowNetS`.
        stride: full-size pixels a cell of `estimate`, 8 at half resolution and 4 else.

    Raises:
        ValueError: another suite, or what `FlowNetS` refuses.
        UserError: what `load_flownet_weights` refuses.
    """

    parts: ClassVar[Mapping[str, Part]] = {"network": "propagation", "predict": "propagation"}

    def __init__(
        self,
        suite: Suite = FLOW,
        *,
        width: float = 1.0,
        half_resolution: bool = True,
        weights: str | Path | None = None,
        bgr: bool = False,
        normalisation: Normalisation = "mean",
    ) -> None:
        if suite.name != FLOW.name:
            raise ValueError(f"FlowNet predicts the suite {FLOW.name!r}, not {suite.name!r}")
        super().__init__(suite, keyframe_interval=1, history=1)
        self.network = FlowNetS(width, normalisation)
        if weights is not None:
            load_flownet_weights(self.network, weights, bgr)
        self.half_resolution = half_resolution
        self.stride = 8 if half_resolution else 4

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

    def estimate(self, current: Tensor, older: Tensor) -> Tensor:
        """Flow from the current frame to the older one, at the network's resolution.

        Args:
            current: `[B, 3, H, W]`, normalised.
            older: likewise.

        Returns:
            `[B, 2, H / stride, W / stride]` (rounded up), (dx, dy) in full-size pixels; the centre of cell j lies at
            full-size pixel stride j + (stride - 1) / 2.
        """
        if not self.half_resolution:
            flow: Tensor = self.network(current, older)
            return flow
        # An odd last row or column is averaged alone.
        halves = [F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (current, older)]
        halved: Tensor = self.network(*halves)
        return 2 * halved

    def at_features(self, flow: Tensor, size: tuple[int, int]) -> Tensor:
        """What `estimate` gave, on the grid of the encoders' features.

        Args:
            flow: `[B, 2, h', w']` from `estimate`.
            size: (h, w) of the feature maps; feature i lies on full-size pixel 8 i, see `mila.backbone`.

        Returns:
            `[B, 2, h, w]` in feature pixels: bilinear, the outermost cells repeated beyond their centres.
        """
        grid = [
            (OUTPUT_STRIDE * torch.arange(n, device=flow.device, dtype=flow.dtype) - (self.stride - 1) / 2)
            / self.stride
            for n in size
        ]
        # Cell j has its centre at (2 j + 1) / cells - 1 in the coordinates of grid_sample.
        rows, columns = ((2 * at + 1) / cells - 1 for at, cells in zip(grid, flow.shape[-2:], strict=True))
        points = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).expand(len(flow), -1, -1, -1)
        sampled = F.grid_sample(flow, points, mode="bilinear", padding_mode="border", align_corners=False)
        return sampled / OUTPUT_STRIDE

    def predict(self, current: Tensor, older: Tensor) -> dict[str, Tensor]:
        """`flow` `[B, 2, H, W]` in pixels for two frames `[B, 3, H, W]`: `estimate`, bilinearly upsampled."""
        height, width = current.shape[-2:]
        flow = F.interpolate(wide(self.estimate(current, older)), scale_factor=self.stride, mode="bilinear")
        return {"flow": flow[..., :height, :width]}

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        """See `VideoModel.forward`; a clip of a single frame is compared with itself."""
        self.check_clip(clip, offset)
        return self.predict(clip[:, -1], clip[:, -2] if clip.shape[1] > 1 else clip[:, -1])

    def stream(self) -> Stream:
        """See `VideoModel.stream`; the first frame is compared with itself."""
        return _FlowStream(self)


class _FlowStream:
    def __init__(self, model: FlowNet) -> None:
        self._model = model
        self._before: Tensor | None = None

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        before, self._before = self._before, frame
        return self._model.predict(frame, frame if before is None else before)

    def carried(self) -> dict[str, Tensor]:
        return {} if self._before is None else {"before": self._before}

    def resume(self, carried: Mapping[str, Tensor], frames: int) -> None:  # noqa: ARG002
        self._before = carried.get("before")
