"""What a finished stage left, read from its folder as if anybody had written there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.stage_files import Files, check_arrays, check_folder
from experiments.stages import hash_of, identity_of
from mila.common.files import TOO_MANY_FILES, not_opened
from mila.common.stored_files import DamagedFileError, checksum, read_object
from mila.errors import UserError

_Types = dict[str, type | tuple[type, ...]]
_IN_RECORD: _Types = {"result": dict, "seconds": (int, float), "finished": str, "environment": dict}
_IN_DESCRIPTION: _Types = {"title": str}
_NOT_HASHED = ("title", "command")


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
    """A record, or another file of a stage, is not what was written."""


def damaged(path: Path, folder: Path) -> DamagedRecordError:
    """The error for a file of the stage in `folder` that is not what was written."""
    return DamagedRecordError(
        f"{path} is not what was written there (edited, or damaged); delete {folder} to run the stage again."
    )


def read_record(folder: Path) -> Record:
    """A finished stage's record; of the files that it is about, only what describes the stage is read.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no record.
        DamagedRecordError: a file of the stage is not what was written.
        OSError: this machine cannot open a file now.
    """
    path = folder / "record.json"
    path.lstat()
    try:
        check_folder(folder)
        record = _object_of(path, _IN_RECORD)
        files = record.get("files", {})
        if record.pop("checksum", None) != checksum(record) or not _are_files(files):
            raise DamagedFileError(f"{path} is not what was written there")
        about = _description(folder / "stage.json")
        if about.get("kind") == "evaluate" and not _are_numbers(record["result"].get("metrics")):
            raise DamagedFileError(f"{path} is not what was written there")
        check_arrays(folder)
    except OSError as error:
        if error.errno in TOO_MANY_FILES:
            raise not_opened(path, error) from error
        raise
    except DamagedFileError as error:
        raise DamagedRecordError(f"{error} (edited, or damaged); delete {folder} to run the stage again.") from error
    return Record(
        key=folder.name,
        stage=about,
        result=record["result"],
        seconds=record["seconds"],
        finished=record["finished"],
        environment=record["environment"],
        folder=folder,
        files=files,
    )


def identify(record: Record, by_key: Mapping[str, Record], found: dict[str, str]) -> str:
    """A stage's `identity`, from what is written of it and of all that it needs.

    Args:
        record: of the stage.
        by_key: all records.
        found: identities by key, to which those that are new are added.

    Raises:
        KeyError: one that it needs is not there.
    """
    if record.key not in found:
        needs = [identify(by_key[key], by_key, found) for key in record.stage["needs"]]
        found[record.key] = identity_of(record.stage["kind"], record.stage["config"], needs)
    return found[record.key]


def _are_files(files: object) -> bool:
    """Whether this says of files what `experiments.stage_files` does."""
    return isinstance(files, dict) and all(
        isinstance(about, dict) and isinstance(about.get("bytes"), int) and isinstance(about.get("sha256", ""), str)
        for about in files.values()
    )


def _are_numbers(values: object) -> bool:
    return isinstance(values, dict) and all(type(value) in (int, float) for value in values.values())


def _description(path: Path) -> dict[str, Any]:
    """What a stage is; its hash is the name of its folder."""
    try:
        about = _object_of(path, _IN_DESCRIPTION)
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path} is gone") from error
    if hash_of({name: value for name, value in about.items() if name not in _NOT_HASHED}) != path.parent.name:
        raise DamagedFileError(f"{path} is not what was written there")
    return about


def _object_of(path: Path, shape: _Types) -> dict[str, Any]:
    """The JSON object in a file, which has at least these entries."""
    values = read_object(path)
    if not all(isinstance(values.get(name), kind) for name, kind in shape.items()):
        raise DamagedFileError(f"{path} is not what was written there")
    return values
