"""Benchmarks end as every other command does."""

from __future__ import annotations

import errno
from types import ModuleType

import pytest

from experiments.benchmarks import attention, latency, reading, rendering, runner

ALL = (attention, latency, reading, rendering, runner)
ONE_OPTION = {attention: "repeats", latency: "rounds", reading: "batch", rendering: "repeats", runner: "stages"}


@pytest.mark.parametrize("benchmark", ALL)
def test_bad_input_is_one_sentence(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    option = ONE_OPTION[benchmark]
    assert benchmark.main([f"--{option}", "0"]) == 2
    assert capsys.readouterr().err == f"error: --{option} takes a number from 1 up.\n"


@pytest.mark.parametrize("benchmark", ALL)
@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the same command starts anew."),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 1, "error: x: No space left on device; the same"),
    ],
)
def test_what_ends_it_is_one_line(
    benchmark: ModuleType,
    end: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object) -> int:
        raise end

    monkeypatch.setattr(benchmark, "_run", stop)
    assert benchmark.main([]) == code
    assert capsys.readouterr().err.strip().startswith(line)
