"""Files of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mila.common.files import write_text
from mila.common.visible import visible
from mila.errors import UserError

WRITERS = 8
"""Threads that write files."""


def update(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, unless the file is that already: one new number leaves most files as they are.

    What came from logs, labels and records is stripped here of control characters and bidirectional marks.
    """
    text = visible(text)
    try:
        same = path.read_bytes() == text.encode()
    except OSError:
        same = False
    if not same:
        write_text(path, text)


def update_all(texts: Mapping[Path, str]) -> None:
    """`update` several files at once: most of writing is waiting for the disk."""
    with ThreadPoolExecutor(WRITERS) as writers:
        for written in [writers.submit(update, path, text) for path, text in texts.items()]:
            written.result()


@contextmanager
def making_pages(out: Path) -> Iterator[None]:
    """Inside, what the system refuses to write is said in a sentence.

    Raises:
        UserError: the pages in `out` cannot be made.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the pages in {out} cannot be made ({error}): free some space, make the folder writable or give another "
            "--results; what was run is kept, and --report makes its pages."
        ) from error
