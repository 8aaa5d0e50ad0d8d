"""Records of the latency of models, as plain values, and the files that they lie in; `timing` makes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mila.common.files import write_json
from mila.errors import UserError

if TYPE_CHECKING:
    from mila.cost.latency import Latency

SHIPPED = Path(__file__).parents[1] / "shipped" / "latency"
"""Records that ship with the suite: its authors', on machines that a reader may not have."""


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
        latency: measured, of the model's own stream.
        optimised: the same of `mila.streaming.optimise`; None where that was not timed.
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
    optimised: Latency | None = None


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
        optimisation: what was done to the models whose `optimised` latency is given; empty where there is none.
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
    optimisation: str = ""

    @property
    def name(self) -> str:
        """Of its file, without ending."""
        return f"{self.profile}-{self.device}"


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
    optimised = row.get("optimised")
    return LatencyRow(
        **{**row, "latency": _latency(row["latency"]), "optimised": _latency(optimised) if optimised else None}
    )


def _latency(parts: dict[str, Any]) -> Latency:
    from mila.cost.latency import Latency, Times

    kinds = ("keyframe", "non_keyframe", "stream", "worst")
    times: dict[str, Any] = {kind: Times(**parts[kind]) if parts.get(kind) else None for kind in kinds}
    return Latency(**times, energy=parts["energy"])


def find_row(rows: Iterable[LatencyRow], grid: str, published: str) -> LatencyRow | None:
    """The row of a grid that answers a published one."""
    return next((row for row in rows if (row.grid, row.published) == (grid, published)), None)
