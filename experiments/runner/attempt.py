"""What one attempt at a stage works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.stages import Stage
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
        along: by folder, stages of `Stage.together` that it does as well.
        results: what came out of those, by key; the stage's function puts it there.
    """

    folder: Path
    device: str
    progress: Progress
    stop: Stop | None
    along: Mapping[Path, Stage] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
