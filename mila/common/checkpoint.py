"""Checkpoints: states of networks and trainings in files that say what they are states of."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from mila.common.files import file_digest, not_opened, write_atomic
from mila.errors import UserError


def save_checkpoint(path: Path, identity: str, state: dict[str, Any]) -> None:
    """Write `state` atomically, marked with what it is a state of."""
    write_atomic(path, lambda file: torch.save({"identity": identity, **state}, file))


def load_checkpoint(path: Path, identity: str, digest: str | None = None) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. The bytes are checked: against `digest`, or else against the file's own sums.

    Args:
        path: the file.
        identity: what it should be a state of.
        digest: `file_digest` of it when it was written, where that is known.

    Raises:
        UserError: the file is damaged, none that this suite wrote, marked as another model's, or cannot be opened.
        MemoryError: there is too little memory for it.
    """
    remedy = f"delete {path.parent} to train again"
    state = read_tensors(path, "a checkpoint", remedy, digest)
    found = state["identity"]
    if found != identity:
        raise UserError(f"{path} is a checkpoint of {found!r}, not of {identity!r}; delete it to train anew.")
    return state


def read_tensors(path: Path, what: str, remedy: str, digest: str | None = None) -> dict[str, Any]:
    """Read a file of tensors and plain values that says, under `identity`, what it is; nothing in it is run.

    Args:
        path: the file.
        what: it should be, in words.
        remedy: what to do where it is not.
        digest: see `load_checkpoint`.

    Raises:
        UserError, MemoryError: see `load_checkpoint`.
    """
    try:
        intact = _is_intact(path, digest)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["identity"]
    except OSError as error:
        raise not_opened(path, error) from error
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        # PyTorch's own advice, to load it all the same, would run what lies in the file
        raise _refused(path, what, "it holds more than tensors and numbers, or is damaged", remedy) from error
    except Exception as error:
        raise _refused(path, what, "it is damaged, or none of this suite", remedy) from error
    if not intact:
        raise _refused(path, what, "it is not what was written there", remedy)
    return state


def _is_intact(path: Path, digest: str | None) -> bool:
    """Whether the bytes are those that were written; PyTorch itself does not compare the sums that it writes."""
    if digest is not None:
        return file_digest(path) == digest
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is None


def _refused(path: Path, what: str, reason: str, remedy: str) -> UserError:
    return UserError(f"{path} cannot be read as {what} ({reason}); {remedy}.")
