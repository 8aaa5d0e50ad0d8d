"""What a run shows while it runs: bars with the time left, or plain lines where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from experiments.stages import Stage
from experiments.store import Store
from mila.common.stored_files import read_object_or_nothing
from mila.common.visible import visible

_WIDE = 100  # columns of a terminal from which there is room for bars


class Display:
    """A line for everything and one a running stage, each with the time left; plain lines where nobody watches.

    Args:
        durations: about how long each stage takes, by key; in seconds, or in any unit where none was timed.
        store: where stages write how far they are.
        console: where it is shown.
    """

    def __init__(self, durations: Mapping[str, float], store: Store, console: Console) -> None:
        self._durations, self._store, self._console = durations, store, console
        self._finished, self._done, self._failed, self._left_out = 0.0, 0, 0, 0
        self._lines: dict[str, TaskID] = {}
        self._start = time.monotonic()
        self._progress = Progress(
            _TimeLeft(),
            TextColumn("{task.fields[count]}", justify="right"),
            *([BarColumn(bar_width=16)] if console.width >= _WIDE else []),
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )
        self._all = self._progress.add_task("", total=sum(durations.values()), count="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, running: Collection[Stage], waiting: int) -> None:
        """Bring the bars up to what the running stages say of themselves, and the counts of the others."""
        ahead = sum(self._durations[stage.key] * self._show_stage(stage) for stage in running)
        states = {
            "failed": self._failed,
            "left out": self._left_out,
            "done": self._done,
            "running": len(running),
            "waiting": waiting,
        }
        counts = ", ".join(f"{number} {state}" for state, number in states.items() if number)
        ended = f"{self._ended}/{len(self._durations)}"
        self._progress.update(self._all, completed=self._finished + ahead, count=ended, description=counts)

    def _show_stage(self, stage: Stage) -> float:
        """Bring a running stage's line up to date; returns the part of it that is done, 0 to 1."""
        line = self._lines.get(stage.key)
        if line is None:
            line = self._lines[stage.key] = self._progress.add_task(stage.title, total=None, count="")
        progress = read_object_or_nothing(self._store.folder(stage) / "progress.json")
        done, total = progress.get("done"), progress.get("total")
        if not isinstance(done, int) or not isinstance(total, int):
            return 0.0  # it has not written any yet
        self._progress.update(line, completed=done, total=total, count=f"{done}/{total}")
        part: float = done / max(1, total)
        return part

    def end(self, stage: Stage, error: str | None) -> None:
        """Take a finished or failed stage's line away, and say why it failed."""
        self._finished += self._durations[stage.key]
        self._done += error is None
        self._failed += error is not None
        self._remove_line(stage)
        sentence = stage.title if error is None else f"{stage.title} failed: {error}"
        if not self._console.is_terminal:
            spent = time.monotonic() - self._start
            left = spent * (sum(self._durations.values()) / max(self._finished, 1e-9) - 1)
            self._print(f"[{self._ended}/{len(self._durations)}, about {left:.0f} s left] {sentence}")
        elif error is not None:
            self._print(sentence)

    def leave_out(self, stage: Stage) -> None:
        """Count a stage that does not run to its end: one that it needs failed, or the time is up."""
        self._finished += self._durations[stage.key]
        self._left_out += 1
        self._remove_line(stage)

    def _remove_line(self, stage: Stage) -> None:
        line = self._lines.pop(stage.key, None)
        if line is not None:
            self._progress.remove_task(line)

    @property
    def _ended(self) -> int:
        return self._done + self._failed + self._left_out

    def _print(self, text: str) -> None:
        self._console.print(visible(text), markup=False, highlight=False)


class _TimeLeft(TimeRemainingColumn):
    """Says of what the time is; nothing while there is nothing to tell it from."""

    def render(self, task: Task) -> Text:
        """See `ProgressColumn`."""
        time_left = super().render(task)
        return Text() if task.time_remaining is None else time_left.append(" left")
