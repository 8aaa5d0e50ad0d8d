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

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import Timeout

from experiments.records import DamagedRecordError, Record, damaged, identify, read_record
from experiments.stage_files import check_folder, damaged_arrays, damaged_file
from experiments.stages import Data, Stage, known_kinds
from mila.common.files import not_opened, write_json, write_text
from mila.common.locks import ProcessLock
from mila.common.stored_files import DamagedFileError, checksum, read_object
from mila.errors import UserError

if TYPE_CHECKING:
    from mila.data.packed import PackedClips  # needs PyTorch, which records do not

State = Literal["done", "failed", "damaged", "waiting"]

_Version = tuple[int, int, int]  # of a file: when it was written, its size, which file it is

FORMAT = 2
"""Raise it with every change of what the files of a stage say."""

_HASH = re.compile(r"[0-9a-f]{16}")
_ABOUT = "store.json"
_OLD = 60.0
"""Seconds after which what is still half-written belongs to nobody."""


class Store:
    """All stages' folders under `root`.

    Args:
        root: the folder of all of them.
        command: the options that give the stages that are run, for those who look at one later.

    Raises:
        UserError: another version of the suite wrote what is there.
    """

    whose = ""
    """Who made the records and where, in words; empty for those of whoever asks."""

    def __init__(self, root: Path, command: tuple[str, ...] = ()) -> None:
        self.root, self.command = root, command
        self._folders: dict[tuple[str, str], Path] = {}
        self._records: dict[Path, tuple[_Version, Record | DamagedRecordError]] = {}
        self._checked: dict[Path, _Version] = {}  # the record whose arrays were found to be right, by folder
        about = root / _ABOUT
        try:
            found = read_object(about)["format"]
        except (FileNotFoundError, NotADirectoryError):
            found = 1 if any(root.glob("*/*/stage.json")) else FORMAT
        except OSError as error:
            raise not_opened(about, error) from error
        except (DamagedFileError, KeyError) as error:
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
        return {**vars(self), "_folders": {}, "_records": {}, "_checked": {}}

    def folder(self, stage: Stage) -> Path:
        """Where a stage's files are."""
        name = (stage.kind, stage.key)
        if name not in self._folders:
            self._folders[name] = self.root / stage.kind / stage.key
        return self._folders[name]

    def folders(self) -> list[Path]:
        """The folders of all stages: of known kinds and named by a hash. Links are no folders of the store."""
        kinds = [self.root / kind for kind in known_kinds()]
        return [
            folder
            for kind in kinds
            if kind.is_dir() and not kind.is_symlink()
            for folder in sorted(kind.iterdir())
            if _HASH.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink()
        ]

    def state(self, stage: Stage) -> State:
        """`done`, `damaged` (a file is not what was written), `failed` (its last attempt raised), or `waiting`."""
        try:
            return "damaged" if isinstance(self._read_cached(stage), DamagedRecordError) else "done"
        except (FileNotFoundError, NotADirectoryError):
            return _unfinished(self.folder(stage))

    @staticmethod
    def state_of(folder: Path, *, contents: bool = False) -> State:
        """The state of the stage in `folder`, read anew; with `contents` what its arrays hold counts as well."""
        try:
            record = read_record(folder)
        except (FileNotFoundError, NotADirectoryError):
            return _unfinished(folder)
        except DamagedRecordError:
            return "damaged"
        found = damaged_file(folder, record.files) or (damaged_arrays(folder, record.files) if contents else None)
        return "done" if found is None else "damaged"

    @staticmethod
    def check(folder: Path) -> None:
        """See that nothing in the stage's folder leads elsewhere or is of another kind than what is written there.

        Raises:
            DamagedRecordError: something does or is.
        """
        try:
            check_folder(folder)
        except DamagedFileError as error:
            raise DamagedRecordError(f"{error}; delete it, and run again.") from error

    def whose_of(self, stage: Stage) -> str:  # noqa: ARG002
        """`whose`, of the record of one stage."""
        return self.whose

    def why_waiting(self, stages: Sequence[Stage]) -> str:  # noqa: ARG002
        """Why stages of which some wait have no record, in words.

        Args:
            stages: all of them, every stage after the ones it needs.
        """
        return "not run"

    def begin(self, stage: Stage) -> Path:
        """Make the folder, write the description, forget an earlier failure and what a kill left half-written."""
        folder = self.folder(stage)
        self.check(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not (self.root / _ABOUT).exists():
            write_json(self.root / _ABOUT, {"format": FORMAT})
        for path in self.root.glob(f".{_ABOUT}.*"):
            with suppress(FileNotFoundError):  # another runner has put its own in place, or deleted this one
                if time.time() - path.lstat().st_mtime > _OLD:
                    path.unlink()
        for unfinished in folder.glob(".*"):
            if not unfinished.is_dir():
                unfinished.unlink()
        command = {"command": list(self.command)} if self.command else {}
        write_json(folder / "stage.json", {"title": stage.title, **command, **stage.description()})
        (folder / "error.txt").unlink(missing_ok=True)
        return folder

    @contextmanager
    def lock(self, stage: Stage, timeout: float = -1) -> Iterator[None]:
        """Held by whoever works on the stage; the system lets go of it when its owner dies.

        Who waits for it makes the folder anew where it was deleted meanwhile.

        Args:
            stage: what is worked on.
            timeout: seconds to wait; -1 for as long as it takes.

        Raises:
            Timeout: somebody else held it all the time.
            DamagedRecordError: see `check`.
        """
        folder = self.folder(stage)
        lock = ProcessLock(folder / "lock")
        while not lock.is_locked:
            self.check(folder)
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # the folder is gone
                lock.acquire(timeout=timeout)
        try:
            yield
        finally:
            lock.release()

    def is_locked(self, stage: Stage) -> bool:
        """Whether somebody works on the stage."""
        if not self.folder(stage).is_dir():
            return False
        with self.lock_folder(self.folder(stage)) as free:
            return not free

    @contextmanager
    def lock_folder(self, folder: Path) -> Iterator[bool]:
        """Hold the lock of a stage's folder if nobody else does; says whether it is held.

        Nobody works in a folder whose lock is a link or no file, see `lock`: that one counts as held.
        """
        path = folder / "lock"
        if path.is_symlink() or (path.exists() and not path.is_file()):
            yield True
            return
        lock = ProcessLock(path)
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
        write_json(folder / "record.json", {**record, "checksum": checksum(record)})
        (folder / "progress.json").unlink(missing_ok=True)

    def drop_files(self, stage: Stage, names: Sequence[str]) -> None:
        """Delete files of a finished stage; its record says so first, under `dropped`, and is no longer about them.

        Raises:
            FileNotFoundError: the stage is not finished.
            DamagedRecordError: the record is not what was written.
        """
        record = self.record(stage)
        dropped = [*record.result.get("dropped", ()), *(name for name in names if name in record.files)]
        about = {
            "files": {name: file for name, file in record.files.items() if name not in names},
            "seconds": record.seconds,
            "finished": record.finished,
            "environment": record.environment,
        }
        self.finish(stage, {**record.result, "dropped": dropped}, **about)
        for name in names:
            (self.folder(stage) / name).unlink(missing_ok=True)

    def fail(self, stage: Stage, reason: str) -> None:
        """Say why a stage broke; it is tried again by the next run.

        Raises:
            DamagedRecordError: see `check`.
        """
        self.check(self.folder(stage))
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

    def check_arrays(self, stage: Stage) -> bool:
        """Compare what a stage's arrays hold with its record; where they differ it is damaged from here on.

        What is to be shown is looked at, each file once; a plan of thousands of stages asks `state`, which reads none.

        Returns:
            Whether the stage is done.
        """
        if self.state(stage) != "done":
            return False
        folder = self.folder(stage)
        version, record = self._records[folder / "record.json"]
        if isinstance(record, Record) and self._checked.get(folder) != version:
            path = damaged_arrays(folder, record.files)
            if path is not None:
                self._records[folder / "record.json"] = (version, damaged(path, folder))
                return False
            self._checked[folder] = version
        return True

    def _read_cached(self, stage: Stage) -> Record | DamagedRecordError:
        """Read a record, or return what was read before if the file is still the same."""
        folder = self.folder(stage)
        path = folder / "record.json"
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            try:
                self.check(folder)
            except DamagedRecordError as error:
                return error
            raise
        version = (found.st_mtime_ns, found.st_size, found.st_ino)
        before = self._records.get(path)
        if before is not None and before[0] == version:
            return _with_files(before[1])
        record: Record | DamagedRecordError
        try:
            record = read_record(folder)
        except DamagedRecordError as error:
            record = error
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
            record = read_record(self.folder(stage))
        except (FileNotFoundError, NotADirectoryError):
            return None
        digest: str | None = record.files.get(name, {}).get("sha256")
        return digest

    def earlier_seconds(self) -> dict[str, float]:
        """By `Stage.identity`, how long the latest stage that computed the same took, whatever its code."""
        records = dict[str, Record]()
        for folder in self.folders():
            with suppress(OSError, DamagedRecordError):  # not finished, damaged or being removed
                records[folder.name] = read_record(folder)
        latest, identities = dict[str, tuple[str, float]](), dict[str, str]()
        for record in records.values():
            with suppress(KeyError):  # what it needs is gone
                name = identify(record, records, identities)
                latest[name] = max(latest.get(name, ("", 0.0)), (record.finished, record.seconds))
        return {name: seconds for name, (_, seconds) in latest.items()}


def _unfinished(folder: Path) -> State:
    try:
        Store.check(folder)
    except DamagedRecordError:
        return "damaged"
    return "failed" if (folder / "error.txt").is_file() else "waiting"


def _with_files(record: Record | DamagedRecordError) -> Record | DamagedRecordError:
    """A record as long as the files that it is about are there."""
    if isinstance(record, DamagedRecordError):
        return record
    path = damaged_file(record.folder, record.files)
    return record if path is None else damaged(path, record.folder)
