"""Where the suite keeps what it may forget: `~/.cache/mila-suite`, or where `MILA_CACHE` says."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder; it need not exist."""
    given = os.environ.get("MILA_CACHE")
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mila-suite").expanduser()
    except RuntimeError:  # a user without a home
        return Path(os.devnull)  # where nothing is found and nothing can be written
