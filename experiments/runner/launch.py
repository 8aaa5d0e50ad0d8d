"""Run a graph of stages on this machine: as many at once as asked, a live display, and an end at any moment.

Workers are separate processes with one compute thread each, so that results do not depend on the number of cores.
Killing the runner ends its workers; the next run continues from what is on the disk.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from experiments.runner.run_stage import Outcome, run_stage
from experiments.stages import Stage, in_order
from experiments.store import Store
from mila.common.processes import cores, follow_parent
from mila.errors import UserError

_REFRESH = 0.5  # seconds
_WIDE = 100  # columns of a terminal from which there is room for bars
_ATTEMPTS = 2  # at a stage that ends its worker
_DIED = "its worker process died twice (killed, or out of memory); run again to continue, with fewer --jobs."


@dataclass
class Summary:
    """What a run came to: titles by how the stage ended, and whether bad input was a reason."""

    done: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    bad_input: bool = False


def default_jobs(device: str) -> int:
    """Stages at once: one a core, at most 4 (each holds a copy of PyTorch); one on a GPU."""
    if device == "cuda":
        return 1
    return min(4, cores())


def launch(
    stages: list[Stage], store: Store, jobs: int, device: str, console: Console, time_limit: float | None = None
) -> Summary:
    """Run every stage that is not done, and what it needs, at most `jobs` at once.

    Of the stages that can start, the one with the most work behind it starts first. A stage whose parent failed is
    skipped, the others go on.

    Raises:
        KeyboardInterrupt: passed on after the workers have ended.
    """
    summary = Summary()
    waiting: dict[str, Stage] = {}
    for stage in in_order(stages):
        if store.state(stage) == "done":
            summary.found.append(stage.title)
        else:
            waiting[stage.key] = stage
    if waiting:
        earlier = store.earlier_seconds()
        work = {key: earlier.get((s.kind, s.title), s.work) for key, s in waiting.items()}
        behind = longest_paths(waiting, work)
        waiting = dict(sorted(waiting.items(), key=lambda item: -behind[item[0]]))
        with _Display(waiting, work, store, console) as display:
            _run_all(waiting, store, jobs, device, display, summary, time_limit)
            display.show([], 0)
    return summary


def longest_paths(stages: Mapping[str, Stage], work: Mapping[str, float]) -> dict[str, float]:
    """For each stage by key, its work and that of the longest chain of stages that wait for it.

    Args:
        stages: every stage after the ones it needs.
        work: how long each takes.
    """
    behind = dict(work)
    for key, stage in reversed(list(stages.items())):
        for needed in stage.needs:
            if needed.key in behind:
                behind[needed.key] = max(behind[needed.key], work[needed.key] + behind[key])
    return behind


def _run_all(
    waiting: dict[str, Stage],
    store: Store,
    jobs: int,
    device: str,
    display: _Display,
    summary: Summary,
    time_limit: float | None,
) -> None:
    broken: set[str] = set()
    suspects: set[str] = set()  # a worker died while they ran; each goes on alone, so that it shows whose it was
    died: Counter[str] = Counter()
    while waiting:
        pool = ProcessPoolExecutor(
            max_workers=min(jobs, len(waiting)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=(device,),
        )
        running: dict[Future[Outcome], Stage] = {}
        try:
            while waiting or running:
                for stage in list(waiting.values()):
                    if any(needed.key in broken for needed in stage.needs):
                        broken.add(stage.key)
                        summary.skipped.append(waiting.pop(stage.key).title)
                        display.leave_out(stage)
                busy = {stage.key for stage in running.values()}
                for stage in list(waiting.values()):
                    if len(running) >= jobs or any(n.key in waiting or n.key in busy for n in stage.needs):
                        continue
                    if not running or not suspects & {stage.key, *busy}:
                        future = pool.submit(run_stage, stage, store, device, time_limit=time_limit)
                        running[future] = waiting.pop(stage.key)
                        busy.add(stage.key)
                display.show(list(running.values()), len(waiting))
                for future in wait(running, _REFRESH, FIRST_COMPLETED).done:
                    outcome = future.result()  # raises where a worker died; the stage then still counts as running
                    stage = running.pop(future)
                    if outcome.error is None:
                        summary.done.append(stage.title)
                    else:
                        broken.add(stage.key)
                        summary.failed[stage.title] = outcome.error
                        summary.bad_input |= outcome.bad_input
                    display.end(stage, outcome.error)
        except BrokenProcessPool:
            for stage in running.values():
                suspects.add(stage.key)
                died[stage.key] += len(running) == 1
                if died[stage.key] < _ATTEMPTS:
                    waiting[stage.key] = stage
                else:
                    broken.add(stage.key)
                    summary.failed[stage.title] = _DIED
                    display.end(stage, _DIED)
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def start_worker(device: str) -> None:
    """See `use_one_thread`; Ctrl-C is left to the runner, and the worker ends with the runner."""
    follow_parent()
    use_one_thread(device)


def use_one_thread(device: str) -> None:
    """One thread and, on the CPU, deterministic kernels: results then do not depend on the number of cores."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(device == "cpu")


