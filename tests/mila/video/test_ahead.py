"""Reading ahead and writing behind: order, limits, errors and ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mila.video.ahead import Ahead, Behind


def test_items_come_in_order_and_few_are_read_ahead() -> None:
    read = list[int]()

    def items() -> Iterator[int]:
        for number in range(20):
            read.append(number)
            yield number

    taken = 0
    with Ahead(items(), 2) as ahead:
        for taken, number in enumerate(ahead, 1):
            assert number == taken - 1
            assert len(read) <= taken + 3  # two in the queue, and one that waits for a place
    assert taken == 20


def test_what_the_items_raise_is_raised_where_they_are_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    taken = list[int]()
    with Ahead(items()) as ahead, pytest.raises(ValueError, match="broken"):
        taken.extend(ahead)
    assert taken == [1]


def test_items_are_closed_in_their_own_thread_where_nobody_takes_them() -> None:
    closed_in = []

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed_in.append(threading.current_thread())

    with Ahead(items()) as ahead:
        assert next(iter(ahead)) == 0
    assert len(closed_in) == 1
    assert closed_in[0] is not threading.current_thread()
    assert not closed_in[0].is_alive()


def test_calls_are_made_in_order_and_all_of_them() -> None:
    done = list[int]()
    with Behind(2) as behind:
        for number in range(50):
            behind.call(done.append, number)
            assert number - len(done) <= 3
    assert done == list(range(50))


def test_what_a_call_raises_is_raised_by_a_later_one() -> None:
    def fail(number: int) -> None:
        raise OSError(f"no space for {number}")

    with Behind(1) as behind:
        behind.call(fail, 0)
        with pytest.raises(OSError, match="no space for 0"):
            behind.call(fail, 1)


def test_what_the_last_call_raises_is_raised_at_the_end() -> None:
    def fail(number: int) -> None:
        raise OSError(f"no space for {number}")

    with pytest.raises(OSError, match="no space for 9"), Behind(4) as behind:
        behind.call(fail, 9)
