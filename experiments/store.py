"""One folder a stage, named by the hash of what it is; the state of a stage is read off the disk.

results/store/store.json                  the store's format
results/store/<kind>/<hash>/
    stage.json      what it is            record.json     what came out (written last: the stage is done)
    error.txt       why it failed         progress.json   how far it is
    log.txt         what happened when    lock            held while it runs
    and whatever else the stage keeps (model.pt, pictures.npz, ...)

All of it is JSON, text, NumPy arrays and tensors: reading a store never runs anything that it contains.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from experiments.stage_files import Files, damaged_file
from experiments.stages import Data, Stage
from mila.common.files import TOO_MANY_FILES, not_opened, write_json, write_text
from mila.common.locks import ProcessLock
from mila.errors import UserError

if TYPE_CHECKING:
    from mila.data.packed import PackedClips  # needs PyTorch, which records do not

State = Literal["done", "failed", "damaged", "waiting"]

_Version = tuple[int, int, int]  # of a file: when it was written, its size, which file it is

FORMAT = 2
"""Raise it with every change of what the files of a stage say."""


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
        files: what they were when it was finished, see `experiments.stage_files`.
    """

    key: str
    stage: dict[str, Any]
    result: dict[str, Any]
    seconds: float
    finished: str
    environment: dict[str, Any]
    folder: Path
    files: Files = field(default_factory=dict)


class DamagedRecordError(UserError):
    """A record, or a file that it is about, is not what was written."""


