"""`bench-attention`, tiny: the contenders agree, one that fails stands alone, the record; nothing is timed here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.benchmarks.attention import main
from experiments.benchmarks.attention_contenders import CONTENDERS, Attention, Case, same_region
from experiments.benchmarks.taking_turns import NotHereError, measure
from tests.support.attention_loop import per_pixel

CASE = Case(5, 6, 3, batch=2, embedding=3, channels=5, dtype=torch.float64, device="cpu")
SMALL = ("--device", "cpu", "--maps", "5x6", "--channels", "5", "--embedding", "3", "--repeats", "2")
EAGER = ["ours-auto", "ours-reference", "ours-band", "unfold", "masked-sdpa"]


def run(folder: Path, *words: str) -> dict[str, Any]:
    """The record of a small run."""
    assert main([*SMALL, "--results", str(folder), *words]) == 0
    (path,) = folder.glob("attention/*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.parametrize("name", EAGER)
def test_contenders_agree_with_a_loop(name: str) -> None:
    query, key, value = CASE.tensors()
    torch.testing.assert_close(CONTENDERS[name](CASE)(query, key, value), per_pixel(query, key, value, 3))


def test_natten_is_compared_where_its_window_does_not_meet_the_border() -> None:
    out = torch.zeros(1, 1, 7, 8)
    assert same_region("natten", out, 5).shape == (1, 1, 3, 4)
    assert same_region("unfold", out, 5).shape == out.shape


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_tiny_run_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = run(tmp_path, "--windows", "3")
    assert [row["contender"] for row in record["rows"]] == list(CONTENDERS)
    for row in record["rows"]:
        if row["contender"] in ("ours-triton", "natten"):
            assert row["forward"]["failed"].startswith("not here: ")
            continue
        assert row["forward"]["failed"] is None, row
        assert row["forward"]["times"]["count"] == 2
        assert row["ratio_forward"] > 0
        assert row["of_a_copy"] > 0
        flex = row["contender"] == "compiled-flex"
        assert row["with_backward"]["failed"] == ("not here: it has no gradients on a CPU" if flex else None)
    printed = capsys.readouterr().out
    assert "5x6, window 3, batch 1, cpu, float32" in printed
    assert "compiled-flex, with backward: not here: it has no gradients on a CPU" in printed


def test_the_record_says_what_ran_where(tmp_path: Path) -> None:
    record = run(tmp_path, "--windows", "3", "global", "--contenders", "ours-auto", "unfold", "--dtype", "bfloat16")
    assert record["environment"]["device"] == "cpu"
    assert {"commit", "torch", "triton", "threads", "processor"} <= set(record["environment"])
    assert record["options"]["dtype"] == "bfloat16"
    assert record["copy_bytes_a_second"] > 0
    cells = {(row["window"], row["contender"]): row for row in record["rows"]}
    assert cells[3, "unfold"]["ratio_forward"] == 1
    assert cells["global", "unfold"]["forward"]["failed"] == "not here: it has no global window"
    assert cells["global", "ours-auto"]["ratio_forward"] is None
    assert cells["global", "ours-auto"]["forward"]["peak"] > 0


def broken_when_made(_: Case) -> Attention:
    raise OSError("no compiler\nand more")


def broken_backward(_: Case) -> Attention:
    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if value.requires_grad:
            raise MemoryError
        return CONTENDERS["ours-band"](replace(CASE, window=3))(query, key, value)

    return run


def wrong(_: Case) -> Attention:
    return lambda _query, _key, value: value


def test_one_that_fails_says_so_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for contender in (broken_when_made, broken_backward, wrong):
        monkeypatch.setitem(CONTENDERS, contender.__name__, contender)
    names = ["broken_when_made", "broken_backward", "wrong", "ours-band", "unfold"]
    rows = run(tmp_path, "--windows", "3", "--contenders", *names)["rows"]
    assert rows[0]["forward"]["failed"] == rows[0]["with_backward"]["failed"] == "OSError: no compiler"
    assert rows[1]["forward"]["failed"] is None
    assert rows[1]["with_backward"]["failed"] == "MemoryError"
    assert rows[2]["forward"]["failed"].startswith("ValueError: its result differs by ")
    assert [row["with_backward"]["failed"] for row in rows[3:]] == [None, None]
    assert "broken_backward, with backward: MemoryError" in capsys.readouterr().out


def test_calls_take_turns_and_slow_ones_run_once() -> None:
    now, ran = 0.0, list[str]()

    def clock() -> float:
        return now

    def call(name: str, seconds: Iterator[float]) -> object:
        nonlocal now
        now += next(seconds)
        ran.append(name)
        if name == "failing" and ran.count("failing") == 4:
            raise NotHereError("no more")
        return None

    durations = {"quick": [99.0, 1, 9, 1, 3, 2], "slow": [9.0, 50, 9, 40], "failing": [1.0] * 4}
    calls = {name: partial(call, name, iter(left)) for name, left in durations.items()}
    found = measure(calls, "cpu", repeats=3, patience=10, clock=clock)
    assert ran[9:] == ["quick", "slow", "failing", "quick", "quick"]
    assert found["quick"].times is not None
    assert (found["quick"].times.median, found["quick"].times.count) == (2, 3)
    assert found["slow"].times is not None
    assert (found["slow"].times.median, found["slow"].times.count) == (40, 1)
    assert found["failing"].failed == "not here: no more"
    assert found["failing"].times is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--maps", "33"), "--maps takes sizes as 33x65, height first, not '33'."),
        (("--windows", "4"), "--windows takes odd numbers and 'global', not '4'."),
        (("--repeats", "0"), "--repeats takes a number from 1 up."),
        (("--contenders", "fast"), "--contenders: there is no 'fast'; there are: ours-auto, ours-reference, "),
    ],
)
def test_bad_options_are_said_in_a_sentence(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--device", "cpu", "--results", str(tmp_path), *words]) == 2
    assert f"error: {said}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
