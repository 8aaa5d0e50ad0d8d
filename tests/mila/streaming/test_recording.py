"""Recorded steps: one static memory, a recording a kind of step, one stream at a time, and what happens on failure."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mila.model import MILA
from mila.streaming.optimise import optimise
from mila.streaming.recording import Step
from tests.support.fake_models import fake_model, fake_video


class Recorded:
    """Stands for CUDA graphs where there is no GPU; counts, and fails when told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.recordings = self.replays = 0
        self.fails_at = fails_at

    def __call__(self, rehearse: Step, step: Step) -> tuple[Callable[[], None], dict[str, Tensor]]:
        if self.recordings == self.fails_at:
            raise RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")
        self.recordings += 1
        static = {name: torch.full_like(prediction, torch.nan) for name, prediction in rehearse().items()}

        def replay() -> None:
            self.replays += 1
            for name, prediction in step().items():
                static[name].copy_(prediction)

        return replay, static


def check(model: MILA, record: Recorded, frames: Tensor) -> None:
    """Two videos, one after the other, are predicted as by the plain stream, and no prediction changes later."""
    optimised = optimise(model, "float32", stacked=True, record=record)
    for video in (frames, frames.flip(1)):
        plain, fast = model.stream(), optimised.stream()
        found = [fast.step(frame) for frame in video.unbind(1)]
        for frame, ours in zip(video.unbind(1), found, strict=True):
            with torch.no_grad():
                theirs = plain.step(frame)
            for task, prediction in theirs.items():
                torch.testing.assert_close(ours[task], prediction, rtol=1e-4, atol=1e-4)


def test_each_kind_of_step_is_recorded_once_and_every_frame_replayed() -> None:
    model, record = fake_model(MILA, slow=34), Recorded()
    check(model, record, fake_video(12))
    # the first keyframe, the next ones, a non-keyframe that knows a keyframe alone, and one that knows both
    assert record.recordings == 4
    assert record.replays == 24


@pytest.mark.parametrize("fails_at", range(4))
def test_a_recording_that_fails_is_said_once_and_the_video_goes_on(fails_at: int) -> None:
    model, record = fake_model(MILA, slow=34), Recorded(fails_at)
    with pytest.warns(RuntimeWarning, match="could not be recorded .CUDA error: operation not permitted.; it") as told:
        check(model, record, fake_video(12))
    assert len(told) == 1
    assert record.recordings == fails_at


@pytest.mark.parametrize("fails_at", [None, 3])
def test_streams_take_turns(fails_at: int | None) -> None:
    model, record = fake_model(MILA, slow=34), Recorded(fails_at)
    optimised = optimise(model, "float32", stacked=True, record=record)
    videos = (fake_video(7), fake_video(7).flip(1), fake_video(7, 32, 40))
    fast, plain = [optimised.stream() for _ in videos], [model.stream() for _ in videos]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if fails_at else "error", RuntimeWarning)
        for t in range(7):
            for video, ours, theirs in zip(videos, fast, plain, strict=True):
                with torch.no_grad():
                    expected = theirs.step(video[:, t])
                found = ours.step(video[:, t])
                for task, prediction in expected.items():
                    torch.testing.assert_close(found[task], prediction, rtol=1e-4, atol=1e-4)


def test_frames_of_a_video_have_one_size() -> None:
    optimised = optimise(fake_model(MILA, slow=34), "float32", record=Recorded())
    stream = optimised.stream()
    stream.step(fake_video(1)[:, 0])
    with pytest.raises(
        ValueError, match=r"frames of a video have one size, \[2, 3, 24, 32\], and not \[2, 3, 32, 40\]"
    ):
        stream.step(fake_video(1, 32, 40)[:, 0])
    optimised.stream().step(fake_video(1, 32, 40)[:, 0])  # another video may have another one
