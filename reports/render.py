"""Templates to HTML text. Whatever a record says is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """The templates, with `groupby_order`: neighbours that agree in an attribute (jinja's own groupby sorts)."""
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["groupby_order"] = _runs
    return templates


def render(template: str, page: object) -> str:
    """The HTML text of a page: one of the templates, which finds all that it shows in the attributes of `page`."""
    return environment().get_template(template).render(page=page)


def _runs(items: Sequence[object], attribute: str) -> list[list[object]]:
    return [list(group) for _, group in groupby(items, attrgetter(attribute))]
