"""The parts of `nox -s bench` that another benchmark measures: its numbers, as ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from experiments.benchmarks import reading as bench_reading
from experiments.benchmarks.attention_contenders import unfold_attention
from experiments.benchmarks.sizes import ROWS, Sizes, model_of, take_turns
from experiments.costs.latency import LatencyRow, find_row
from experiments.costs.speed import Measured
from experiments.costs.timing import bench
from mila.attention import local_attention
from mila.cost.latency import Subject, measure
from mila.data.worlds.clips import WorldClips
from mila.data.worlds.rendering import World
from mila.streaming.optimise import optimise

_SLACK = 1.1
"""MILA's time may be so many times the share of operations that it executes."""

_WORLDS: tuple[World, ...] = ("street", "rooms")


def attention(sizes: Sizes, device: str) -> Iterator[Measured]:
    """Forward, and forward with backward, against unfolding; float32, C' = 36, C = 512, L = 5."""
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in sizes.maps:
        query, key = (torch.randn(batch, 36, height, width, generator=generator).to(device) for _ in range(2))
        value = torch.randn(batch, 512, height, width, generator=generator).to(device)
        for backward in (False, True):
            tensors = [x.clone().requires_grad_(backward) for x in (query, key, value)]

            def run(way: Callable[..., Tensor], tensors: list[Tensor] = tensors, backward: bool = backward) -> None:
                out = way(*tensors, 5)
                if backward:
                    torch.autograd.grad(out.sum(), tensors)

            calls = {"ours": lambda run=run: run(local_attention), "unfold": lambda run=run: run(unfold_attention)}
            seconds = take_turns(calls, sizes.rounds, device)
            where = f"{batch} x {height}x{width}, {'forward and backward' if backward else 'forward'}"
            yield Measured(f"unfold, {where}", 1e3 * seconds["unfold"], "ms")
            ours = seconds["ours"]
            yield Measured(f"local_attention, {where}", 1e3 * ours, "ms", ours / seconds["unfold"], "unfold")


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


def rendering(sizes: Sizes) -> Iterator[Measured]:
    """Milliseconds of one core a frame, of single frames and of clips of six."""
    height, width = sizes.rendered
    for world in _WORLDS:
        source = WorldClips(world, "train", clips=2, height=height, width=width)
        source.clip(0, 1)  # what is computed once a process is not a frame's
        single = statistics.median(_seconds_a_frame(source, index, 1) for index in range(2))
        several = statistics.median(_seconds_a_frame(source, index, 6) for index in range(2))
        name = f"{world}, {height}x{width}"
        yield Measured(f"{name}, a clip of one frame", 1e3 * single, "ms of a core a frame")
        yield Measured(
            f"{name}, clips of six", 1e3 * several, "ms of a core a frame", several / single, "a clip of one frame"
        )


def _seconds_a_frame(source: WorldClips, index: int, length: int) -> float:
    start = time.process_time()
    source.clip(index, length)
    return (time.process_time() - start) / length


def reading(sizes: Sizes, folder: Path, console: Console) -> Iterator[Measured]:
    """See `experiments.benchmarks.reading`."""
    if not sizes.read_batch:
        return
    for root in bench_reading.export_worlds(folder, sizes.read_batch, console):
        packed = folder / "packed" / root.name
        for times in bench_reading.measure(root, packed, sizes.read_batch, sizes.rounds, console):
            name = f"{times.title}, {times.height}x{times.width}, {times.batch}"
            yield Measured(f"{name}, decoded", 1e3 * times.decoding, "ms a batch")
            ratio = times.packed / times.decoding
            yield Measured(f"{name}, packed", 1e3 * times.packed, "ms a batch", ratio, "decoding")
