"""Digests of what pages and plots are made of: what has not changed is not made again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path

import numpy as np

from reports.render import TEMPLATES

_HEAD = 400  # characters of a file that hold its digest


def combined(parts: Iterable[object]) -> str:
    """A digest of values that say all that they are by their `repr`."""
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()[:16]


def canonical(value: object) -> object:
    """What says all that a value is: arrays by their bytes, data classes by their fields."""
    if isinstance(value, np.ndarray):
        return ("array", value.shape, str(value.dtype), hashlib.sha256(value.tobytes()).hexdigest())
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__qualname__, *(canonical(getattr(value, field.name)) for field in fields(value)))
    if isinstance(value, dict):
        return ("dict", *((canonical(k), canonical(v)) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(canonical, value))
    return value


@cache
def code() -> str:
    """Of all that turns records into pages: modules, templates and published numbers."""
    reports = Path(__file__).parent
    folders = (reports, reports.parent / "experiments", reports.parent / "mila")
    modules = (path for folder in folders for path in folder.rglob("*.py"))
    return combined(
        path.read_bytes() for path in sorted((*modules, *TEMPLATES.iterdir(), *(reports / "published").glob("*.csv")))
    )


def made_from(path: Path) -> str:
    """The digest in the first lines of a file; empty where there is no file, or none in it."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_HEAD).partition("<!-- made from ")[2].partition(" -->")[0]
    except (OSError, UnicodeDecodeError):
        return ""
