"""Finished trainings in a folder of results, found by their hashes and read as if anybody had written there."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from mila.common.files import not_opened
from mila.common.stored_files import DamagedFileError, checksum, read_bytes, read_object
from mila.errors import UserError
from mila.streaming.description import DESCRIPTION, METHOD, Description, description_from_json

WEIGHTS = "model.pt"
"""File of a finished training: its weights."""

_HASH = re.compile(r"[0-9a-f]{16}")
_TRAIN = "train"


def find_training(results: Path, name: str | None) -> Path:
    """The folder of a training.

    Args:
        results: a folder of results, or the store in it, with `name`; or the folder of the training.
        name: the first digits of its hash, or of the hash of what was made of it.

    Raises:
        UserError: there is none, or it is not one.
    """
    if not results.is_dir():
        raise UserError(f"{results} is neither a folder of results nor a file of `mila export`; give one of them.")
    if name is None:
        if not (results / "stage.json").exists():
            raise UserError(f"{results} may hold many models; give the hash of a training in it as well.")
        return _training_of(results)
    store = results / "store" if (results / "store").is_dir() else results
    found = sorted(
        path.parent
        for path in store.glob("*/*/stage.json")
        if name and _HASH.fullmatch(path.parent.name) and path.parent.name.startswith(name)
    )
    if not found:
        raise UserError(f"{store} has no stage {name!r}; reports show the hash of each training.")
    if len(found) > 1:
        raise UserError(f"{store} has {len(found)} stages {name!r}...; give more digits of the hash.")
    return _training_of(found[0])


def _training_of(folder: Path) -> Path:
    """The folder of a stage, if it is a training, or that of the training that it looks at."""
    about = _object_of(folder / "stage.json", folder)
    kind, needs = about.get("kind"), about.get("needs")
    if kind == _TRAIN:
        return folder
    for key in needs if isinstance(needs, list) else ():
        training = folder.parent.parent / _TRAIN / str(key)
        if _HASH.fullmatch(str(key)) and training.is_dir():
            return training
    raise UserError(f"{folder} is of the kind {kind!r} and has no model; give the hash of a training or of a score.")


def read_training(folder: Path) -> tuple[Description, str]:
    """What the model of a finished training is, and the SHA-256 of its weights; all other files are as recorded.

    Raises:
        UserError: it is not finished, older than descriptions, or damaged.
    """
    if not (folder / "record.json").exists():
        raise UserError(f"{folder} is a training that is not finished; run its command again, which continues it.")
    record = _object_of(folder / "record.json", folder)
    if record.pop("checksum", None) != checksum(record):
        raise _damaged(folder / "record.json", folder)
    digests = _digests(record, folder)
    if DESCRIPTION not in digests:
        raise UserError(
            f"{folder} was trained before trainings kept what builds their model again; delete it and run its command "
            "again."
        )
    for name in (DESCRIPTION, METHOD):
        if name in digests and _digest_of(folder / name, folder) != digests[name]:
            raise _damaged(folder / name, folder)
    try:
        description = description_from_json(_object_of(folder / DESCRIPTION, folder))
    except ValueError as error:
        raise UserError(
            f"{folder / DESCRIPTION} cannot be used ({error}); use the version of the suite that wrote it, or delete "
            f"{folder} and run again."
        ) from error
    if description.digest != digests.get(METHOD):
        raise _damaged(folder / METHOD, folder)
    made: dict[str, Any] = {name: record[name] for name in ("finished", "seconds", "environment") if name in record}
    about = replace(description, provenance={**description.provenance, **made})
    return about, digests[WEIGHTS]


def _digests(record: dict[str, Any], folder: Path) -> dict[str, str]:
    """SHA-256 of a training's files, as its record says, by name."""
    try:
        digests = {str(name): str(about["sha256"]) for name, about in record["files"].items() if "sha256" in about}
        digests[WEIGHTS]
    except (LookupError, TypeError, AttributeError) as error:
        raise _damaged(folder / "record.json", folder) from error
    return digests


def _digest_of(path: Path, folder: Path) -> str:
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except (FileNotFoundError, DamagedFileError) as error:
        raise _damaged(path, folder) from error
    except OSError as error:
        raise not_opened(path, error) from error


def _object_of(path: Path, folder: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except (FileNotFoundError, NotADirectoryError, DamagedFileError) as error:
        raise _damaged(path, folder) from error
    except OSError as error:
        raise not_opened(path, error) from error


def _damaged(path: Path, folder: Path) -> UserError:
    return UserError(f"{path} is not what was written there; delete {folder} and run its command again.")
