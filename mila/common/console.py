"""The console of every command: text is shown as it is, in whatever characters the terminal or the file can hold."""

from __future__ import annotations

import codecs
import io
import sys

from rich.console import Console

_ALIKE = str.maketrans("×·−–—’“”…±↑↓→≤≥✓✗", 'x.---\'"".~^v><>+x')
"""One character for one, so that tables stay aligned."""
_ERRORS = "mila.common.console.degrade"


def make_console(*, width: int | None = None, kind: type[Console] = Console) -> Console:
    """A console that takes no text for markup or emoji, and degrades what the encoding of its output does not have.

    What is to be bold or coloured is a `rich.text.Text`. Call it before anything is printed: from here on no `print`
    to standard output or standard error fails on a character either.

    Args:
        width: columns; by default the terminal's.
        kind: the class of the console.
    """
    codecs.register_error(_ERRORS, _degrade)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    return kind(width=width, soft_wrap=True, markup=False, emoji=False, highlight=False)


def _degrade(error: UnicodeError) -> tuple[str, int]:
    """A character that looks alike, or a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end].translate(_ALIKE)
    return "".join(char if char.isascii() else "?" for char in lost), error.end
