"""The parts of `nox -s bench` that another benchmark measures: its numbers, as ratios."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from rich.console import Console

from experiments.benchmarks.attention import compare
from experiments.benchmarks.attention_contenders import Case
from experiments.benchmarks.rendering import measure as render
from experiments.benchmarks.sizes import ROWS, Sizes, model_of
from experiments.benchmarks.taking_turns import copy_speed
from experiments.costs.latency import LatencyRow, find_row
from experiments.costs.speed import Measured
from experiments.costs.timing import bench
from mila.cost.latency import Subject, measure
from mila.streaming.optimise import optimise

_SLACK = 1.1
"""MILA's time may be so many times the share of operations that it executes."""

_STREET_MS, _STREET_PIXELS = 80.0, 256 * 512
"""What a frame of street of this size may take one core."""

_ROOT = Path(__file__).resolve().parents[2]


_PATIENCE = 0.05
"""Seconds; what takes a GPU longer is timed in one round."""
_FORWARD_MS = 0.03
"""What a forward pass at batch 1 may take a GPU."""


def attention(sizes: Sizes, device: str) -> Iterator[Measured]:
    """Ours against unfolding, C' = 36, C = 512, L = 5, forward and backward; see `experiments.benchmarks.attention`.

    On a GPU as it comes, channels first, and as models have it: replayed, channels last, in bfloat16, too.

    Raises:
        RuntimeError: ours fails.
    """
    speed, on_gpu = copy_speed(device), device == "cuda"
    ways = (
        [(torch.float32, False), (torch.float32, True), (torch.bfloat16, True)] if on_gpu else [(torch.float32, False)]
    )
    for (batch, height, width), (dtype, replay) in product(sizes.maps, ways):
        case = Case(height, width, 5, batch, 36, 512, dtype, device, channels_last=replay)
        patience = _PATIENCE if on_gpu else 2.0
        ours, unfold = compare(case, ("ours-auto", "unfold"), sizes.rounds, patience, speed, replay=replay)
        name = f"local_attention, {batch} x {height}x{width}" + (", replayed, channels last" if replay else "")
        name += ", bfloat16" if dtype == torch.bfloat16 else ""
        for what in ("forward", "with_backward"):
            times, theirs = getattr(ours, what).times, getattr(unfold, what).times
            if times is None:
                raise RuntimeError(f"{name}, {what}: {getattr(ours, what).failed}")
            ratio = times.median / theirs.median if theirs else None  # unfolding may have run out of memory
            most = 1 / 8 if on_gpu and what == "with_backward" and batch == 1 else None
            where = what.replace("_", " ")
            yield Measured(f"{name}, {where}", 1e3 * times.median, "ms", ratio, "unfold", ratio and most)
            if on_gpu and what == "forward" and batch == 1:
                yield Measured(f"{name}, forward by itself", 1e3 * times.median, "ms", most=_FORWARD_MS)
        if ours.of_a_copy is not None:
            times_a_copy = f"{name}, forward: times what a copy of its maps takes"
            yield Measured(times_a_copy, 1 / ours.of_a_copy, "x", most=2.5 if on_gpu and batch > 1 else None)


def latency(sizes: Sizes, device: str) -> Iterator[Measured]:
    """Plain and optimised streams of `ROWS`, and how much of what MILA saves in operations it saves in time."""
    for grid in sizes.grids:
        rows = tuple(row for row in grid.rows if row.published in ROWS)
        record = bench([replace(grid, rows=rows)], sizes.networks, device, rounds=sizes.rounds, frames=sizes.frames)
        for row in record.rows:
            yield from _streams(row, device)
        deep, ours = (find_row(record.rows, grid.name, name) for name in ROWS)
        if deep is None or ours is None:
            continue
        most = _SLACK * ours.complete_gflops / deep.complete_gflops
        for how in ("plain", "optimised"):
            first, second = (row.optimised if how == "optimised" else row.latency for row in (ours, deep))
            if first is not None and second is not None:
                yield Measured(
                    f"{_where(ours)}, {how}: share of {deep.label}'s time",
                    1e3 * first.stream.median,
                    "ms a frame",
                    first.stream.median / second.stream.median,
                    f"{deep.label}, {how}",
                    most if how == "optimised" else None,
                )


