"""CSV files as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet runs."""


def csv_text(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A header and its lines; numbers at full precision (8 digits), None as an empty cell.

    Text that a spreadsheet would take for a formula begins with an apostrophe, which shows it as text; numbers, signs
    included, stay numbers.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_cell, header))
    for line in lines:
        writer.writerow(map(_cell, line))
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, str) and value.startswith(_FORMULA):
        with suppress(ValueError):
            float(value)
            return value
        return f"'{value}"
    return value
