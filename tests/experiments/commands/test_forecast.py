"""What is said before a run: stages, space, and time as far as it is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.commands.forecast import Forecast, duration, forecast
from experiments.commands.run import main
from experiments.space import Space
from experiments.stages import in_order
from experiments.store import Store
from tests.support.pages import blocks
from tests.support.paths import ROOT
from tests.support.smoke_plans import smoke_plan


def test_it_says_space_and_time_and_that_the_disk_is_too_small() -> None:
    known = Forecast(51, 47, 2400.0, 47, Space(3_000_000, 1_000_000), 5_000_000)
    assert known.sentences(2) == (
        "47 of 51 stages would run; they need 3.0 MB of disk, and up to 1.0 MB more while they run (5.0 MB are free). "
        "By earlier runs they take about 20 minutes."
    )
    part = Forecast(51, 47, 30.0, 40, Space(3_000_000), 2_000_000)
    assert part.sentences(1, "are to be run") == (
        "47 of 51 stages are to be run; they need 3.0 MB of disk (2.0 MB are free). That is more than is free: free "
        "some, or give --results on another disk. By earlier runs they take about 30 s, 7 stages that never ran apart."
    )
    assert Forecast(51, 0, 0.0, 0, Space(), 0).sentences(1) == "0 of 51 stages would run."


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (119, "119 s"), (150, "2 minutes"), (7200, "120 minutes"), (11000, "3.1 hours")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_done_needs_nothing(tmp_path: Path) -> None:
    stages = in_order([smoke_plan().test_data])
    store = Store(tmp_path / "nowhere" / "yet")
    before = forecast(stages, store, 1)
    assert (before.waiting, before.timed) == (1, 0)
    assert before.space.stays > 0
    assert before.free > 0


def test_a_method_that_cannot_be_built_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    method, _ = blocks(ROOT / "docs" / "your_own_method.md", "python")
    file = tmp_path / "method.py"
    file.write_text(method.replace("self.fast.channels", "self.fest.channels"), encoding="utf-8")
    words = ["--grid", "table2", "--profile", "smoke", "--method", str(file), "--results", str(tmp_path / "r")]
    assert main([*words, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}, line 33: AttributeError")
    assert "(while its size was found)" in error


@pytest.mark.slow
def test_the_papers_networks_come_with_hours_on_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--grid", "table2", "--profile", "reference", "--rows", "D101-MultiTask", "--results", str(tmp_path / "r")]
    assert main([*words, "--dry-run"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "on an H100, by the steps that were measured on one." in printed
    assert "GB of disk" in printed
    assert not (tmp_path / "r").exists()
