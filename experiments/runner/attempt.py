"""What one attempt at a stage works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mila.common.types import Progress

Stop = Callable[[], bool]
"""Asked by a training after each step whether to save and stop."""


@dataclass(frozen=True)
class Attempt:
    """What a stage works with.

    Attributes:
        folder: its own, where it writes.
        device: where it computes.
        progress: called with how far it is.
        stop: asked by a training after each step, see `mila.training.Callbacks`.
    """

    folder: Path
    device: str
    progress: Progress
    stop: Stop | None
