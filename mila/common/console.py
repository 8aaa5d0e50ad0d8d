"""The console of every command: text is shown as it is, in whatever characters the terminal or the file can hold."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from rich.console import Console

from mila.common.visible import visible
from mila.errors import LostRankError, UserError

_ALIKE = str.maketrans("×·−–—’“”…±↑↓→≤≥✓✗", 'x.---\'"".~^v><>+x')
"""One character for one, so that tables stay aligned."""
_ERRORS = "mila.common.console.degrade"


def make_console(*, width: int | None = None) -> Console:
    """A console that takes no text for markup or emoji, and degrades what the encoding of its output does not have.

    What is to be bold or coloured is a `rich.text.Text`. Call it before anything is printed: from here on no `print`
    to standard output or standard error fails on a character either.

    Args:
        width: columns; by default the terminal's.
    """
    codecs.register_error(_ERRORS, _degrade)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    return _Console(width=width, soft_wrap=True, markup=False, emoji=False, highlight=False)


def exit_code_of(command: Callable[[], int], remedy: str = "the same command continues.") -> int:
    """Run a command of the command line: its own exit code, or that of what it raises, which is said in one line.

    Args:
        command: what to run.
        remedy: what to do where it was cut off, which is the end of the line.

    Returns:
        2 for bad input, 130 where it was interrupted, 1 where another process or the machine let it down.
    """
    try:
        code = command()
        sys.stdout.flush()  # what cannot be written is said here, and not by the interpreter at its end
        return code
    except UserError as error:
        code, text = 2, f"error: {error}"
    except LostRankError as error:
        code, text = 1, f"error: {error}"
    except KeyboardInterrupt:
        code, text = 130, f"\ninterrupted; {remedy}"
    except BrokenPipeError:
        _drop_output()
        code, text = 1, f"error: whoever read the output has ended; {remedy}"
    except OSError as error:  # of the machine: a full disk, a folder that may not be written to, too many open files
        _drop_output()
        where = f"{error.filename}: " if error.filename else ""
        code, text = 1, f"error: {where}{error.strerror or error}; {remedy}"
    print(visible(text), file=sys.stderr)
    return code


class _Console(Console):
    """Leaves it to `exit_code_of` to say that nobody reads the output any more."""

    def on_broken_pipe(self) -> None:
        """See `Console`."""
        raise BrokenPipeError


def _drop_output() -> None:
    """Let what is left to be written go nowhere, so that it is no error again at the end."""
    with suppress(OSError, ValueError):  # of what stands in for it in tests
        output = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)


def _degrade(error: UnicodeError) -> tuple[str, int]:
    """A character that looks alike, or a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end].translate(_ALIKE)
    return "".join(char if char.isascii() else "?" for char in lost), error.end
