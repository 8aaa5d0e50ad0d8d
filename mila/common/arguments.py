"""Types of arguments of the command lines."""

from __future__ import annotations

import argparse
from pathlib import Path


def given_path(text: str) -> Path:
    """A path that somebody typed. An empty one is what a variable that is not set gives, and never the current folder.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("a path is expected, and it is empty (a variable that is not set?)")
    return Path(text)
