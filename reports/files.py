"""Files of a report."""

from __future__ import annotations

from pathlib import Path

from mila.files import write_text


def update(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, unless the file is that already: one new number leaves most files as they are."""
    try:
        same = path.read_bytes() == text.encode()
    except OSError:
        same = False
    if not same:
        write_text(path, text)
