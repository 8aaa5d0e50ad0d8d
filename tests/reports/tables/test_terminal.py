"""The table for the terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from experiments.grids.multi_task import TABLE1
from reports.report import Report


@pytest.mark.parametrize("width", [80, 100, 140])
def test_terminal_table_is_legible(report: Report, width: int) -> None:
    out = io.StringIO()
    Console(width=width, file=out, soft_wrap=True).print(report.terminal)
    text = out.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert text.index("PUBLISHED by the paper on NYUd v2") < text.index("MEASURED on procedural videos (rooms)")
    for row in TABLE1.rows:
        assert text.count(row.label) >= 3
    assert re.search(r"MILA \(ours\) +31\.7 ", text)
    assert re.search(r"MILA \(ours\) +70 +42\.2 +6\.34 ✓ +0\.50 ✓ +0\.80 ✓", text)
