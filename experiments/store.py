"""One folder a stage, named by the hash of what it is; the state of a stage is read off the disk.

results/store/<kind>/<hash>/
    stage.json      what it is            record.json     what came out (written last: the stage is done)
    error.txt       why it failed         progress.json   how far it is
    lock            held while it runs    and whatever else the stage keeps (model.pt, pictures.npz, ...)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from experiments.stages import Data, Stage
from mila.data.packed import PackedClips
from mila.files import write_json, write_text

State = Literal["done", "failed", "waiting"]


@dataclass(frozen=True)
class Record:
    """What a finished stage left.

    Attributes:
        stage: its description (configuration, code, needs) and title.
        result: what it computed, by kind of stage.
        seconds: time spent on it, interrupted attempts included.
        finished: when, ISO 8601 with time zone.
        environment: where.
        folder: its files.
    """

    key: str
    stage: dict[str, Any]
    result: dict[str, Any]
    seconds: float
    finished: str
    environment: dict[str, Any]
    folder: Path


class Store:
    """All stages' folders under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: Stage) -> Path:
        """Where a stage's files are."""
        return self.root / stage.kind / stage.key

    def state(self, stage: Stage) -> State:
        """`done`, `failed` (its last attempt raised), or `waiting` (never run, or interrupted)."""
        folder = self.folder(stage)
        if (folder / "record.json").is_file():
            return "done"
        return "failed" if (folder / "error.txt").is_file() else "waiting"

    def begin(self, stage: Stage) -> Path:
        """Make the folder, write the description, forget an earlier failure and what a kill left half-written."""
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".*"):
            unfinished.unlink()
        write_json(folder / "stage.json", {"title": stage.title, **stage.description()})
        (folder / "error.txt").unlink(missing_ok=True)
        return folder

    def lock(self, stage: Stage) -> FileLock:
        """Held by whoever works on the stage; the system lets go of it when its owner dies."""
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / "lock")

    def finish(self, stage: Stage, result: dict[str, Any], **about: Any) -> None:
        """Write the record; from here on the stage is done."""
        folder = self.folder(stage)
        write_json(folder / "record.json", {"result": result, **about})
        (folder / "progress.json").unlink(missing_ok=True)

    def fail(self, stage: Stage, reason: str) -> None:
        """Say why a stage broke; it is tried again by the next run."""
        write_text(self.folder(stage) / "error.txt", reason)

    def record(self, stage: Stage) -> Record:
        """A finished stage's record; `FileNotFoundError` where it is not finished."""
        folder = self.folder(stage)
        record = json.loads((folder / "record.json").read_text())
        about = json.loads((folder / "stage.json").read_text())
        return Record(
            key=stage.key,
            stage=about,
            result=record["result"],
            seconds=record["seconds"],
            finished=record["finished"],
            environment=record["environment"],
            folder=folder,
        )

    def clips(self, stage: Data) -> PackedClips:
        """The clips of a finished data stage: those that it packed, or the packed store that it found.

        Raises:
            UserError: they are gone or damaged.
        """
        source = stage.source.open() if stage.source.is_packed else None
        return source if isinstance(source, PackedClips) else PackedClips(self.folder(stage) / "clips")

    def earlier_seconds(self) -> dict[tuple[str, str], float]:
        """How long the latest finished stage of each (kind, title) took, whatever its code was; for forecasts."""
        latest: dict[tuple[str, str], tuple[str, float]] = {}
        for path in self.root.glob("*/*/record.json"):
            try:
                record, about = json.loads(path.read_text()), json.loads((path.parent / "stage.json").read_text())
                name = (about["kind"], about["title"])
                latest[name] = max(latest.get(name, ("", 0.0)), (record["finished"], record["seconds"]))
            except (OSError, ValueError, KeyError):
                continue  # a folder that is being written or removed has nothing to forecast from
        return {name: seconds for name, (_, seconds) in latest.items()}
