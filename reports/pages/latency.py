"""The page of latency: how long every model takes on the machines at hand, and what of its saving is realised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from experiments.costs.latency import LatencyRecord, LatencyRow, find_row
from experiments.grids import ALL_GRIDS
from experiments.profiles import PROFILES
from experiments.runs import Runs
from mila.cost.latency import Latency, Times
from reports.csv_text import csv_text
from reports.files import update, update_all
from reports.pages.index import Card, refresh_index, write_card
from reports.plots.drawing import Figure
from reports.plots.figure1 import measured_figures, missing, over_gflops, over_latency
from reports.published.numbers import dataset_of, read_published
from reports.render import render

_REFERENCE = "D101-MultiTask"
_PAIRS = (
    ("MILA", "MTAN*"),
    ("MILA", "Cross-Stitch*"),
    ("MILA", "D101-MultiTask"),
    ("MILA w/o MF&TS", "D101-MultiTask"),
)
"""What the text says MILA saves against."""


@dataclass(frozen=True)
class LatencyLine:
    """A model, as text; times in ms with quartiles, empty where there is none.

    `numbers` are those by which the table is sorted, by column; empty where there is none.
    """

    label: str
    keyframe: tuple[str, str]
    non_keyframe: tuple[str, str]
    worst: tuple[str, str]
    stream: tuple[str, str]
    rate: str
    gflops: str
    gflops_saved: str
    time_saved: str
    energy: str
    numbers: dict[str, str]


@dataclass(frozen=True)
class Pair:
    """A saving in per cent: as printed, counted on the networks that were timed, and of their time.

    `realised` is of the plain streams; `optimised` is empty where that was not timed.
    """

    name: str
    published: str
    counted: str
    realised: str
    optimised: str


@dataclass(frozen=True)
class GridPart:
    """The models of a grid in a record: their own streams, and the optimised ones where they were timed."""

    title: str
    size: str
    lines: tuple[LatencyLine, ...]
    optimised: tuple[LatencyLine, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class RecordPart:
    """A record in the page."""

    record: LatencyRecord
    about: str
    grids: tuple[GridPart, ...]


@dataclass(frozen=True)
class LatencyPage:
    """All that the page shows.

    Attributes:
        parts: what was timed here, a part a record.
        shipped: what others timed on their machines, and ships with the suite.
        folder: name of the folder of plots.
        published: plots of the mIoU that the paper prints, and of the average over tasks that comes of its numbers.
        measured: the same of measured ones.
        missing: which plots are not there and why: sentences, of which every second piece is a command.
        costs: whether there is a page of costs.
    """

    parts: tuple[RecordPart, ...]
    shipped: tuple[RecordPart, ...]
    folder: str
    published: tuple[Figure, ...]
    measured: tuple[Figure, ...]
    missing: tuple[tuple[str, ...], ...]
    costs: bool


def write_latency(
    latencies: Sequence[LatencyRecord],
    runs: Sequence[Runs],
    counted: Mapping[str, float],
    out: Path,
    shipped: Sequence[LatencyRecord] = (),
) -> Path:
    """Write `latency.html`, its CSV file, plots and card into the folder `out`; returns the page's path.

    Args:
        latencies: what was timed.
        runs: finished ones, of any profiles, for the plots of measured accuracy.
        counted: GFLOPs as published of Table 2's rows.
        out: the folder.
        shipped: records that ship with the suite; in tables of their own, and in no plot.
    """
    path = out / "latency.html"
    over_time = (figure for record in latencies for figure in over_latency(record))
    page = LatencyPage(
        parts=tuple(map(_part, latencies)),
        shipped=tuple(map(_part, shipped)),
        folder=path.stem,
        published=(*over_gflops(counted), *over_time),
        measured=tuple(figure for record in latencies for figure in measured_figures(runs, record)),
        missing=tuple(tuple(sentence.split("`")) for sentence in missing(runs, latencies)),
        costs=(out / "costs.html").is_file(),
    )
    for figure in (*page.published, *page.measured):
        update_all(figure.files(out / page.folder))
    update(path.with_suffix(".csv"), to_csv(latencies, shipped))
    update(path, render("latency.html.j2", page))
    about = (
        f"Keyframes, non-keyframes and whole streams: {', '.join(f'{r.profile} on {r.device}' for r in latencies)}."
        if latencies
        else "Nothing is timed yet: nox -s bench-latency."
    )
    files = (("CSV", "latency.csv"),)
    write_card(path, Card(title="Latency", about=about, files=files, answers=("Figure 1",)))
    refresh_index(out)
    return path


def _part(record: LatencyRecord) -> RecordPart:
    return RecordPart(record, PROFILES[record.profile].about, _grids(record))


def _grids(record: LatencyRecord) -> tuple[GridPart, ...]:
    parts = []
    for name, group in groupby(record.rows, lambda row: row.grid):
        rows, grid = list(group), ALL_GRIDS[name]
        against = find_row(rows, name, _REFERENCE)
        size = f"{rows[0].height} × {rows[0].width} pixels, {len(grid.suite.tasks)} tasks"
        plain, fast = (against.latency, against.optimised) if against is not None else (None, None)
        lines = tuple(_line(row, row.latency, against, plain) for row in rows)
        optimised = tuple(_line(row, row.optimised, against, fast) for row in rows if row.optimised is not None)
        parts.append(GridPart(grid.heading, size, lines, optimised, _pairs(rows)))
    return tuple(parts)


def _line(row: LatencyRow, latency: Latency, against: LatencyRow | None, theirs: Latency | None) -> LatencyLine:
    """A row's plain or optimised latency, beside that of the row that savings are of."""
    saved = against is not None and theirs is not None and against is not row
    return LatencyLine(
        label=row.label,
        keyframe=_text(latency.keyframe),
        non_keyframe=_text(latency.non_keyframe),
        worst=_text(latency.worst),
        stream=_text(latency.stream),
        rate=_digits(1 / latency.stream.median),
        gflops=_digits(row.complete_gflops),
        gflops_saved=_saved(row.complete_gflops, against.complete_gflops) if saved and against else "–",
        time_saved=_saved(latency.stream.median, theirs.stream.median) if saved and theirs else "–",
        energy="–" if latency.energy is None else _digits(latency.energy),
        numbers={
            "keyframe": str(latency.keyframe.median),
            "other": "" if latency.non_keyframe is None else str(latency.non_keyframe.median),
            "worst": "" if latency.worst is None else str(latency.worst.median),
            "stream": str(latency.stream.median),
            "gflops": str(row.complete_gflops),
            "energy": "" if latency.energy is None else str(latency.energy),
        },
    )


