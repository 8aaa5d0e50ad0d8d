"""Cross-Stitch (Misra et al. 2016) on the DeepLab-ResNet: one encoder a task, joined after every stage (note 4.3)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mila.backbone import DeepLabResNet
from mila.modules import TaskDecoders
from mila.names import Norm
from mila.tasks import Suite
from mila.video_model import EncodedFrameModel

Units = Literal["channel", "scalar"]


class CrossStitchUnit(nn.Module):
    """Each task's map as a learned sum of all tasks' maps: out_i = sum over j of alpha[i, j] x_j.

    Args:
        tasks: M, the number of maps.
        channels: C of each map.
        units: `"channel"`: one alpha a channel, `[M, M, C]`, as in the original. `"scalar"`: one for all channels,
            `[M, M]`, as other public implementations have it.
        diagonal: initial alpha[i, i], a task's own share.
        off_diagonal: initial alpha[i, j] for i != j. The defaults 0.9 and 0.1 (note 4.3) are the original's for two
            tasks; kept for three, where each task's alphas then sum to 1.1.

    Raises:
        ValueError: any other `units`.
    """

    def __init__(
        self,
        tasks: int,
        channels: int,
        units: Units = "channel",
        diagonal: float = 0.9,
        off_diagonal: float = 0.1,
    ) -> None:
        super().__init__()
        if units not in ("channel", "scalar"):
            raise ValueError(f"cross-stitch units are 'channel' or 'scalar', not {units!r}")
        alpha = torch.full((tasks, tasks), float(off_diagonal)).fill_diagonal_(float(diagonal))
        if units == "channel":
            alpha = alpha[:, :, None].repeat(1, 1, channels)
        self.alpha = nn.Parameter(alpha)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """M maps `[B, C, h, w]`, in the order of the tasks, to as many of the same shape."""
        alpha = self.alpha[..., None, None]  # alpha[i, j]: [C, 1, 1], or [1, 1] where it is a scalar
        stitched = []
        for row in alpha:
            total = row[0] * maps[0]
            for share, other in zip(row[1:], maps[1:], strict=True):
                total = torch.addcmul(total, share, other)
            stitched.append(total)
        return stitched


class CrossStitch(EncodedFrameModel):
    """One DeepLab-ResNet a task, with a cross-stitch unit after each of the four stages.

    Three public variants disagree; this is the original idea: units on encoders that were trained task by task
    (note 4.3). `encoders` and `decoders` are named as in `SingleTask`, whose weights therefore load. The units are
    not charged by the counter: the cost is that of the encoders, 186.51 GMACs at 256x512 with two tasks and 236.46 at
    288x384 with three.

    Args:
        suite: the tasks.
        depth: of each DeepLab-ResNet; 101 in the tables.
        width: factor on every channel count.
        decoder_norm: see `TaskDecoder`.
        weights: ImageNet weights, see `DeepLabResNet`.
        zero_init_residual: see `DeepLabResNet`.
        units, diagonal, off_diagonal: see `CrossStitchUnit`; with three tasks the alphas of a task first sum to 1.1.

    Attributes:
        encoders: by task.
        stitches: the four units.
        decoders: one a task.
    """

    def __init__(
        self,
        suite: Suite,
        depth: int = 101,
        *,
        width: float = 1.0,
        decoder_norm: Norm = "none",
        weights: str | None = None,
        zero_init_residual: bool = False,
        units: Units = "channel",
        diagonal: float = 0.9,
        off_diagonal: float = 0.1,
    ) -> None:
        super().__init__(suite)
        self.encoders = nn.ModuleDict(
            {t.name: DeepLabResNet(depth, width, weights, zero_init_residual) for t in suite.tasks}
        )
        first = self._encoders()[0]
        self.stitches = nn.ModuleList(
            CrossStitchUnit(len(suite.tasks), c, units, diagonal, off_diagonal) for c in first.stage_channels
        )
        self.decoders = TaskDecoders(suite, first.channels, width, decoder_norm)

    def _encoders(self) -> list[DeepLabResNet]:
        """The tasks' encoders, in the order of the suite."""
        return [cast(DeepLabResNet, self.encoders[t.name]) for t in self.suite.tasks]

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

    def encode(self, frame: Tensor) -> tuple[Tensor, ...]:
        """See `EncodedFrameModel.encode`: a map a task, as far as no task sees another's, which is the first stage."""
        return tuple(encoder.stages[0](encoder.stem(frame)) for encoder in self._encoders())

    def decode(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> dict[str, Tensor]:
        """See `EncodedFrameModel.decode`."""
        encoders = self._encoders()
        stitched = self._stitch(0, maps)
        for index in range(1, len(self.stitches)):
            stitched = self._stitch(index, [e.stages[index](x) for e, x in zip(encoders, stitched, strict=True)])
        return self.decoders.predict({t.name: x for t, x in zip(self.suite.tasks, stitched, strict=True)}, size)

    def _stitch(self, stage: int, maps: Sequence[Tensor]) -> list[Tensor]:
        """What a stage's unit makes of the tasks' maps."""
        stitched: list[Tensor] = self.stitches[stage](maps)
        return stitched
