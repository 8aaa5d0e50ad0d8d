"""Run a graph of stages on this machine: as many at once as asked, a live display, and an end at any moment.

Workers are separate processes with one compute thread each, so that results do not depend on the number of cores.
Killing the runner ends its workers; the next run continues from what is on the disk.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console

from experiments.runner.deadline import Deadline
from experiments.runner.display import Display
from experiments.runner.run_stage import Outcome, run_stage
from experiments.runner.workers import start_worker
from experiments.stages import Data, Stage, in_order
from experiments.store import Store
from mila.common.processes import holding_interrupts
from mila.errors import UserError

_REFRESH = 0.5  # seconds
_ATTEMPTS = 2  # at a stage that ends its worker
_DIED = "its worker process died twice (killed, or out of memory); run again to continue, with fewer --jobs."


@dataclass
class Summary:
    """What a run came to: titles by how the stage ended, and whether bad input was a reason.

    Attributes:
        done: what it ran itself.
        found: what was done before, or by another runner meanwhile.
        failed: with the reason.
        skipped: what needs something that failed.
        stopped: what had not ended when the time was up, see `Deadline`.
        bad_input: whether what the user gave was a reason.
    """

    done: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    bad_input: bool = False


def launch(
    stages: list[Stage],
    store: Store,
    jobs: int,
    device: str,
    console: Console,
    time_limit: float | None = None,
    keep_states: bool = False,
    deadline: Deadline | None = None,
    expected: Mapping[str, float] | None = None,
    earlier: Mapping[str, float] | None = None,
) -> Summary:
    """Run every stage that is not done, and what it needs, at most `jobs` at once.

    Of the stages that can start, data go first, so that what is wrong with a split is said before anything is trained;
    then the one with the longest chain of stages that wait for it. With a deadline, which may cut off the last ones,
    they start in the order in which they are given. A stage whose parent failed is skipped, the others go on.

    Args:
        stages: what is asked for.
        store: where results go.
        jobs: how many at once.
        device: where to compute.
        console: where it is shown.
        time_limit: seconds that a stage may take.
        keep_states: see `run_stage`.
        deadline: of all of them.
        expected: seconds by key, where they are known better than from earlier runs.
        earlier: `Store.earlier_seconds`, where that was read already.

    Raises:
        UserError: no worker processes can be started.
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
        earlier = store.earlier_seconds() if earlier is None else earlier
        durations = {key: earlier.get(s.identity, s.work) for key, s in waiting.items()}
        durations |= {key: seconds for key, seconds in (expected or {}).items() if key in durations}
        if deadline is None:
            longest = longest_paths(waiting, durations)
            order = {key: (not isinstance(stage, Data), -longest[key]) for key, stage in waiting.items()}
            waiting = dict(sorted(waiting.items(), key=lambda item: order[item[0]]))
        call = partial(
            run_stage, store=store, device=device, time_limit=time_limit, keep_states=keep_states, deadline=deadline
        )
        with Display(durations, store, console) as display:
            run = _Run(waiting, jobs, display, summary, deadline)
            while run.waiting:
                _run_in_pool(run, call, device)
            display.show([], 0)
    return summary


def longest_paths(stages: Mapping[str, Stage], durations: Mapping[str, float]) -> dict[str, float]:
    """For each stage by key, how long it and the longest chain of stages that wait for it take.

    Args:
        stages: every stage after the ones it needs.
        durations: how long each takes, by key.
    """
    longest = dict(durations)
    for key, stage in reversed(list(stages.items())):
        for needed in stage.needs:
            if needed.key in longest:
                longest[needed.key] = max(longest[needed.key], durations[needed.key] + longest[key])
    return longest


