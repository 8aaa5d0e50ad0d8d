"""The page of speed: everything that one run of all benchmarks measured, with ratios; a section a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.costs.speed import Measured, Part, SpeedRecord
from reports.csv_text import csv_text
from reports.files import update
from reports.pages.index import Card, refresh_index, write_card
from reports.render import render


@dataclass(frozen=True)
class SpeedLine:
    """A number, as text; `state` is `holds`, `missed` or empty."""

    name: str
    value: str
    unit: str
    ratio: str
    most: str
    state: str


@dataclass(frozen=True)
class SpeedPart:
    """A part of a run."""

    name: str
    about: str
    seconds: str
    lines: tuple[SpeedLine, ...]
    error: str


@dataclass(frozen=True)
class SpeedRun:
    """A run; `shipped`: not of here, but of the suite's authors."""

    record: SpeedRecord
    parts: tuple[SpeedPart, ...]
    shipped: bool


@dataclass(frozen=True)
class SpeedPage:
    """All that the page shows."""

    runs: tuple[SpeedRun, ...]


def write_speed_page(records: Sequence[SpeedRecord], out: Path, shipped: Sequence[SpeedRecord] = ()) -> Path:
    """Write `speed.html`, its CSV file and card into the folder `out`; returns the page's path.

    Args:
        records: of runs here.
        out: the folder of all pages.
        shipped: of other machines, to be shown below them.
    """
    path = out / "speed.html"
    runs = [SpeedRun(record, tuple(map(_part, record.parts)), shipped=False) for record in records]
    runs += [SpeedRun(record, tuple(map(_part, record.parts)), shipped=True) for record in shipped]
    update(path.with_suffix(".csv"), to_csv(records))
    update(path, render("speed.html.j2", SpeedPage(tuple(runs))))
    machines = tuple(dict.fromkeys(_machine(record) for record in records))
    about = "Attention, streams, training steps, scores, rendering and reading, each beside what it is compared with."
    write_card(path, Card(title="Speed", about=about, machines=machines, files=(("CSV", "speed.csv"),)))
    refresh_index(out)
    return path


def _part(part: Part) -> SpeedPart:
    return SpeedPart(part.name, part.about, f"{part.seconds:.0f}", tuple(map(_line, part.measured)), part.error)


def _line(one: Measured) -> SpeedLine:
    return SpeedLine(
        one.name,
        _digits(one.value),
        one.unit,
        "–" if one.ratio is None else f"{_digits(one.ratio)} of {one.against}",
        "–" if one.most is None else _digits(one.most),
        "" if one.holds is None else "holds" if one.holds else "missed",
    )


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _machine(record: SpeedRecord) -> str:
    return str(record.environment["device" if record.device == "cuda" else "processor"])


HEADER = (
    *("sizes", "device", "machine", "part", "what", "value", "unit", "ratio", "of", "at_most", "commit", "finished"),
)


def to_csv(records: Sequence[SpeedRecord]) -> str:
    """The CSV file, one line a number."""
    lines = [
        (
            *(record.sizes, record.device, _machine(record), part.name, one.name, one.value, one.unit),
            *(one.ratio, one.against, one.most, record.environment["commit"], record.finished),
        )
        for record in records
        for part in record.parts
        for one in part.measured
    ]
    return csv_text(HEADER, lines)
