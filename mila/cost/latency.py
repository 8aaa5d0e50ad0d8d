"""How long models take at inference: keyframes, non-keyframes and whole streams, the models taking turns in one run.

A step is timed in the middle of a stream, from one synchronised moment to the next; a stream from its first frame to
its last, synchronised at the end alone, as it is used. What slows the machine down for a while slows all models down,
as they take turns; medians and quartiles leave out the rest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mila.common.types import Progress
from mila.cost.energy import EnergyMeter
from mila.video_model import Stream

_ENERGY_SECONDS = 2.0
"""Energy is read off counters that change every 100 ms or so."""


@dataclass(frozen=True)
class Times:
    """Seconds over repetitions.

    Attributes:
        median, lower, upper: the median and the quartiles, seconds.
        count: repetitions.
    """

    median: float
    lower: float
    upper: float
    count: int


@dataclass(frozen=True)
class Latency:
    """How long a model takes.

    Attributes:
        keyframe, non_keyframe: one such step in the middle of a stream; None where every frame is a keyframe.
        stream: a frame of whole streams, on average over the stream.
        energy: joules a frame of whole streams, of the device as a whole; None where nothing reports it.
        worst: the slowest step of a keyframe interval; None in records from before it was kept.
    """

    keyframe: Times
    non_keyframe: Times | None
    stream: Times
    energy: float | None
    worst: Times | None = None


class Streaming(Protocol):
    """What can be timed: a model in eval mode, or one that `mila.streaming.optimise` made."""

    @property
    def keyframe_interval(self) -> int:
        """K; 1 where every frame is a keyframe."""
        ...

    def stream(self) -> Stream:
        """A fresh stream; its first frame is a keyframe."""
        ...


@dataclass(frozen=True)
class Subject:
    """What is timed, and a frame `[B, 3, H, W]` on its device."""

    model: Streaming
    frame: Tensor


def summarise(seconds: Sequence[float]) -> Times:
    """Median and quartiles (linear interpolation between the two nearest)."""
    if len(seconds) == 1:
        return Times(seconds[0], seconds[0], seconds[0], 1)
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return Times(median, lower, upper, len(seconds))


def measure(
    subjects: Mapping[str, Subject],
    *,
    rounds: int,
    frames: int,
    warm_up: int = 1,
    meter: EnergyMeter | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
) -> dict[str, Latency]:
    """Time models in turns.

    A round of a model is one keyframe interval of timed steps, then one whole stream.

    Args:
        subjects: by name.
        rounds: that count.
        frames: of a whole stream.
        warm_up: rounds before those, which do not count.
        meter: of the device that they run on.
        clock: seconds.
        progress: called with (done, total) after each turn.

    Raises:
        ValueError: no rounds or no frames.
    """
    if min(rounds, frames) < 1 or warm_up < 0:
        raise ValueError(f"at least one round and one frame are needed, not {rounds} and {frames}")
    timers = {name: _Timer(subject, clock) for name, subject in subjects.items()}
    total = len(timers) * (rounds + warm_up)
    with torch.inference_mode():
        for turn in range(rounds + warm_up):
            for place, timer in enumerate(timers.values()):
                if turn == warm_up:
                    timer.forget()
                timer.steps()
                timer.stream(frames)
                if progress:
                    progress(turn * len(timers) + place + 1, total)
        energies = {name: timer.energy(frames, meter) if meter else None for name, timer in timers.items()}
    return {name: timer.result(energies[name]) for name, timer in timers.items()}


class _Timer:
    def __init__(self, subject: Subject, clock: Callable[[], float]) -> None:
        self._model, self._frame, self._clock = subject.model, subject.frame, clock
        self._running = self._model.stream()
        self.forget()

    def forget(self) -> None:
        self._keyframes: list[float] = []
        self._others: list[float] = []
        self._worst: list[float] = []
        self._streams: list[float] = []

    def steps(self) -> None:
        seconds = [self._seconds(self._running, 1) for _ in range(self._model.keyframe_interval)]
        self._keyframes.append(seconds[0])
        self._others += seconds[1:]
        self._worst.append(max(seconds))

    def stream(self, frames: int) -> None:
        self._streams.append(self._seconds(self._model.stream(), frames) / frames)

    def energy(self, frames: int, meter: EnergyMeter) -> float:
        count, start = 0, self._clock()
        meter.start()
        while self._clock() - start < _ENERGY_SECONDS:
            self._seconds(self._model.stream(), frames)
            count += frames
        return meter.stop() / count

    def _seconds(self, stream: Stream, frames: int) -> float:
        self._synchronise()
        start = self._clock()
        for _ in range(frames):
            stream.step(self._frame)
        self._synchronise()
        return self._clock() - start

    def _synchronise(self) -> None:
        if self._frame.is_cuda:
            torch.cuda.synchronize(self._frame.device)

    def result(self, energy: float | None) -> Latency:
        others = summarise(self._others) if self._others else None
        worst = summarise(self._worst)
        return Latency(summarise(self._keyframes), others, summarise(self._streams), energy, worst)
