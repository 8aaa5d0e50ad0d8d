"""What is said of how far a command is where nobody watches, and where somebody does."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mila.common import progress
from mila.common.progress import progress_bar


def _lines(*calls: tuple[int, int | None]) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    with progress_bar("[work]", console) as report:
        for done, total in calls:
            report(done, total)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_only_the_end_is_said_at_once() -> None:
    assert _lines((1, 3), (2, 3), (3, 3)) == ["[work]: 3 of 3, 0 s; about 0 s left"]


def test_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    assert [line.split(",")[0] for line in _lines((1, 2), (2, 2))] == ["[work]: 1 of 2", "[work]: 2 of 2"]
    assert _lines((1, None), (2, None)) == ["[work]: 1, 0 s", "[work]: 2, 0 s"]


def test_a_terminal_has_a_bar() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with progress_bar("work", console) as report:
        report(1, None)
        report(2, 4)
    assert isinstance(console.file, io.StringIO)
    assert "2/4" in console.file.getvalue()