def _where(row: LatencyRow) -> str:
    return f"{row.label}, {row.height}x{row.width}"


def _streams(row: LatencyRow, device: str) -> Iterator[Measured]:
    for how, latency in (("plain", row.latency), ("optimised", row.optimised)):
        if latency is None:
            continue
        is_fast = how == "optimised"
        yield Measured(
            f"{_where(row)}, {how}",
            1e3 * latency.stream.median,
            "ms a frame",
            latency.stream.median / row.latency.stream.median if is_fast else None,
            "plain" if is_fast else "",
            0.5 if is_fast and device == "cuda" and row.published == ROWS[0] else None,
        )
        if latency.worst is not None:
            yield Measured(f"{_where(row)}, {how}, worst frame", 1e3 * latency.worst.median, "ms")
        if latency.energy is not None:
            yield Measured(f"{_where(row)}, {how}, energy", latency.energy, "J a frame")


def branches(sizes: Sizes, device: str) -> Iterator[Measured]:
    """The two ways to run an optimised MILA's branches."""
    for grid in sizes.grids:
        model = model_of("MILA", sizes, grid).to(device).eval()
        height, width = sizes.networks.size(model.suite)
        frame = torch.randn(1, 3, height, width, device=device)
        subjects = {
            name: Subject(optimise(model, stacked=stacked), frame) for name, stacked in (("one", True), ("each", False))
        }
        found = measure(subjects, rounds=sizes.rounds, frames=sizes.frames)
        one, each = (found[name].stream.median for name in ("one", "each"))
        name = f"MILA, {len(model.suite.tasks)} branches, {height}x{width}"
        yield Measured(f"{name}, one after the other", 1e3 * each, "ms a frame")
        yield Measured(f"{name}, in one launch", 1e3 * one, "ms a frame", one / each, "one after the other")


def rendering(sizes: Sizes, console: Console) -> Iterator[Measured]:
    """Single frames and clips of six, see `experiments.benchmarks.rendering`."""
    height, width = sizes.rendered
    cases = [(world, height, width, length, 1) for world in ("street", "rooms") for length in (1, 6)]
    single = 0.0
    for row in render({"here": _ROOT}, cases, sizes.rounds, console):
        milliseconds, is_street = row["ms"]["here"], row["world"] == "street"
        name = f"{row['world']}, {height}x{width}, clips of {row['length']}"
        if row["length"] == 1:
            single = milliseconds
            most = _STREET_MS if is_street and height * width == _STREET_PIXELS else None
            yield Measured(name, milliseconds, "ms of a core a frame", most=most)
        else:
            yield Measured(name, milliseconds, "ms of a core a frame", milliseconds / single, "a single frame")


def reading(sizes: Sizes, folder: Path, console: Console) -> Iterator[Measured]:
    """See `experiments.benchmarks.reading`."""
    if not sizes.read_batch:
        return
    from experiments.benchmarks import reading as bench_reading  # needs what writes .mat files, which others do not

    for root in bench_reading.export_worlds(folder, sizes.read_batch, console):
        packed = folder / "packed" / root.name
        for times in bench_reading.measure(root, packed, sizes.read_batch, sizes.rounds, console):
            name = f"{times.title}, {times.height}x{times.width}, {times.batch}"
            yield Measured(f"{name}, decoded", 1e3 * times.decoding, "ms a batch")
            ratio = times.packed / times.decoding
            yield Measured(f"{name}, packed", 1e3 * times.packed, "ms a batch", ratio, "decoding")
