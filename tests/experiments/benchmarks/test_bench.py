"""`nox -s bench`, small and on the CPU: every part gives numbers, one that fails stops no other. Nothing is timed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.benchmarks import bench, checks
from experiments.benchmarks.bench import PARTS, Bench
from experiments.costs.speed import SHIPPED, Measured, read_speed
from mila import attention


@pytest.mark.slow
def test_all_parts_at_small_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = bench.main(["--device", "cpu", "--sizes", "small", "--results", str(tmp_path)])
    printed = capsys.readouterr()
    assert code == 0, printed.out
    (record,) = read_speed(tmp_path / "speed")
    assert (record.name, record.environment["device"]) == ("small-cpu", "cpu")
    assert [part.name for part in record.parts] == list(PARTS)
    assert not any(part.error for part in record.parts)
    assert [part.name for part in record.parts if not part.measured] == ["reading"]  # which small sizes leave out
    found = {part.name: part.measured for part in record.parts}
    assert all(one.holds for one in found["checks"])
    assert any("continued from a checkpoint" in one.name and one.value == 0 for one in found["checks"])
    assert [one.ratio is None for one in found["evaluation"]] == [True, False, True]
    assert [one.most is None for one in found["latency"] if one.name.endswith("time")] == [True, False]
    page = own_runs(tmp_path)
    assert page.count("<h3>") == len(PARTS)
    assert (tmp_path / "reports" / "speed.csv").read_text().count("\n") == 1 + sum(map(len, found.values()))
    assert "speed.html" in (tmp_path / "reports" / "index.html").read_text()


def own_runs(results: Path) -> str:
    """The page without what ships with the suite."""
    own, shipped, _ = (results / "reports" / "speed.html").read_text().partition("Ships with the suite")
    assert shipped
    return own


def parts(monkeypatch: pytest.MonkeyPatch, **measures: Any) -> None:
    monkeypatch.setattr(bench, "PARTS", {name: (f"About {name}", measure) for name, measure in measures.items()})


def good(_: Bench) -> Iterator[Measured]:
    yield Measured("a", 1.0, "ms")


def wrong(_: Bench) -> Iterator[Measured]:
    yield Measured("b", 0.5, "difference", most=0.1)


def broken(_: Bench) -> Iterator[Measured]:
    yield Measured("c", 2.0, "ms", 0.5, "d")
    raise RuntimeError("no kernel image is available\nfor execution on the device")


def small(results: Path, *words: str) -> int:
    return bench.main(["--device", "cpu", "--sizes", "small", "--results", str(results), *words])


def test_a_part_that_fails_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts(monkeypatch, checks=wrong, latency=broken, rendering=good)
    assert small(tmp_path) == 1
    (record,) = read_speed(tmp_path / "speed")
    errors = ["b differs by 0.5, more than 0.1", "RuntimeError: no kernel image is available", ""]
    assert [part.error for part in record.parts] == errors
    assert [len(part.measured) for part in record.parts] == [1, 1, 1]
    assert "Failed: checks, latency." in capsys.readouterr().out
    page = own_runs(tmp_path)
    assert page.count("<b>Failed:</b>") == 2
    assert "0.5 of d" in page


def test_some_parts_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts(monkeypatch, checks=wrong, rendering=good)
    assert small(tmp_path, "--parts", "rendering") == 0
    assert [part.name for part in read_speed(tmp_path / "speed")[0].parts] == ["rendering"]


def test_a_bar_that_is_missed_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts(monkeypatch, latency=wrong)
    assert small(tmp_path) == 0
    assert "<b>missed</b>" in own_runs(tmp_path)


def test_the_record_that_ships_stands_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts(monkeypatch, rendering=good)
    assert small(tmp_path) == 0
    shipped = read_speed(SHIPPED)
    assert [record.environment["device"] for record in shipped] == ["NVIDIA H100 80GB HBM3"]
    _, _, below = (tmp_path / "reports" / "speed.html").read_text().partition(own_runs(tmp_path))
    assert below.count("<h3>") == len(shipped[0].parts)
    assert "H100" not in (tmp_path / "reports" / "speed.csv").read_text()


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parts(monkeypatch, rendering=good)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench.main(["--device", "cuda", "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not list(tmp_path.iterdir())
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "quick-cpu.json").write_text(json.dumps({"parts": 3}))
    assert small(tmp_path) == 2
    error = capsys.readouterr().err
    assert "quick-cpu.json is no record of nox -s bench" in error
    assert "remove it" in error


def test_checks_find_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(one.holds for one in checks.attention("cpu", 8))
    real = attention.local_attention

    def off(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int) -> torch.Tensor:
        out = real(query, key, value, window)
        return out if query.dtype == torch.float64 else out * 1.05

    monkeypatch.setattr(checks, "local_attention", off)
    assert not any(one.holds for one in checks.attention("cpu", 8))
