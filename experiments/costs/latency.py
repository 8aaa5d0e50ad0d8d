"""Latency of the models of grids at a profile's sizes: what is timed, and the record that it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch

from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE2
from experiments.models import build
from experiments.profiles import PROFILES, Profile
from experiments.runs import Runs, embedded_plan, finished_runs
from experiments.store import Store
from mila.common.files import write_json
from mila.common.versions import environment
from mila.cost.conventions import COMPLETE, PUBLISHED, count
from mila.cost.energy import find_meter
from mila.cost.latency import Latency, Subject, Times, measure
from mila.errors import UserError


@dataclass(frozen=True)
class LatencyRow:
    """A model and how long it takes.

    Attributes:
        grid, label: which row of which grid.
        published: the row's name in `published.csv`, or None.
        height, width: of the frames, pixels.
        interval: keyframe interval K.
        published_gflops, complete_gflops: of the network that is timed, at the frames that are timed, under
            `mila.cost.conventions.PUBLISHED` and `mila.cost.conventions.COMPLETE`.
        latency: measured.
    """

    grid: str
    label: str
    published: str | None
    height: int
    width: int
    interval: int
    published_gflops: float
    complete_gflops: float
    latency: Latency


@dataclass(frozen=True)
class LatencyRecord:
    """One run of the benchmark.

    Attributes:
        profile, device: `cpu` or `cuda`.
        rounds, warm_up, frames: see `mila.cost.latency.measure`.
        energy: what counted it, or why nothing did.
        load: processes that the machine was busy with when it began, on average over a minute; None where the system
            does not tell.
        finished: ISO 8601 with time zone.
        environment: machine, versions, threads, commit.
        rows: in the grids' order.
    """

    profile: str
    device: str
    rounds: int
    warm_up: int
    frames: int
    energy: str
    load: float | None
    finished: str
    environment: dict[str, Any]
    rows: tuple[LatencyRow, ...]

    @property
    def name(self) -> str:
        """Of its file, without ending."""
        return f"{self.profile}-{self.device}"


def bench(
    grids: Sequence[Grid],
    profile: Profile,
    device: str,
    *,
    rounds: int,
    frames: int,
    warm_up: int = 1,
    told: Callable[[int, int], object] | None = None,
) -> LatencyRecord:
    """Time every model of some grids, with random weights, which time does not depend on.

    Args:
        grids: the paper's tables.
        profile: sizes.
        device: `cpu` or `cuda`.
        rounds: see `mila.cost.latency.measure`, as for `frames`, `warm_up` and `told`.
        frames: of a whole stream.
        warm_up: rounds that do not count.
        told: called with (done, total).
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    subjects: dict[str, Subject] = {}
    rows: list[Callable[..., LatencyRow]] = []
    for grid in grids:
        plan = embedded_plan(grid, profile)
        height, width = profile.size(plan.suite)
        for row in plan.rows:
            if row.is_constant:
                continue
            train = row.evaluations[0][0].train
            torch.manual_seed(0)
            model = build(train.model, plan.suite, dict(train.arguments)).eval()
            model.for_inference()
            gflops = [count(model, height, width, convention).gflops for convention in (PUBLISHED, COMPLETE)]
            rows.append(
                partial(
                    LatencyRow,
                    grid=grid.name,
                    label=row.label,
                    published=row.published,
                    height=height,
                    width=width,
                    interval=model.keyframe_interval,
                    published_gflops=gflops[0],
                    complete_gflops=gflops[1],
                )
            )
            subjects[f"{grid.name} {row.label}"] = Subject(
                model.to(device), torch.randn(1, 3, height, width).to(device)
            )
    meter, energy = find_meter(device)
    latencies = measure(subjects, rounds=rounds, frames=frames, warm_up=warm_up, meter=meter, progress=told)
    return LatencyRecord(
        profile=profile.name,
        device=device,
        rounds=rounds,
        warm_up=warm_up,
        frames=frames,
        energy=energy,
        load=load,
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        environment=environment(device),
        rows=tuple(row(latency=latency) for row, latency in zip(rows, latencies.values(), strict=True)),
    )


def write_record(record: LatencyRecord, folder: Path) -> Path:
    """Write a record into `folder`, in place of an earlier one of the same profile and device."""
    path = folder / f"{record.name}.json"
    write_json(path, asdict(record))
    return path


def read_records(folder: Path) -> list[LatencyRecord]:
    """The records in a folder, by name; none where there is no folder.

    Raises:
        UserError: a file that is not one of this benchmark's.
    """
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> LatencyRecord:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return LatencyRecord(**{**record, "rows": tuple(_row(row) for row in record["rows"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no record of bench-latency ({error}); remove it.") from error


def _row(row: dict[str, Any]) -> LatencyRow:
    parts = row["latency"]
    times = {name: Times(**parts[name]) if parts[name] else None for name in ("keyframe", "non_keyframe", "stream")}
    return LatencyRow(**{**row, "latency": Latency(**times, energy=parts["energy"])})  # type: ignore[arg-type]


def find_row(rows: Iterable[LatencyRow], grid: str, published: str) -> LatencyRow | None:
    """The row of a grid that answers a published one."""
    return next((row for row in rows if (row.grid, row.published) == (grid, published)), None)


def timed_runs(store: Store, records: Iterable[LatencyRecord]) -> list[Runs]:
    """What is finished of Table 2, the table of Figure 1, in the profiles that were timed."""
    profiles = dict.fromkeys(record.profile for record in records)
    return [run for name in profiles for run in finished_runs(store, PROFILES[name], (TABLE2,))]