def _text(times: Times | None) -> tuple[str, str]:
    if times is None:
        return "–", ""
    return _digits(1e3 * times.median), f"{_digits(1e3 * times.lower)} to {_digits(1e3 * times.upper)}"


def _digits(value: float) -> str:
    """Three significant digits, or the whole number where it has more."""
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def _saved(ours: float, theirs: float) -> str:
    return f"{100 * (1 - ours / theirs):.0f} %".replace("-", "−")


def _pairs(rows: Sequence[LatencyRow]) -> tuple[Pair, ...]:
    grid = ALL_GRIDS[rows[0].grid]
    printed = read_published(grid.table, dataset_of(grid))
    pairs = []
    for ours, theirs in _PAIRS:
        first, second = (find_row(rows, grid.name, name) for name in (ours, theirs))
        if first is None or second is None or "gflops" not in printed[ours]:
            continue
        pairs.append(
            Pair(
                f"{ours} against {theirs}",
                _saved(printed[ours]["gflops"].value, printed[theirs]["gflops"].value),
                _saved(first.complete_gflops, second.complete_gflops),
                _saved(first.latency.stream.median, second.latency.stream.median),
                _saved(first.optimised.stream.median, second.optimised.stream.median)
                if first.optimised and second.optimised
                else "",
            )
        )
    return tuple(pairs)


HEADER = (
    *("whose", "profile", "device", "machine", "table", "row", "height", "width", "K", "how", "what", "median_ms"),
    *("lower_quartile_ms", "upper_quartile_ms", "n", "gflops_as_published", "gflops_complete", "joules_a_frame"),
    *("commit", "finished"),
)


def to_csv(latencies: Sequence[LatencyRecord], shipped: Sequence[LatencyRecord] = ()) -> str:
    """The CSV file, one line a model, stream and kind of step; costs and energy stand with whole streams.

    `whose` is `here` for what was timed on the machine at hand, `shipped` for what came with the suite.
    """
    lines: list[tuple[object, ...]] = []
    for whose, records in (("here", latencies), ("shipped", shipped)):
        for record in records:
            for row in record.rows:
                lines += _csv_lines(whose, record, row)
    return csv_text(HEADER, lines)


def _csv_lines(whose: str, record: LatencyRecord, row: LatencyRow) -> Iterator[tuple[object, ...]]:
    machine = record.environment.get("device" if record.device == "cuda" else "processor", "")
    where = (whose, record.profile, record.device, machine, ALL_GRIDS[row.grid].table, row.label)
    for how, latency in (("plain", row.latency), ("optimised", row.optimised)):
        for what in ("keyframe", "non_keyframe", "worst", "stream"):
            times: Times | None = getattr(latency, what, None)
            if times is None or latency is None:
                continue
            numbers = (1e3 * times.median, 1e3 * times.lower, 1e3 * times.upper, times.count)
            costs = (row.published_gflops, row.complete_gflops, latency.energy) if what == "stream" else (None,) * 3
            made = (record.environment.get("commit", ""), record.finished)
            yield (*where, row.height, row.width, row.interval, how, what, *numbers, *costs, *made)
