"""One attempt at a stage: its lock, its clock, its log, and how it ended. Runs in a worker process."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch
from filelock import Timeout

from experiments.bundled import bundled_commit
from experiments.records import DamagedRecordError
from experiments.runner.attempt import Attempt, Stop
from experiments.runner.deadline import Deadline
from experiments.runner.dropping import drop_states
from experiments.runner.rank_environment import world_size
from experiments.runner.stage_functions import STAGE_FUNCTIONS
from experiments.runner.stage_log import logged
from experiments.runner.time_limit import StageTimeoutError, limited
from experiments.stage_files import describe_files
from experiments.stages import Evaluate, Stage, Train
from experiments.store import Store
from mila.common.files import write_json
from mila.common.stored_files import read_object_or_nothing
from mila.common.versions import environment
from mila.errors import DivergedError, LostRankError, StoppedError, UserError

_WRITE_EVERY = 0.3  # seconds
_LOG_EVERY = 30.0
_LEAST = 1e-3
"""Seconds of a limit: 0 would be none."""
_NEAR = 1.0
"""Seconds by which two clocks may differ on when the time is up."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a stage ended: well, or with an error, which may be one in what the user gave.

    Attributes:
        was_done: whether there was nothing left to do: another runner did it while this one waited.
        along: keys of other stages that ended the same way in the same attempt.
        stopped: whether the run's time was up; nothing is wrong, and the next run goes on with it.
    """

    key: str
    error: str | None = None
    bad_input: bool = False
    was_done: bool = False
    along: tuple[str, ...] = ()
    stopped: bool = False


def run_stage(
    stage: Stage,
    store: Store,
    device: str,
    *,
    stop: Stop | None = None,
    where: Mapping[str, str] | None = None,
    time_limit: float | None = None,
    keep_states: bool = False,
    deadline: Deadline | None = None,
) -> Outcome:
    """Do a stage unless it is done; two runners on one store do it once, the other waits for the lock.

    What belongs `Stage.together` with it is done along with it, as far as nobody else holds it.

    An error is written into the stage's folder and returned, never raised; an interruption is raised and leaves the
    stage to be continued.

    Args:
        stage: what to do.
        store: where results go.
        device: where to compute.
        stop: asked by a training after each step, see `mila.training.Callbacks`.
        where: what else the record shall say about where it was made.
        time_limit: seconds after which the attempt fails; a training saves first, and the next attempt continues it.
        keep_states: whether all states of a training stay that are scored; otherwise, once they are, the last alone.
        deadline: of the whole run; at that moment the attempt is stopped, likewise, which is no failure.

    Raises:
        StoppedError: a training was asked to stop.
    """
    stages = [stage]
    if deadline is not None and deadline.has_passed:
        return Outcome(stage.key, stopped=True)
    try:
        with ExitStack() as locks:
            locks.enter_context(store.lock(stage))
            state = store.state(stage)
            if state == "damaged":
                store.record(stage)  # says what is wrong
            if state != "done":
                stages += _take_along(stage, store, locks)
                with logged(store.begin(stage) / "log.txt"), limited(_seconds(time_limit, deadline)) as limit:
                    _run(stages, store, device, limit.or_stop(stop), where or {})
                if not keep_states and isinstance(stage, Evaluate):
                    drop_states(stage, store)
    except StoppedError:
        raise
    except (DivergedError, StageTimeoutError, DamagedRecordError, LostRankError) as error:
        if isinstance(error, StageTimeoutError) and deadline is not None and deadline.left < _NEAR:
            with suppress(OSError), logged(store.folder(stage) / "log.txt"):
                print("stopped, as the time of the run is up; the next run goes on.")
            return Outcome(stage.key, along=_keys(stages[1:]), stopped=True)
        return _failed(stages, store, str(error), str(error))
    except UserError as error:
        return _failed(stages, store, str(error), str(error), bad_input=True)
    except Exception as error:
        return _failed(stages, store, traceback.format_exc(), _unexpected(error, stage, store, device))
    return Outcome(stage.key, was_done=state == "done", along=_keys(stages[1:]))


def _unexpected(error: Exception, stage: Stage, store: Store, device: str) -> str:
    """The sentence for people of an error that is not the suite's own."""
    if is_out_of_memory(error):
        return out_of_memory(stage, device)
    if (full := _disk_full(error)) is not None:
        return f"the disk is full ({full.filename or store.root}); free some space and run again to continue."
    return f"{type(error).__name__}: {error} (see {store.folder(stage) / 'error.txt'})"


