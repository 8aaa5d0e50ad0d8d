"""Text from files and other people as it may be shown: without characters that steer a terminal or turn lines round."""

from __future__ import annotations

import unicodedata


def unseen(text: str) -> str:
    """The characters of a text that cannot be seen: control characters, direction marks, line ends and the like."""
    return "".join(c for c in text if unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp"))


def visible(text: str) -> str:
    """A text without what cannot be seen, but for line ends and tabs."""
    hidden = set(unseen("".join(set(text)))) - {"\n", "\t"}  # of each character once: pages are long
    return text.translate(dict.fromkeys(map(ord, hidden)))
