"""Batches in the order of the steps, read by the caller or ahead by a thread."""

from __future__ import annotations

import threading

import pytest
import torch

from mila.batch_reader import Batch, BatchReader, View
from mila.data.clips import normalise
from mila.errors import UserError


def batch_of(step: int) -> Batch:
    frames = torch.full((1, 1, 3, 2, 2), step, dtype=torch.uint8)
    return Batch(frames, {"depth": torch.full((1, 1, 2, 2), float(step))}, (View(step % 3),))


@pytest.mark.parametrize("ahead", [False, True])
def test_every_step_gets_its_own_batch_and_is_read_once(ahead: bool) -> None:
    read = list[int]()

    def note(step: int) -> Batch:
        read.append(step)
        return batch_of(step)

    reader = BatchReader(note, ahead=ahead, pin=False)
    for step in range(5):
        batch = reader.batch(step, is_last=step == 4)
        frames, targets = batch.on("cpu")
        assert torch.equal(frames, normalise(batch_of(step).frames))
        assert targets["depth"].unique().tolist() == [step]
        assert batch.views == (View(step % 3),)
    reader.close()
    assert read == [0, 1, 2, 3, 4]


def test_the_next_is_read_while_the_present_one_is_in_use() -> None:
    second = threading.Event()

    def note(step: int) -> Batch:
        if step == 1:
            second.set()
        return batch_of(step)

    reader = BatchReader(note, ahead=True, pin=False)
    reader.batch(0, is_last=False)
    assert second.wait(60)
    reader.close()


def test_a_step_that_was_not_foreseen_is_read_anew() -> None:
    reader = BatchReader(batch_of, ahead=True, pin=False)
    reader.batch(0, is_last=False)
    assert reader.batch(7, is_last=False).frames.unique().tolist() == [7]
    assert reader.batch(8, is_last=True).frames.unique().tolist() == [8]
    reader.close()


@pytest.mark.parametrize("ahead", [False, True])
def test_a_damaged_clip_is_said_at_its_step(ahead: bool) -> None:
    def note(step: int) -> Batch:
        if step == 1:
            raise UserError("clip 7 is damaged")
        return batch_of(step)

    reader = BatchReader(note, ahead=ahead, pin=False)
    assert reader.batch(0, is_last=False).views == (View(0),)
    with pytest.raises(UserError, match="clip 7 is damaged"):
        reader.batch(1, is_last=False)
    reader.close()
