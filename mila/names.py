"""The names of switches that a profile, a grid or the command line sets. Needs no PyTorch."""

from __future__ import annotations

from typing import Literal

AugmentationName = Literal["none", "mtan", "default"]
"""See `mila.data.augment`."""

Norm = Literal["none", "batch", "group"]
"""See `mila.modules.TaskDecoder`."""

WeightingName = Literal["equal", "uncertainty", "dwa", "geometric"]
"""See `mila.weighting`."""

Precision = Literal["float32", "bfloat16"]
"""What networks compute in while they are trained; see `mila.batch_losses`."""
