"""What one run of all benchmarks measured, as plain values, and the file that it lies in; `nox -s bench` makes it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mila.common.files import write_json
from mila.errors import UserError

SHIPPED = Path(__file__).resolve().parents[1] / "shipped" / "speed"
"""Records that ship with the suite."""


@dataclass(frozen=True)
class Measured:
    """One number, and what it is compared with.

    Attributes:
        name: what was measured.
        value, unit: how much.
        ratio: of this number to another of the same run; None where there is no other.
        against: what that other number is of.
        most: the ratio, or where there is none the value, should be no more; None where nothing is demanded.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is what it should be; None where nothing is demanded."""
        return None if self.most is None else (self.value if self.ratio is None else self.ratio) <= self.most


@dataclass(frozen=True)
class Part:
    """What one benchmark of the run gave.

    Attributes:
        name, about: what it is.
        seconds: that it took.
        measured: in order; may be empty where it failed.
        error: why it failed; empty where it did not.
    """

    name: str
    about: str
    seconds: float
    measured: tuple[Measured, ...]
    error: str = ""


@dataclass(frozen=True)
class SpeedRecord:
    """One run.

    Attributes:
        device: `cpu` or `cuda`.
        sizes: name of the sizes, see `experiments.benchmarks.sizes`.
        load: processes that the machine was busy with when it began, on average over a minute; None where the system
            does not tell.
        finished: ISO 8601 with time zone.
        environment: machine, versions, threads, commit.
        parts: in order.
    """

    device: str
    sizes: str
    load: float | None
    finished: str
    environment: dict[str, Any]
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """Of its file, without ending."""
        return f"{self.sizes}-{self.device}"


def write_speed(record: SpeedRecord, folder: Path) -> Path:
    """Write a record into `folder`, in place of an earlier one of the same sizes and device."""
    path = folder / f"{record.name}.json"
    write_json(path, asdict(record))
    return path


def read_speed(folder: Path) -> list[SpeedRecord]:
    """The records in a folder, by name; none where there is no folder.

    Raises:
        UserError: a file that is not one of `nox -s bench`.
    """
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> SpeedRecord:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        parts = tuple(
            Part(**{**part, "measured": tuple(Measured(**one) for one in part["measured"])}) for part in values["parts"]
        )
        return SpeedRecord(**{**values, "parts": parts})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no record of nox -s bench ({error}); remove it.") from error
