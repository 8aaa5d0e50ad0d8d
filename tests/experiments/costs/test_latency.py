"""Latency: turns, warm-up, medians and energy on a clock and meters of our own; the record; nothing is timed here."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from experiments.benchmarks import latency as bench_latency
from experiments.costs import latency
from experiments.costs.latency import LatencyRecord, find_row, read_records, write_record
from experiments.costs.timing import bench
from experiments.grids.multi_task import TABLE2
from experiments.profiles import SMOKE
from mila.cost.energy import NvmlMeter, RaplMeter, find_meter
from mila.cost.latency import Subject, measure, summarise
from mila.errors import UserError
from mila.tasks import CITYSCAPES
from mila.video_model import Stream, VideoModel


class Clock:
    """Seconds that pass only in the models below; and who ran."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def __call__(self) -> float:
        return self.now


class Counted(VideoModel):
    """Takes `slow` seconds on keyframes, `fast` in between, and once, at its first step of all, an hour."""

    def __init__(self, clock: Clock, name: str, interval: int, slow: float, fast: float = 0.0) -> None:
        super().__init__(CITYSCAPES, interval)
        self.clock, self.name, self.slow, self.fast = clock, name, slow, fast
        self.first = 3600.0
        self.graded: list[bool] = []

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        raise NotImplementedError

    def stream(self) -> Stream:
        model, place = self, iter(range(10**6))

        class _Stream:
            def step(self, frame: Tensor) -> dict[str, Tensor]:
                assert frame.shape == (1, 3, 4, 4)
                model.graded.append(torch.is_grad_enabled())
                seconds = model.fast if next(place) % model.keyframe_interval else model.slow
                model.clock.now += seconds + model.first
                model.first = 0.0
                model.clock.ran.append(model.name)
                return {}

        return _Stream()


def subject(model: VideoModel) -> Subject:
    return Subject(model, torch.zeros(1, 3, 4, 4))