def _disk_full(error: BaseException | None) -> OSError | None:
    """The error that says so, which may be behind another one (`torch.save` has a `RuntimeError` of its own)."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return error
        error = error.__cause__ or error.__context__
    return None


def _seconds(time_limit: float | None, deadline: Deadline | None) -> float | None:
    """How long an attempt may take."""
    limits = [] if time_limit is None else [time_limit]
    limits += [] if deadline is None else [max(deadline.left, _LEAST)]
    return min(limits, default=None)


def _take_along(stage: Stage, store: Store, locks: ExitStack) -> list[Stage]:
    """Lock and begin what belongs `together` with a stage, is not done, and is held by nobody; waits for none."""
    taken = list[Stage]()
    for other in stage.together:
        with suppress(Timeout, DamagedRecordError, OSError), ExitStack() as lock:
            lock.enter_context(store.lock(other, timeout=0))
            if store.state(other) in ("waiting", "failed"):
                store.begin(other)
                taken.append(other)
                locks.push(lock.pop_all())
    return taken


def _keys(stages: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(stage.key for stage in stages)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, PyTorch or CUDA had no memory left."""
    text = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and ("not enough memory" in text or "can't allocate memory" in text)
    )


def out_of_memory(stage: Stage, device: str) -> str:
    """The sentence for people."""
    where = "the GPU" if device == "cuda" else "this machine"
    what = "the profile's batch or frame size" if isinstance(stage, Train) else "the profile's frame size"
    return f"{where} has too little memory; reduce --jobs, or {what}, or use another --device."


def _run(stages: Sequence[Stage], store: Store, device: str, stop: Stop | None, where: Mapping[str, str]) -> None:
    """Do the first stage, and the others along with it; they share the seconds that it took."""
    stage, *others = stages
    folder, along = store.folder(stage), {store.folder(other): other for other in others}
    commit = bundled_commit()
    about = {**environment(device), **({"commit": commit} if commit else {}), **where}
    if world_size() > 1 and isinstance(stage, Train):
        about["processes"] = world_size()
    print(f"{stage.kind}: {stage.title} on {about['device']}, commit {about['commit']}")
    for other in others:
        print(f"along with it: {other.title}")
    clock = _Clock(folder)
    attempt = Attempt(folder, device, clock.progress, stop, along)
    results = {stage.key: STAGE_FUNCTIONS[type(stage)](stage, store, attempt), **attempt.results}
    seconds = clock.seconds
    for each in (*others, stage):
        with _log_of(each, stage, store):
            finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
            files, share = describe_files(store.folder(each)), seconds / len(stages)
            store.finish(each, results[each.key], files=files, seconds=share, finished=finished, environment=about)
            print(f"finished after {seconds:.1f} s in all" + (f", of {len(stages)} stages" if others else ""))


@contextmanager
def _log_of(stage: Stage, first: Stage, store: Store) -> Iterator[None]:
    """What is printed goes into the log of `stage`, which is done along with `first`, whose log is being written."""
    if stage is first:
        yield
        return
    with logged(store.folder(stage) / "log.txt"):
        print(f"{stage.kind}: {stage.title}, along with {first.title} ({first.key})")
        yield


def _failed(stages: Sequence[Stage], store: Store, details: str, sentence: str, bad_input: bool = False) -> Outcome:
    for stage in stages:
        # on a full disk, and in a folder that leads elsewhere, there is no place for the reason either
        with suppress(OSError, DamagedRecordError):
            store.fail(stage, details)
            with logged(store.folder(stage) / "log.txt"):
                print(f"failed: {sentence}")
    return Outcome(stages[0].key, sentence, bad_input, along=_keys(stages[1:]))


class _Clock:
    """Writes how far a stage is, and adds up its seconds over interruptions."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "progress.json"
        before = read_object_or_nothing(self._path).get("seconds")
        self._before = float(before) if isinstance(before, (int, float)) else 0.0
        self._start = time.monotonic()
        self._written, self._logged = 0.0, self._start

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._written > _WRITE_EVERY or done == total:
            self._written = now
            write_json(self._path, {"done": done, "total": total, "seconds": self.seconds})
        if now - self._logged > _LOG_EVERY:
            self._logged = now
            print(f"{done} of {total}, {self.seconds:.0f} s")