class Store:
    """All stages' folders under `root`.

    Raises:
        UserError: another version of the suite wrote what is there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[tuple[str, str], Path] = {}
        self._records: dict[Path, tuple[_Version, Record | DamagedRecordError]] = {}
        about = root / "store.json"
        try:
            found = json.loads(about.read_text())["format"]
        except (FileNotFoundError, NotADirectoryError):
            found = 1 if any(root.glob("*/*/stage.json")) else FORMAT
        except OSError as error:
            raise not_opened(about, error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{about} cannot be read ({error}); move {root} away, or give another --results."
            ) from error
        if found != FORMAT:
            raise UserError(
                f"{root} was written by another version of the suite (format {found}, this one has {FORMAT}); move it "
                "away, or give another --results."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Workers are sent no records: they read what they need."""
        return {**vars(self), "_folders": {}, "_records": {}}

    def folder(self, stage: Stage) -> Path:
        """Where a stage's files are."""
        name = (stage.kind, stage.key)
        if name not in self._folders:
            self._folders[name] = self.root / stage.kind / stage.key
        return self._folders[name]

    def state(self, stage: Stage) -> State:
        """`done`, `damaged` (not what was written), `failed` (its last attempt raised), or `waiting`."""
        try:
            return "damaged" if isinstance(self._read_cached(stage), DamagedRecordError) else "done"
        except (FileNotFoundError, NotADirectoryError):
            return _unfinished(self.folder(stage))

    @staticmethod
    def state_of(folder: Path) -> State:
        """The state of the stage in `folder`, read anew."""
        try:
            record, _ = _read(folder)
        except (FileNotFoundError, NotADirectoryError):
            return _unfinished(folder)
        except DamagedRecordError:
            return "damaged"
        return "done" if damaged_file(folder, record.get("files", {})) is None else "damaged"

    def begin(self, stage: Stage) -> Path:
        """Make the folder, write the description, forget an earlier failure and what a kill left half-written."""
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        if not (self.root / "store.json").exists():
            write_json(self.root / "store.json", {"format": FORMAT})
        for unfinished in folder.glob(".*"):
            unfinished.unlink()
        write_json(folder / "stage.json", {"title": stage.title, **stage.description()})
        (folder / "error.txt").unlink(missing_ok=True)
        return folder

    def lock(self, stage: Stage) -> FileLock:
        """Held by whoever works on the stage; the system lets go of it when its owner dies."""
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        return ProcessLock(folder / "lock")

    def is_locked(self, stage: Stage) -> bool:
        """Whether somebody works on the stage."""
        if not self.folder(stage).is_dir():
            return False
        with self.lock_folder(self.folder(stage)) as free:
            return not free

    @contextmanager
    def lock_folder(self, folder: Path) -> Iterator[bool]:
        """Hold the lock of a stage's folder if nobody else does; says whether it is held."""
        lock = ProcessLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def finish(self, stage: Stage, result: dict[str, Any], **about: Any) -> None:
        """Write the record; from here on the stage is done."""
        folder = self.folder(stage)
        record = {"result": result, **about}
        write_json(folder / "record.json", {**record, "checksum": _checksum(record)})
        (folder / "progress.json").unlink(missing_ok=True)

    def fail(self, stage: Stage, reason: str) -> None:
        """Say why a stage broke; it is tried again by the next run."""
        write_text(self.folder(stage) / "error.txt", reason)

    def record(self, stage: Stage) -> Record:
        """A finished stage's record; to be read, not changed: it is the same one until the file is another.

        Raises:
            FileNotFoundError: it is not finished.
            DamagedRecordError: the record is not what was written.
        """
        record = self._read_cached(stage)
        if isinstance(record, DamagedRecordError):
            raise record
        return record

    def _read_cached(self, stage: Stage) -> Record | DamagedRecordError:
        """Read a record, or return what was read before if the file is still the same."""
        folder = self.folder(stage)
        path = folder / "record.json"
        found = path.stat()
        version = (found.st_mtime_ns, found.st_size, found.st_ino)
        before = self._records.get(path)
        if before is not None and before[0] == version:
            return _with_files(before[1])
        record: Record | DamagedRecordError
        try:
            values, about = _read(folder)
        except DamagedRecordError as error:
            record = error
        else:
            record = Record(
                key=stage.key,
                stage=about,
                result=values["result"],
                seconds=values["seconds"],
                finished=values["finished"],
                environment=values["environment"],
                folder=folder,
                files=values.get("files", {}),
            )
        self._records[path] = (version, record)
        return _with_files(record)

    def clips(self, stage: Data) -> PackedClips:
        """The clips of a finished data stage: those that it packed, or the packed store that it found.

        Raises:
            UserError: they are gone or damaged.
        """
        from mila.data.packed import PackedClips

        source = stage.source.open() if stage.source.is_packed else None
        if isinstance(source, PackedClips):
            return source
        folder = self.folder(stage)
        return PackedClips(folder / "clips", remedy=f"delete {folder} and run again")

    def digest(self, stage: Stage, name: str) -> str | None:
        """SHA-256 of a file of a finished stage as its record says; None where there is no record, or it says none.

        Raises:
            DamagedRecordError: the record is not what was written.
        """
        try:
            record, _ = _read(self.folder(stage))
        except (FileNotFoundError, NotADirectoryError):
            return None
        digest: str | None = record.get("files", {}).get(name, {}).get("sha256")
        return digest

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


def _unfinished(folder: Path) -> State:
    return "failed" if (folder / "error.txt").is_file() else "waiting"


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def _with_files(record: Record | DamagedRecordError) -> Record | DamagedRecordError:
    """A record as long as the files that it is about are there."""
    if isinstance(record, DamagedRecordError):
        return record
    path = damaged_file(record.folder, record.files)
    return record if path is None else _damaged(path, record.folder)


def _damaged(path: Path, folder: Path) -> DamagedRecordError:
    return DamagedRecordError(
        f"{path} is not what was written there (edited, or damaged); delete {folder} to run the stage again."
    )


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A finished stage's record and description."""
    path = folder / "record.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        written = record.pop("checksum", None)
        intact = written == _checksum(record)
    except (ValueError, AttributeError, TypeError):
        intact = False
    except OSError as error:
        if error.errno in TOO_MANY_FILES:
            raise not_opened(path, error) from error
        raise
    if intact:
        path = folder / "stage.json"
        try:
            about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return record, about
        except OSError as error:
            if error.errno in TOO_MANY_FILES:
                raise not_opened(path, error) from error
        except ValueError:
            pass
    raise _damaged(path, folder)
