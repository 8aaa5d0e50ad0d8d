"""Worker processes: how many, that they end with the process that started them, and a list worked through by them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

POOL_FROM = 8.0
"""Seconds of work below which starting workers takes longer than they save."""


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def holding_interrupts() -> Iterator[None]:
    """Around the start of workers: they never get a Ctrl-C, from their first moment on; this process gets it after."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its own start would let them through
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which workers are born with
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main else None  # no other thread is interrupted, or may set one
    held: list[int] = []
    if handler is not None:  # a thread that does not block it takes it, and Python hands it to this one
        signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


def follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when it ends, however that comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR2"):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # by which a cluster asks the parent to stop
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def in_parts(
    function: Callable[[list[Item]], Result], items: list[Item], workers: int, *, seconds: float, largest: int
) -> Generator[Result, None, None]:
    """`function` of all items in parts: here one after the other, or by workers where that is worth it.

    Args:
        function: what is done with a part; it is sent to each worker once.
        items: the first is worked on alone, and the time it takes decides how large the other parts are.
        workers: how many processes.
        seconds: about how long a part takes, which is what Ctrl-C waits for.
        largest: items of a part at most.

    Raises:
        BrokenProcessPool: a worker died.
    """
    if not items:
        return
    start = time.monotonic()
    yield function(items[:1])
    each = max(time.monotonic() - start, 1e-4)
    size = int(min(max(seconds / each, 1), largest))
    parts = [items[place : place + size] for place in range(1, len(items), size)]
    if workers == 1 or each * (len(items) - 1) < POOL_FROM:
        yield from map(function, parts)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(parts)), context, initializer=_start_worker, initargs=(function,))
    try:
        with holding_interrupts():
            waiting: set[Future[Result]] = {pool.submit(_run_part, part) for part in parts}
        while waiting:
            finished, waiting = wait_for(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker_function: Callable[[list[Any]], Any] | None = None


def _start_worker(function: Callable[[list[Any]], Any]) -> None:
    global _worker_function
    follow_parent()
    _worker_function = function


def _run_part(part: list[Any]) -> Any:
    assert _worker_function is not None
    return _worker_function(part)
