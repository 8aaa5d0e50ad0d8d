"""Steps of a stream recorded once and replayed: frame, memory and predictions stay at the same place (CUDA graphs).

A step is known by the size of the frame, whether it is a keyframe, and what is carried so far: a video's first frames
carry less than later ones. Each such step is recorded when it comes up for the first time, over one static memory that
all of them share.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mila.errors import first_line
from mila.video_model import ResumableStream, Stream

Step = Callable[[], dict[str, Tensor]]
"""A step over static memory: gives predictions, which stay where they are."""

Record = Callable[[Step, Step], tuple[Callable[[], None], dict[str, Tensor]]]
"""Records a step: from one that may be run as a rehearsal, and the one to record, to its replay and its predictions."""


@dataclass
class _Memory:
    """What all recorded steps of a size share: the frame, and what is carried, by name."""

    frame: Tensor
    carried: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class _Recording:
    replay: Callable[[], None]
    predictions: dict[str, Tensor]
    carries: frozenset[str]


_Key = tuple[torch.Size, bool, frozenset[str]]


class Recorder:
    """The recordings of a model. Streams may take turns: what one carries is put aside while another one is stepped.

    Args:
        new_stream: makes a fresh stream of the model.
        interval: keyframe interval K.
        record: how.

    Attributes:
        failure: why a recording failed, if one has; all streams then go on without.
    """

    def __init__(self, new_stream: Callable[[], ResumableStream], interval: int, record: Record) -> None:
        self._new_stream, self.interval, self._record = new_stream, interval, record
        self._memories: dict[torch.Size, _Memory] = {}
        self._recordings: dict[_Key, _Recording] = {}
        self._latest: RecordedStream | None = None
        self.failure: str | None = None

    def stream(self) -> Stream:
        """A fresh stream."""
        return self._new_stream() if self.failure is not None else RecordedStream(self)

    def switch(self, stream: RecordedStream) -> None:
        """Make static memory that of a stream, if it is another one's."""
        if stream is self._latest:
            return
        if self._latest is not None and self._latest.size is not None:
            held = self._memories[self._latest.size].carried
            self._latest.aside = {name: held[name].clone() for name in self._latest.names}
        for name, tensor in stream.aside.items():
            assert stream.size is not None
            self._memories[stream.size].carried[name].copy_(tensor)
        stream.aside = {}
        self._latest = stream

    def plain(self, size: torch.Size, names: frozenset[str], frames: int) -> ResumableStream:
        """A stream without recordings that goes on where a recorded one stands."""
        stream = self._new_stream()
        held = self._memories[size].carried if names else {}
        stream.resume({name: held[name].clone() for name in names}, frames)
        return stream

    def recording(self, key: _Key, frame: Tensor) -> _Recording | None:
        """The recording of a step, made now if it is new; None where that failed, which one warning says."""
        if key not in self._recordings:
            if self.failure is not None:
                return None
            try:
                self._recordings[key] = self._make(key, frame)
            except Exception as error:  # drivers, libraries and kernels have errors of their own
                self.failure = first_line(error)
                warnings.warn(
                    f"a step of the optimised stream could not be recorded ({self.failure}); it goes on without "
                    "recordings, which gives the same predictions, but later",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return None
        return self._recordings[key]

    def put(self, frame: Tensor) -> None:
        """Copy a frame to where the recordings look for it."""
        self._memories[frame.shape].frame.copy_(frame)

    def _make(self, key: _Key, frame: Tensor) -> _Recording:
        size, keyframe, names = key
        memory = self._memories.setdefault(size, _Memory(frame.clone()))
        memory.frame.copy_(frame)

        def run() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            stream = self._new_stream()
            stream.resume({name: memory.carried[name] for name in sorted(names)}, 0 if keyframe else 1)
            predictions = stream.step(memory.frame)
            return predictions, dict(stream.carried())

        _, after = run()
        for name, tensor in after.items():
            memory.carried.setdefault(name, torch.empty_like(tensor))

        def step() -> dict[str, Tensor]:
            predictions, carried = run()
            _store(carried, memory.carried)
            return predictions

        replay, predictions = self._record(lambda: run()[0], step)
        return _Recording(replay, predictions, frozenset(after))


def _store(new: Mapping[str, Tensor], static: Mapping[str, Tensor]) -> None:
    """Put what is carried into static memory; what stands there already stays, and what only moves is saved first."""
    changed = {name: tensor for name, tensor in new.items() if tensor is not static[name]}
    pointers = {tensor.data_ptr() for tensor in static.values()}
    saved = {name: tensor.clone() if tensor.data_ptr() in pointers else tensor for name, tensor in changed.items()}
    for name, tensor in saved.items():
        static[name].copy_(tensor)


class RecordedStream:
    """A stream that replays recordings.

    Attributes:
        size: of its frames, once there is one.
        names: of what it carries.
        aside: what it carries, while static memory is another stream's.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.size: torch.Size | None = None
        self.names: frozenset[str] = frozenset()
        self.aside: dict[str, Tensor] = {}
        self._frames = 0
        self._plain: Stream | None = None

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        """See `Stream.step`.

        Raises:
            ValueError: a frame of another size than those before it.
        """
        recorder = self._recorder
        if self._plain is not None:
            return self._plain.step(frame)
        if self.size not in (None, frame.shape):
            raise ValueError(f"frames of a video have one size, {list(self.size or ())}, and not {list(frame.shape)}")
        recorder.switch(self)
        self.size = frame.shape
        key = (frame.shape, self._frames % recorder.interval == 0, self.names)
        recording = recorder.recording(key, frame)
        if recording is None:
            self._plain = recorder.plain(frame.shape, self.names, self._frames)
            return self._plain.step(frame)
        recorder.put(frame)
        recording.replay()
        self.names = recording.carries
        self._frames += 1
        return {name: prediction.clone() for name, prediction in recording.predictions.items()}
