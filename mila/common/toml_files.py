"""TOML files that users write: read, and checked key by key."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mila.common.files import read_text
from mila.common.visible import unseen
from mila.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, option: str, page: str) -> dict[str, Any]:
    """What a file says.

    Args:
        path: of the file.
        option: that it was given with, for the errors.
        page: of the documentation that shows such a file, likewise.

    Raises:
        UserError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        raise UserError(f"{option} {path}: the file cannot be read ({error.strerror}); {page} shows one.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML, or too deep
        raise UserError(f"{path} is not TOML ({error}); {page} shows how it looks.") from error


@dataclass(frozen=True)
class Kind:
    """What the value of a key may be.

    Attributes:
        allowed: that in words.
        fits: whether a value is so.
        take: what becomes of it.
    """

    allowed: str
    fits: Callable[[Any], bool]
    take: Callable[[Any], Any] = lambda value: value

    def read(self, value: Any, where: str) -> Any:
        """The value.

        Raises:
            UserError: it is not allowed; `where` says what it is the value of.
        """
        if not self.fits(value):
            raise UserError(f"{where} must be {self.allowed}, not {as_toml(value)}.")
        return self.take(value)


def whole(low: int, high: int) -> Kind:
    """Whole numbers of a range, its ends included."""
    return Kind(f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def number(high: float, take: Callable[[float], float] = float) -> Kind:
    """Numbers above 0."""
    return Kind(f"a number above 0 and at most {high:g}", lambda value: _is_number(value) and 0 < value <= high, take)


def one_of(known: Collection[str]) -> Kind:
    """Names."""
    return Kind(f"one of: {', '.join(known)}", lambda value: isinstance(value, str) and value in known)


def pair(allowed: str, fits: Callable[[Any], bool], take: Callable[[Any], Any]) -> Kind:
    """Lists of two."""
    return Kind(
        allowed,
        lambda value: isinstance(value, list) and len(value) == 2 and all(map(fits, value)),
        lambda value: (take(value[0]), take(value[1])),
    )


def share(value: Any) -> bool:
    """Whether it is a number from 0 to below 1."""
    return _is_number(value) and 0 <= value < 1


FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind(
    "a text, of characters that can be seen",
    lambda value: isinstance(value, str) and bool(value.strip()) and not unseen(value),
)
SECTION = Kind("a section", lambda value: isinstance(value, dict))


def _is_number(value: Any) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def read_section(section: Mapping[str, Any], kinds: Mapping[str, Kind], where: str) -> dict[str, Any]:
    """The values of a section, checked.

    Args:
        section: what the file says.
        kinds: by the keys that there are.
        where: the file, and the section's name, for the errors.

    Raises:
        UserError: a key is not known, or its value is not allowed.
    """
    for key in section:
        check_key(key, kinds, where)
    return {key: kinds[key].read(value, f"{where}: {key}") for key, value in section.items()}


def check_key(key: str, known: Collection[str], where: str) -> None:
    """See that there is such a key.

    Raises:
        UserError: there is none; the sentence names those there are, and the nearest.
    """
    if key not in known:
        near = get_close_matches(key, known, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(f"{where}: there is no key {key!r}{meant}; the keys are: {', '.join(known)}.")


def as_toml(value: Any) -> str:
    """A value as a TOML file writes it, near enough to recognise it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
