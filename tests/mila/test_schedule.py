"""How long and how fast: steps, rates, the last epochs."""

from __future__ import annotations

from typing import Any

import pytest

from mila.schedule import Part, one_part

DECAYS: tuple[Any, ...] = ("none", "cosine", "step")


def test_the_rate_falls_as_the_schedule_says() -> None:
    rates = {decay: [Part(1, lr=1.0, decay=decay).rate(step, 10) for step in range(10)] for decay in DECAYS}
    assert rates["none"] == [1.0] * 10
    assert rates["step"] == [1.0] * 8 + [0.1] * 2
    assert rates["cosine"][0] == 1.0
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)
    assert one_part(50, batch=4).last_epochs(2975, 10) == list(range(41, 51))
    assert one_part(2.5, batch=4).last_epochs(40, 10) == [1, 2]


def test_the_papers_schedule_is_the_default() -> None:
    schedule = Part(epochs=50)
    assert (schedule.batch, schedule.lr, schedule.betas) == (4, 1e-4, (0.9, 0.99))
    assert schedule.steps(795) == 50 * 198
    assert schedule.rate(0, 100) == schedule.rate(99, 100) == 1e-4
    cosine = Part(epochs=1, decay="cosine")
    assert cosine.rate(0, 100) == 1e-4
    assert cosine.rate(50, 100) == pytest.approx(5e-5)
