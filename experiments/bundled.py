"""What a copy of the suite that was packed for another machine knows of where it came from, see `commands.bundle`."""

from __future__ import annotations

from pathlib import Path

COMMIT = Path(__file__).with_name("bundled_commit.txt")
"""Only in such a copy: the commit of the code that was packed."""


def bundled_commit() -> str | None:
    """The commit that the code was packed at; None in a repository, which knows its own."""
    return COMMIT.read_text(encoding="utf-8").strip() if COMMIT.is_file() else None
