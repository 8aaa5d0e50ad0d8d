"""Checkpoints: states of networks and trainings in files that say what they are states of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mila.common.files import write_atomic
from mila.errors import UserError


def save_checkpoint(path: Path, identity: str, state: dict[str, Any]) -> None:
    """Write `state` atomically, marked with what it is a state of."""
    write_atomic(path, lambda file: torch.save({"identity": identity, **state}, file))


def load_checkpoint(path: Path, identity: str) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        UserError: the file cannot be read, or is marked as another model's.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint ({error}); delete {path.parent} to train again."
        ) from error
    if found != identity:
        raise UserError(f"{path} is a checkpoint of {found!r}, not of {identity!r}; delete it to train anew.")
    return state
