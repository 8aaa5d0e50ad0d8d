"""The entry of the reports."""

from __future__ import annotations

import ast

from tests.support.paths import ROOT


def test_the_store_is_read_through_the_entry_alone() -> None:
    """Tables, plots, pictures and pages are made of values."""
    readers = set()
    for path in (ROOT / "reports").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and {"Store", "collect"} & {name.name for name in node.names}:
                readers.add(path.relative_to(ROOT).as_posix())
    assert readers == {"reports/report.py"}
