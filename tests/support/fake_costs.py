"""Costs, memory and times that nobody counted or measured, for the tests of their pages."""

from __future__ import annotations

from experiments.costs.latency import LatencyRecord, LatencyRow
from experiments.costs.values import Cell, Reading, RowCost, RowMemory, RowSplit
from mila.cost.conventions import Cost, Share
from mila.cost.latency import Latency, Times
from mila.cost.memory import MemoryUse
from mila.video_model import Part
from reports.published.numbers import PublishedCell

NASTY = "<b>&"

CELLS = [
    Cell(2, "D101-MultiTask", "GFLOPs", "256x512", PublishedCell("93"), 93.26, 134.0),
    Cell(
        2, "MTAN*", "GFLOPs", "256x512", PublishedCell("161"), 150.49, 191.0, (Reading(NASTY, 191.5),), "10.5 lacking"
    ),
    Cell(7, "ila", "GFLOPs", "256x512", PublishedCell("0.2"), 0.34, 0.385),
    Cell(7, "ila", "convolutions", "256x512", PublishedCell("1"), 1, 1),
    Cell(7, "ila", "GFLOPs", "1024x2048", PublishedCell("5.4"), 5.436, 5.955),
]


def cost(average: float) -> Cost:
    return Cost(2e9 * average, 0.75e9 * average, 1e9 * average, 83_800_000, 200, {})


def split(encoder: tuple[float, float], propagation: tuple[float, float], decoders: tuple[float, float]) -> Cost:
    """Keyframe and other frame of each part, in GFLOPs; K = 5."""
    parts: dict[Part, tuple[float, float]] = {"encoder": encoder, "propagation": propagation, "decoders": decoders}
    shares = {
        name: Share(1e9 * key, 1e9 * other, 1e9 * (key + 4 * other) / 5, 1, 1) for name, (key, other) in parts.items()
    }
    keyframe = sum(share.keyframe for share in shares.values())
    non_keyframe = sum(share.non_keyframe for share in shares.values())
    average = sum(share.average for share in shares.values())
    return Cost(keyframe, non_keyframe, average, 3, 3, shares)


COSTS = [RowCost("table4", "Global", None, 5, cost(70.19), cost(88.01))]
SPLITS = [
    RowSplit("table2", "D101-MultiTask", 1, split((90.0, 90.0), (0.0, 0.0), (40.5, 40.5))),
    RowSplit("table2", f"MILA {NASTY}", 5, split((100.0, 25.0), (0.0, 1.25), (38.0, 38.0))),
]
MEMORIES = [RowMemory("table2", "MILA (ours)", MemoryUse(335.3, 81.9, 79.8, 18.8))]


def times(milliseconds: float) -> Times:
    return Times(milliseconds / 1e3, 0.9 * milliseconds / 1e3, 1.2 * milliseconds / 1e3, 9)


def record(profile: str = "quick", energy: float | None = None) -> LatencyRecord:
    def row(name: str, gflops: float, stream: float, interval: int) -> LatencyRow:
        other = times(stream / 2) if interval > 1 else None
        latency = Latency(times(2 * stream), other, times(stream), energy)
        return LatencyRow("table2", name, name, 64, 128, interval, gflops, gflops, latency)

    rows = (row("D101-MultiTask", 0.1, 10.0, 1), row("MTAN*", 0.2, 20.0, 1), row("MILA", 0.08, 12.5, 5))
    machine = {"processor": f"A processor {NASTY}", "threads": 2, "torch": "2.6", "commit": "0123", "device": "cpu"}
    return LatencyRecord(profile, "cpu", 9, 1, 10, "none here", 0.5, "2026-01-02T03:04:05+00:00", machine, rows)
