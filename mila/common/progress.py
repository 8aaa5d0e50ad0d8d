"""How far a command is: a bar with the time left, or a line now and then where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY = 10.0
"""Seconds between lines where nobody watches."""


@contextmanager
def progress_bar(name: str, console: Console) -> Iterator[Callable[[int, int | None], None]]:
    """Around some work: gives what is to be called with (done, total), where the total may not be known."""
    start = last_line = time.monotonic()
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        line = bar.add_task(name, total=None)
        first: list[int] = []

        def progress(done: int, total: int | None) -> None:
            nonlocal last_line
            bar.update(line, completed=done, total=total)
            now = time.monotonic()
            first.append(done) if not first else None
            if console.is_terminal or (done != total and now - last_line <= LINE_EVERY):
                return
            last_line = now
            if total is None:
                console.print(f"{name}: {done}, {now - start:.0f} s", markup=False)
                return
            left = (now - start) * max(total - done, 0) / max(done - first[0], 1)
            console.print(f"{name}: {done} of {total}, {now - start:.0f} s; about {left:.0f} s left", markup=False)

        yield progress
