"""Time and peak memory of several ways to do the same thing, in turns; one that fails does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from mila.cost.latency import Times, summarise
from mila.errors import first_line

Call = Callable[[], object]
Clock = Callable[[], float]

_CALLS_ON_GPU = 20
"""Calls from one synchronised moment to the next, as a model makes them: what is launched may overlap."""


class NotHereError(Exception):
    """A contender that cannot run here, or not at this size; says why."""


@dataclass(frozen=True)
class Measured:
    """What one way took.

    Attributes:
        times: seconds a call; None where it failed.
        peak: bytes allocated at once beyond what was there before, result included.
        failed: the first line of what went wrong, or None.
    """

    times: Times | None
    peak: int | None
    failed: str | None


def measure(
    calls: Mapping[str, Call],
    device: str,
    repeats: int,
    patience: float,
    clock: Clock = time.perf_counter,
) -> dict[str, Measured]:
    """Time calls in turns, after one each that does not count.

    Args:
        calls: by name.
        device: where they run.
        repeats: rounds.
        patience: seconds; a call that takes longer than that is timed once.
        clock: seconds.
    """
    count = _CALLS_ON_GPU if device == "cuda" else 1
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    first: dict[str, float] = {}
    peaks: dict[str, int] = {}
    failed: dict[str, str] = {}

    def attempt(name: str, run: Callable[[], None]) -> None:
        if name not in failed:
            try:
                run()
            except Exception as error:  # whatever a contender's compiler or kernel comes up with
                failed[name] = failure_in_words(error)

    for name, call in calls.items():

        def warm_up(name: str = name, call: Call = call) -> None:
            call()  # compiles
            first[name] = _seconds(call, device, 1, clock)
            peaks[name] = peak_memory(call, device)

        attempt(name, warm_up)
    for turn in range(repeats):
        for name, call in calls.items():

            def run(name: str = name, call: Call = call) -> None:
                seconds[name].append(_seconds(call, device, count, clock))

            if turn == 0 or first.get(name, 0) < patience:
                attempt(name, run)
    return {
        name: Measured(None, None, failed[name])
        if name in failed
        else Measured(summarise(seconds[name]), peaks[name], None)
        for name in calls
    }


def failure_in_words(error: Exception) -> str:
    """Kind and first line of what went wrong."""
    if isinstance(error, NotHereError):
        return f"not here: {error}"
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def _seconds(call: Call, device: str, count: int, clock: Clock = time.perf_counter) -> float:
    _synchronise(device)
    start = clock()
    for _ in range(count):
        call()
    _synchronise(device)
    return (clock() - start) / count


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_memory(call: Call, device: str = "cpu") -> int:
    """Most bytes that were allocated at once during `call`, beyond what was there before it."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, record_shapes=False) as profiler:
        kept = call()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    del kept
    return peak


def copy_speed(device: str, size: int = 1 << 28) -> float:
    """Bytes a second that a copy of `size` bytes reads and writes, the best of five."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * size / min(_seconds(lambda: target.copy_(source), device, 3) for _ in range(5))