def find_device(wanted: str) -> str:
    """`cpu` or `cuda` for what was asked for: one of the two, or `auto`.

    Raises:
        UserError: there is no GPU.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError("--device cuda: PyTorch finds no GPU here; use --device cpu or auto.")
    return "cuda" if available and wanted != "cpu" else "cpu"


class _Display:
    """A line for everything and one a running stage, each with the time left; plain lines where nobody watches."""

    def __init__(self, stages: dict[str, Stage], work: dict[str, float], store: Store, console: Console) -> None:
        self._store, self._console, self._work = store, console, work
        self._finished, self._done, self._failed, self._left_out = 0.0, 0, 0, 0
        self._stages = len(stages)
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
        self._all = self._progress.add_task("", total=sum(self._work.values()), count="")

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, running: list[Stage], waiting: int) -> None:
        """Bring the bars up to what the running stages say of themselves, and the counts of the others."""
        ahead = 0.0
        for stage in running:
            line = self._lines.get(stage.key)
            if line is None:
                line = self._lines[stage.key] = self._progress.add_task(stage.title, total=None, count="")
            try:
                told = json.loads((self._store.folder(stage) / "progress.json").read_text())
            except (OSError, ValueError):
                continue  # it has not told anything yet
            count = f"{told['done']}/{told['total']}"
            self._progress.update(line, completed=told["done"], total=told["total"], count=count)
            ahead += self._work[stage.key] * told["done"] / max(1, told["total"])
        states = {
            "failed": self._failed,
            "left out": self._left_out,
            "done": self._done,
            "running": len(running),
            "waiting": waiting,
        }
        counts = ", ".join(f"{number} {state}" for state, number in states.items() if number)
        ended = f"{self._ended}/{self._stages}"
        self._progress.update(self._all, completed=self._finished + ahead, count=ended, description=counts)

    def end(self, stage: Stage, error: str | None) -> None:
        """Take a finished or failed stage's line away, and say why it failed."""
        self._finished += self._work[stage.key]
        self._done += error is None
        self._failed += error is not None
        line = self._lines.pop(stage.key, None)
        if line is not None:
            self._progress.remove_task(line)
        said = stage.title if error is None else f"{stage.title} failed: {error}"
        if not self._console.is_terminal:
            spent = time.monotonic() - self._start
            left = spent * (sum(self._work.values()) / max(self._finished, 1e-9) - 1)
            self._say(f"[{self._ended}/{self._stages}, about {left:.0f} s left] {said}")
        elif error is not None:
            self._say(said)

    def leave_out(self, stage: Stage) -> None:
        """Count a stage that will not run because one that it needs failed."""
        self._finished += self._work[stage.key]
        self._left_out += 1

    @property
    def _ended(self) -> int:
        return self._done + self._failed + self._left_out

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


class _TimeLeft(TimeRemainingColumn):
    """Says of what the time is; nothing while there is nothing to tell it from."""

    def render(self, task: Task) -> Text:
        """See `ProgressColumn`."""
        time_left = super().render(task)
        return Text() if task.time_remaining is None else time_left.append(" left")
