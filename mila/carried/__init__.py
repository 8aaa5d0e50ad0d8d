"""Weights that the suite carries, as torchvision carries ImageNet's: encoders and flow networks trained on the worlds.

Each is a file in half precision, `NAME.pt`, beside the record of how it came to be, `NAME.json`; they are of an eighth
of the paper's width. `python -m experiments.commands.pretrain` makes them again.
"""

from __future__ import annotations

from pathlib import Path

CARRIED = Path(__file__).parent
"""Where they are."""


def find_weights(weights: str | Path) -> Path | None:
    """The file of weights that are given as a path, or by the name of those that the suite carries; None for neither.

    A path goes before a name.
    """
    carried = CARRIED / f"{weights}.pt"
    return next((path for path in (Path(weights), carried) if path.is_file()), None)
