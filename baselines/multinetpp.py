"""MultiNet++ (Chennupati et al. 2019) on the SlowFast pair (Section 4.2 and note 4.4).

The keyframe's features, projected to the fast network's channels, are concatenated with the current frame's as they
are and fused by a 3x3 convolution; keyframes go straight to the decoders. It is MILA's frame with nothing moved between
frames, nothing task-specific and no mimicry. The paper does not say whether it was trained with MultiNet++'s own
geometric loss: the default is the equal weights of all other rows, the other is `weighting="geometric"` of the training
(`mila.weighting`; a row of Table 9).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from mila.model import MILA
from mila.names import Norm
from mila.tasks import Suite


class MultiNetPP(MILA):
    """MultiNet++ with a slow and a fast DeepLab-ResNet.

    Args:
        suite, slow, fast, width, keyframe_interval, decoder_norm, slow_weights, fast_weights,
            zero_init_residual: as for `MILA`.
    """

    attends: ClassVar[bool] = False

    def __init__(
        self,
        suite: Suite,
        slow: int = 101,
        fast: int = 18,
        *,
        width: float = 1.0,
        keyframe_interval: int = 5,
        decoder_norm: Norm = "none",
        slow_weights: str | None = None,
        fast_weights: str | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__(
            suite,
            slow,
            fast,
            width=width,
            keyframe_interval=keyframe_interval,
            multi_frame=False,
            task_specific=False,
            propagation="concat",
            mimicry=None,
            decoder_norm=decoder_norm,
            slow_weights=slow_weights,
            fast_weights=fast_weights,
            zero_init_residual=zero_init_residual,
        )

    def kind_of_step(self) -> Hashable | None:
        """See `VideoModel.kind_of_step`."""
        return super().kind_of_step()
