"""Every item read once: workers change nothing, and a bug is not taken for a broken file."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from mila.common import processes
from mila.data.readers.cityscapes import Cityscapes
from mila.data.tools import integrity
from mila.data.tools.inspection import inspect
from tests.support.inspection import SMALL, city, cut, write_snippets


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    return write_snippets(tmp_path / "städte 1")


@pytest.mark.slow
def test_workers_change_nothing(cities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "POOL_FROM", 0.0)
    monkeypatch.setattr(integrity, "LARGEST_PART", 1)
    for item in (1, 3, 4):
        cut(city(cities, "leftImg8bit", item))
    steps: list[int] = []
    how = {**SMALL, "workers": 2}
    found = inspect(cities, **how, progress=lambda done, _: steps.append(done))
    assert steps == [1, 2, 3, 4, 5]
    assert len(found.problems) == 3
    assert replace(found, layout=None) == replace(inspect(cities, **SMALL), layout=None)  # type: ignore[arg-type]

    in_parts = processes.in_parts
    monkeypatch.setattr(integrity, "in_parts", lambda *how, **more: (part for part in [*in_parts(*how, **more)][::-1]))
    assert inspect(cities, **SMALL).problems == found.problems  # whichever part is done first
    monkeypatch.setattr(integrity, "in_parts", in_parts)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect(cities, **how, progress=stop)
    assert multiprocessing.active_children() == []


def test_a_bug_is_no_problem_of_the_data(cities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Cityscapes, "clip", fail)
    with pytest.raises(ZeroDivisionError):
        inspect(cities, **SMALL)
