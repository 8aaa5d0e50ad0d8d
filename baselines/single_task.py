"""D101-SingleTask (Section 4.2): a separate encoder and decoder for each task, nothing shared."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor, nn

from mila.backbone import DeepLabResNet
from mila.modules import TaskDecoders
from mila.names import Norm
from mila.tasks import Suite
from mila.video_model import EncodedFrameModel


class SingleTask(EncodedFrameModel):
    """One DeepLab-ResNet a task, held in one module.

    No parameter is shared and Adam works parameter by parameter, so with equal weights (a plain sum of the losses)
    training them together is training each of them alone on the same batches. Other weightings couple them.

    Args:
        suite: the tasks.
        depth: of each DeepLab-ResNet; 101 in the tables.
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
        self.encoders = nn.ModuleDict(
            {t.name: DeepLabResNet(depth, width, weights, zero_init_residual) for t in suite.tasks}
        )
        first = next(iter(self.encoders.values()))
        assert isinstance(first, DeepLabResNet)
        self.decoders = TaskDecoders(suite, first.channels, width, decoder_norm)

    def kind_of_step(self) -> Hashable:
        """See `VideoModel.kind_of_step`; there is one."""
        return ()

    def encode(self, frame: Tensor) -> tuple[Tensor, ...]:
        """See `EncodedFrameModel.encode`; a map a task."""
        return tuple(self.encoders[t.name](frame) for t in self.suite.tasks)

    def decode(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> dict[str, Tensor]:
        """See `EncodedFrameModel.decode`."""
        return self.decoders.predict({t.name: x for t, x in zip(self.suite.tasks, maps, strict=True)}, size)
