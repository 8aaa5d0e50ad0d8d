"""How often a training writes its checkpoint, by a clock of the test's own."""

from __future__ import annotations

import time

import pytest

from mila.common.pace import Pace


@pytest.mark.parametrize(
    ("writing", "size", "between"),
    [
        (0.001, 10**6, 15.0),  # a small model is written so often that a kill loses next to nothing
        (2.0, 400 * 10**6, 98.0),
        (3.8, 770 * 10**6, 186.2),
        (60.0, 12 * 10**9, 2940.0),
    ],
)
def test_checkpoints_take_under_two_percent_at_any_size(
    writing: float, size: int, between: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace, spent, ends = Pace(None, size), 0.0, list[float]()
    while now < 40_000:
        now += 0.5  # a step
        if pace.is_due():
            with pace.writing():
                now += writing
            spent += writing
            ends.append(now)
        assert spent <= 0.02 * now
    assert ends[-1] - ends[-2] == pytest.approx(between + writing, abs=0.6)


def test_what_the_last_one_took_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace(None, 1000)
    assert pace.seconds == 15
    with pace.writing():
        now += 10  # a slow network folder
    assert pace.seconds == pytest.approx(490)
    with pace.writing():
        now += 1
    assert pace.seconds == pytest.approx(49)
    assert Pace(0.0, 10**12).seconds == 0
