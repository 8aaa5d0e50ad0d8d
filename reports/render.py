"""Templates to HTML text. Whatever a record says is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.statistics import signed

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """The templates, with `upper_first`, `signed`, and `groupby_order`: neighbours that agree in an attribute.

    Jinja's own groupby sorts.
    """
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["groupby_order"] = _runs
    templates.filters["upper_first"] = upper_first
    templates.filters["signed"] = signed
    templates.globals["content_policy"] = _content_policy()
    return templates


def render(template: str, page: object) -> str:
    """The HTML text of a page: one of the templates, which finds all that it shows in the attributes of `page`."""
    return environment().get_template(template).render(page=page)


def upper_first(text: str) -> str:
    """With a capital first letter; all others stay as they are, which jinja's own `capitalize` does not leave them."""
    return text[:1].upper() + text[1:]


def _content_policy() -> Markup:
    """What a browser may do with a page: run the script of all pages, show styles and pictures that the page holds.

    Nothing is loaded, from anywhere. Plots and cells carry their styles as attributes, for which there are no hashes.
    """
    script = f"\n{(TEMPLATES / 'page.js').read_text(encoding='utf-8')}"  # as it stands between the tags
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return Markup("; ".join(rules))  # no part of it is read from anywhere


def _runs(items: Sequence[object], attribute: str) -> list[list[object]]:
    return [list(group) for _, group in groupby(items, attrgetter(attribute))]
