"""Text without what nobody sees in it: control characters, marks that turn the order of reading, halves of pairs."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters but tabs and line ends
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, overrides and isolates
    r"\ud800-\udfff\ufffe\uffff]"  # surrogates, which no UTF-8 has, and what no XML may have
)


def visible(text: str) -> str:
    """`text` without the characters that no page, plot or file beside them may hold."""
    return _UNSEEN.sub("", text)