def _run_in_pool(run: _Run, call: Callable[[Stage], Outcome], device: str) -> None:
    """Run stages until none is left or a worker dies, which ends the whole pool."""
    try:
        pool = ProcessPoolExecutor(
            max_workers=min(run.jobs, len(run.waiting)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=(device,),
        )
    except OSError as error:
        raise UserError(
            f"no worker processes can be started here ({error.strerror}); they need a /dev/shm that can be written to, "
            "and free places among the open files (ulimit -n)."
        ) from error
    run.running.clear()
    try:
        while run.waiting or run.running:
            run.give_up()
            run.skip()
            with holding_interrupts():
                run.start(lambda stage: pool.submit(call, stage))
            run.display.show(run.running.values(), len(run.waiting))
            for future in wait(run.running, _REFRESH, FIRST_COMPLETED).done:
                run.end(future)
    except BrokenProcessPool:
        run.take_back()
    except BaseException:  # a Ctrl-C, or output that cannot be written: nobody waits for what still runs
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Run:
    """The stages of a run on their way from waiting to ended.

    Attributes:
        waiting: by key, in the order in which they are to start.
        jobs: how many may run at once.
        deadline: see `launch`.
        time_is_up: whether a stage was stopped because of it.
        running: by their future in the present pool.
        broken: keys of those that failed or were skipped.
        suspects: keys of those that ran when a worker died; each goes on alone, so that it shows whose worker it was.
        deaths: how often each was alone when its worker died.
    """

    waiting: dict[str, Stage]
    jobs: int
    display: Display
    summary: Summary
    deadline: Deadline | None = None
    time_is_up: bool = False
    running: dict[Future[Outcome], Stage] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    deaths: Counter[str] = field(default_factory=Counter)

    def give_up(self) -> None:
        """Leave out all that has not begun, once the time is up."""
        if self.time_is_up or (self.deadline is not None and self.deadline.has_passed):
            for key in list(self.waiting):
                self._stop(self.waiting.pop(key))

    def skip(self) -> None:
        """Leave out what needs a stage that failed or was skipped."""
        for stage in list(self.waiting.values()):
            if any(needed.key in self.broken for needed in stage.needs):
                self.broken.add(stage.key)
                self.summary.skipped.append(self.waiting.pop(stage.key).title)
                self.display.leave_out(stage)

    def start(self, submit: Callable[[Stage], Future[Outcome]]) -> None:
        """Start what can start: its needs are done, there is room, and no suspect is disturbed.

        What belongs together waits for the first of it, which does the others as well.
        """
        busy = {stage.key for stage in self.running.values()}
        along = {other.key for stage in self.running.values() for other in stage.together}
        for stage in list(self.waiting.values()):
            if len(self.running) >= self.jobs or any(n.key in self.waiting or n.key in busy for n in stage.needs):
                continue
            if stage.key in along:
                continue
            if not self.running or not self.suspects & {stage.key, *busy}:
                future = submit(stage)
                self.running[future] = self.waiting.pop(stage.key)
                busy.add(stage.key)
                along |= {other.key for other in stage.together}

    def end(self, future: Future[Outcome]) -> None:
        """Take note of how a stage ended.

        Raises:
            BrokenProcessPool: its worker died; the stage then still counts as running.
        """
        outcome = future.result()
        ended = [self.running.pop(future), *(self.waiting.pop(key) for key in outcome.along if key in self.waiting)]
        self.summary.bad_input |= outcome.bad_input
        self.time_is_up |= outcome.stopped
        for stage in ended:
            if outcome.stopped:
                self._stop(stage)
            elif outcome.error is None:
                (self.summary.found if outcome.was_done else self.summary.done).append(stage.title)
                self.display.end(stage, None)
            else:
                self._fail(stage, outcome.error)

    def take_back(self) -> None:
        """After the death of a worker: let what ran wait again, but what has ended its worker too often."""
        for stage in self.running.values():
            self.suspects.add(stage.key)
            self.deaths[stage.key] += len(self.running) == 1
            if self.deaths[stage.key] < _ATTEMPTS:
                self.waiting[stage.key] = stage
            else:
                self._fail(stage, _DIED)

    def _stop(self, stage: Stage) -> None:
        self.summary.stopped.append(stage.title)
        self.display.leave_out(stage)

    def _fail(self, stage: Stage, error: str) -> None:
        self.broken.add(stage.key)
        self.summary.failed[stage.title] = error
        self.display.end(stage, error)
