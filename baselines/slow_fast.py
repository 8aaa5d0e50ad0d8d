"""One SlowFast model, five kinds of propagation: what Tables 5, 6, 7 and 11 compare, everything else being equal."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any, ClassVar, Literal, get_args

from baselines.flow_warping import FlowWarping, Outside
from baselines.flownet import Normalisation
from baselines.svc import KernelPrediction
from mila.backbone import scaled_channels
from mila.model import MILA
from mila.tasks import Suite

PropagationName = Literal["ila", "flow", "svc", "concat", "none"]


class SlowFast(MILA):
    """MILA's frame with any propagation; with `"ila"` it is MILA, parameter for parameter.

    Args:
        suite, slow, fast, width: as for `MILA`.
        propagation: `"ila"`; `"flow"`, FlowNet-S and chained warping; `"svc"`, predicted kernels; `"concat"`, the older
            features as they are; `"none"`, no older features.
        kernel, hidden: of SVC, see `KernelPrediction`; `hidden` at `width` 1.
        flow_width, half_resolution, flow_weights, flow_bgr, flow_normalisation, freeze_flow, outside: of optical flow,
            see `FlowWarping`.
        switches: further arguments of `MILA`; `window` is ILA's, as is most of `architecture`.

    Raises:
        ValueError: an unknown propagation.
    """

    attends: ClassVar[bool] = False  # its rows compare propagations; MILA's own row is what shows attention

    def __init__(
        self,
        suite: Suite,
        slow: int = 101,
        fast: int | None = 18,
        *,
        width: float = 1.0,
        propagation: PropagationName = "ila",
        kernel: int = 9,
        hidden: int = 256,
        flow_width: float = 1.0,
        half_resolution: bool = True,
        flow_weights: str | None = None,
        flow_bgr: bool = False,
        flow_normalisation: Normalisation = "mean",
        freeze_flow: bool = False,
        outside: Outside = "zeros",
        **switches: Any,
    ) -> None:
        if propagation not in get_args(PropagationName):
            raise ValueError(
                f"there is no propagation {propagation!r}; choose one of {', '.join(get_args(PropagationName))}"
            )
        kind: Any = propagation
        if propagation == "flow":

            def make(_: int) -> FlowWarping:
                return FlowWarping(
                    flow_width, half_resolution, flow_weights, flow_bgr, flow_normalisation, freeze_flow, outside
                )

            kind = make
        elif propagation == "svc":
            kind = partial(KernelPrediction, kernel=kernel, hidden=scaled_channels(hidden, width))
        super().__init__(suite, slow, fast, width=width, propagation=kind, **switches)

    def kind_of_step(self) -> Hashable | None:
        """See `VideoModel.kind_of_step`."""
        return super().kind_of_step()
