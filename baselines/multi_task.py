"""D101-MultiTask (Section 4.2): one shared encoder, one decoder a task, frame by frame."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor

from mila.backbone import DeepLabResNet
from mila.modules import TaskDecoders
from mila.names import Norm
from mila.tasks import Suite
from mila.video_model import EncodedFrameModel


class MultiTask(EncodedFrameModel):
    """A shared DeepLab-ResNet with task-specific decoders; also the first training stage of the SlowFast models.

    Args:
        suite: the tasks.
        depth: of the DeepLab-ResNet; 101 in the tables.
        width: factor on every channel count.
        decoder_norm: see `TaskDecoder`.
        weights: ImageNet weights, see `DeepLabResNet`.
        zero_init_residual: see `DeepLabResNet`.
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
    ) -> None:
        super().__init__(suite)
        self.encoder = DeepLabResNet(depth, width, weights, zero_init_residual)
        self.decoders = TaskDecoders(suite, self.encoder.channels, width, decoder_norm)

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

    def encode(self, frame: Tensor) -> tuple[Tensor, ...]:
        """See `EncodedFrameModel.encode`."""
        return (self.encoder(frame),)

    def decode(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> dict[str, Tensor]:
        """See `EncodedFrameModel.decode`."""
        return self.decoders.predict({t.name: maps[0] for t in self.suite.tasks}, size)