def test_steps_streams_and_turns() -> None:
    clock = Clock()
    pair, single = Counted(clock, "pair", 3, 5.0, 1.0), Counted(clock, "single", 1, 4.0)
    progress: list[tuple[int, int]] = []
    found = measure(
        {"pair": subject(pair), "single": subject(single)},
        rounds=2,
        frames=4,
        clock=clock,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert found["pair"].keyframe.median == pytest.approx(5)
    assert found["pair"].keyframe.count == 2
    assert found["pair"].non_keyframe is not None
    assert found["pair"].non_keyframe.median == pytest.approx(1)
    assert found["pair"].non_keyframe.count == 4
    assert found["pair"].stream.median == pytest.approx((5 + 1 + 1 + 5) / 4)
    assert found["single"].non_keyframe is None
    assert found["single"].stream.median == pytest.approx(4)
    assert found["single"].energy is None
    # A round is 3 + 4 steps of the first and 1 + 4 of the second; one of the three rounds is warm-up.
    assert clock.ran == (["pair"] * 7 + ["single"] * 5) * 3
    assert progress == [(i, 6) for i in range(1, 7)]
    assert not any(pair.graded + single.graded)


def test_warm_up_does_not_count() -> None:
    clock = Clock()
    model = {"m": subject(Counted(clock, "m", 1, 2.0))}
    assert measure(model, rounds=1, frames=1, warm_up=0, clock=clock)["m"].keyframe.median == pytest.approx(3602)
    clock = Clock()
    model = {"m": subject(Counted(clock, "m", 1, 2.0))}
    assert measure(model, rounds=1, frames=1, clock=clock)["m"].keyframe.upper == pytest.approx(2)


@pytest.mark.parametrize(("rounds", "frames", "warm_up"), [(0, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_nothing_to_time_is_refused(rounds: int, frames: int, warm_up: int) -> None:
    with pytest.raises(ValueError, match="at least one round"):
        measure({}, rounds=rounds, frames=frames, warm_up=warm_up)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=30))
def test_summary_is_numpy_s(seconds: list[float]) -> None:
    times = summarise(seconds)
    expected = np.percentile(seconds, (25, 50, 75))
    assert (times.lower, times.median, times.upper) == pytest.approx(tuple(expected))
    assert times.median == pytest.approx(statistics.median(seconds))
    assert times.count == len(seconds)


class Watts:
    """A device of 3 W."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.begun = clock, 0.0

    def start(self) -> None:
        self.begun = self.clock.now

    def stop(self) -> float:
        return 3 * (self.clock.now - self.begun)


def test_energy_is_power_times_time() -> None:
    clock = Clock()
    models = {"m": subject(Counted(clock, "m", 2, 0.4, 0.2))}
    found = measure(models, rounds=1, frames=2, clock=clock, meter=Watts(clock))
    assert found["m"].energy == pytest.approx(3 * 0.3)


def package(folder: Path, name: str, value: int, most: int = 999) -> Path:
    folder.mkdir()
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{value}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    return folder


def test_rapl_adds_packages_and_wraps(tmp_path: Path) -> None:
    first = package(tmp_path / "intel-rapl:0", "package-0", 100)
    second = package(tmp_path / "intel-rapl:1", "package-1", 990)
    meter = RaplMeter([first, second])
    meter.start()
    (first / "energy_uj").write_text("150")
    (second / "energy_uj").write_text("10")
    assert meter.stop() == pytest.approx((50 + 20) / 1e6)


def test_rapl_is_found_by_its_packages(tmp_path: Path) -> None:
    package(tmp_path / "intel-rapl:0", "package-0", 1)
    package(tmp_path / "intel-rapl:0:0", "core", 1)
    package(tmp_path / "intel-rapl:1", "psys", 1)
    meter, about = find_meter("cpu", tmp_path)
    assert isinstance(meter, RaplMeter)
    assert about == "RAPL counters of 1 processor package"


def test_no_rapl_is_reported(tmp_path: Path) -> None:
    assert find_meter("cpu", tmp_path) == (None, "the system shows no energy counters of its processors (RAPL)")
    (package(tmp_path / "intel-rapl:0", "package-0", 1) / "energy_uj").write_text("not a number")
    meter, about = find_meter("cpu", tmp_path)
    assert meter is None
    assert "cannot be read" in about


def test_nvml_counts_millijoules(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter((7000, 9500))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: next(counts) + handle)
    meter = NvmlMeter(1)
    meter.start()
    assert meter.stop() == pytest.approx(2.5)


def test_no_nvml_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    meter, about = find_meter("cuda")
    assert meter is None
    assert about == "NVML does not report this GPU's energy (NVML Shared Library Not Found)"


@pytest.fixture(scope="module")
def record() -> LatencyRecord:
    """Two rows of Table 2, timed for once each."""
    rows = tuple(row for row in TABLE2.rows if row.published in ("D101-MultiTask", "MILA"))
    return bench([replace(TABLE2, rows=rows)], SMOKE, "cpu", rounds=1, frames=2)


def test_rows_of_a_record(record: LatencyRecord) -> None:
    single, ours = record.rows
    assert (single.published, ours.published) == ("D101-MultiTask", "MILA")
    assert (single.height, single.width, single.interval, ours.interval) == (32, 64, 1, 5)
    assert single.latency.non_keyframe is None
    assert ours.latency.non_keyframe is not None
    assert ours.latency.non_keyframe.count == 4
    assert 0 < single.published_gflops < single.complete_gflops < 0.02  # decoders are left out as published
    assert find_row(record.rows, "table2", "MILA") is ours
    assert find_row(record.rows, "table1", "MILA") is None


def test_a_record_is_read_as_it_was_written(record: LatencyRecord, tmp_path: Path) -> None:
    path = write_record(record, tmp_path / "latency")
    assert path.name == "smoke-cpu.json"
    assert read_records(tmp_path / "latency") == [record]
    assert read_records(tmp_path / "nothing") == []


def test_a_damaged_record_is_refused(record: LatencyRecord, tmp_path: Path) -> None:
    path = write_record(record, tmp_path)
    values = json.loads(path.read_text())
    del values["rows"][0]["latency"]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"smoke-cpu.json is no record of bench-latency .*; remove it"):
        read_records(tmp_path)


def test_the_command_writes_record_and_page(
    record: LatencyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def instead(grids: list[Any], profile: Any, device: str, **others: Any) -> LatencyRecord:
        asked.update(others, grids=[grid.name for grid in grids], profile=profile.name, device=device)
        return record

    monkeypatch.setattr(bench_latency, "bench", instead)
    monkeypatch.setattr(bench_latency, "gflops_as_published", lambda grid: {"MILA": 70.17} if grid is TABLE2 else {})
    words = ["--grids", "table2", "--profile", "smoke", "--device", "cpu", "--rounds", "4", "--results", str(tmp_path)]
    assert bench_latency.main(words) == 0
    assert (asked["grids"], asked["profile"], asked["device"]) == (["table2"], "smoke", "cpu")
    assert (asked["rounds"], asked["frames"]) == (4, 10)
    assert latency.read_records(tmp_path / "latency") == [record]
    page = (tmp_path / "reports" / "latency.html").read_text()
    assert "Profile smoke" in page
    assert "<code>nox -s reproduce-table2 -- --profile smoke</code>" in page
    assert "MILA,64.3,,,70.17,70," in (tmp_path / "reports" / "latency" / "figure1-gflops.csv").read_text()
    assert "latency.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--rounds", "0"], "error: --rounds takes a number from 1 up."),
        (["--threads", "0"], "error: --threads takes a number from 1 up."),
        (["--grids", "table77"], "error: there is no grid 'table77'"),
    ],
)
def test_bad_input(words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_latency.main([*words, "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(reason)
    assert not list(tmp_path.iterdir())
