"""Weight files: those that the suite carries, and those that people have.

What people have is bare, in a training's checkpoint, or of a network that holds the one wanted. What the suite carries
is in `mila.carried`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mila.common.files import write_atomic
from mila.errors import UserError

_PLACES = ("state_dict", "model")
"""Under which training scripts keep a network's weights beside an optimiser's state and the like."""

_WRAPPERS = ("module.", "backbone.")
"""What DataParallel, and networks around a ResNet (torchvision's segmentation models, detectors), put before names."""


def write_carried(folder: Path, name: str, weights: Mapping[str, Tensor]) -> Path:
    """Write a network's weights as the suite carries them, floating-point numbers in half precision; gives the file."""
    path = folder / f"{name}.pt"
    folder.mkdir(parents=True, exist_ok=True)
    half = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    write_atomic(path, lambda file: torch.save(half, file))
    return path


def read_weight_file(path: Path) -> Any:
    """What PyTorch finds in a file; nothing in it is run.

    Raises:
        UserError: it cannot be read as PyTorch weights.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = "it is cut short, damaged, or holds more than tensors"
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        raise UserError(
            f"{path} cannot be read as PyTorch weights ({reason}); give a state dict, as torch.save writes it."
        ) from error


def weights_by_name(stored: Any, path: Path) -> dict[str, Tensor]:
    """The weights in what a file holds, by their names in the network itself.

    A dictionary under `state_dict` or `model` is opened. The prefix `module.` is taken off where all names have it;
    where any name has the prefix `backbone.`, those are the weights, without it, and the rest are other parts.

    Args:
        stored: see `read_weight_file`.
        path: of the file, for the errors.

    Raises:
        UserError: what is there are not tensors by name.
    """
    weights = stored
    while isinstance(weights, Mapping):
        inner = next((weights[place] for place in _PLACES if isinstance(weights.get(place), Mapping)), None)
        if inner is None:
            break
        weights = inner
    if not isinstance(weights, Mapping):
        raise UserError(
            f"{path} holds {_what(weights)}, not weights by name; give a state dict, as torch.save writes it."
        )
    if not weights:
        raise UserError(f"{path} holds no weights; give a state dict, as torch.save writes it.")
    for name, value in weights.items():
        if not isinstance(name, str):
            raise UserError(
                f"{path} holds weights under {_what(name)} ({name!r}), not by name; give the state dict of a network."
            )
        if not isinstance(value, Tensor):
            raise UserError(f"{path} holds {_what(value)} as {name!r}, not a tensor; give the state dict of a network.")
    return _unwrapped(dict(weights))


def _unwrapped(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefixes of what was around their network."""
    for prefix in _WRAPPERS:
        inside = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if inside and (prefix == "backbone." or len(inside) == len(weights)):
            return _unwrapped(inside)
    return weights


def _what(value: object) -> str:
    kind = type(value).__name__
    return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"
