"""From several files of records of one profile to one: other parts, other seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from experiments.shipped.archive import ABOUT, packed_members, read_archive
from experiments.shipped.store import open_records
from experiments.stages import Evaluate, Train
from mila.common.files import write_atomic
from mila.errors import UserError


@dataclass(frozen=True)
class Merged:
    """What was written.

    Attributes:
        profile: of all records.
        seeds: those of all files.
        stages: how many records.
        several: titles of the stages that more than one file has; the records of one of them are taken.
        size: bytes of the file.
    """

    profile: str
    seeds: tuple[int, ...]
    stages: int
    several: tuple[str, ...]
    size: int


def merge(paths: Sequence[Path], out: Path) -> Merged:
    """Write the records of all files into one.

    Of what several files have, that of the first of them is taken; a score comes from the file that its training comes
    from, which is the first that has scored it.

    Raises:
        UserError: a file is no file of records, they are of different profiles, or the same was computed by other code.
    """
    files = [_read(path) for path in paths]
    for file in files[1:]:
        _check_alike(files[0], file)
    _check_code(files)
    owners = _owners(files)
    seeds = tuple(sorted({seed for file in files for seed in file.about["seeds"]}))
    grids = dict.fromkeys(grid for file in files for grid in file.about.get("grids", ()))
    about = {**files[0].about, "seeds": seeds, "grids": list(grids)}
    members = {ABOUT: json.dumps(about, sort_keys=True, separators=(",", ":")).encode()}
    for place, file in owners.items():
        members |= file.members_of(place)
    content = packed_members(members)
    write_atomic(out, lambda target: target.write(content))
    several = [
        file.stages[place]["title"] for place, file in owners.items() if sum(place in one.stages for one in files) > 1
    ]
    return Merged(files[0].about["profile"], seeds, len(owners), tuple(several), len(content))


@dataclass(frozen=True)
class _File:
    """A file of records: what it is of, its members, and its stages' descriptions by their folder in it."""

    path: Path
    about: dict[str, Any]
    members: dict[str, bytes]
    stages: dict[str, dict[str, Any]]
    keys: dict[str, str]

    def members_of(self, place: str) -> dict[str, bytes]:
        return {name: content for name, content in self.members.items() if str(PurePosixPath(name).parent) == place}


def _read(path: Path) -> _File:
    members = read_archive(path)
    with open_records(path) as store:
        keys = store.keys
    about = json.loads(members[ABOUT])
    stages = {
        str(PurePosixPath(name).parent): json.loads(content)
        for name, content in members.items()
        if PurePosixPath(name).name == "stage.json"
    }
    return _File(path, about, members, stages, keys)


def _check_alike(first: _File, other: _File) -> None:
    ours, theirs = first.about["profile"], other.about["profile"]
    if ours != theirs:
        raise UserError(
            f"{first.path} has the records of profile {ours!r}, {other.path} those of {theirs!r}, which are "
            "never mixed; merge files of one profile."
        )


def _check_code(files: Sequence[_File]) -> None:
    """The same stage must have the same hash in all files."""
    found: dict[str, tuple[str, _File]] = {}
    for file in files:
        titles = {PurePosixPath(place).name: about["title"] for place, about in file.stages.items()}
        for identity, key in file.keys.items():
            there, other = found.setdefault(identity, (key, file))
            if there != key:
                raise UserError(
                    f"{other.path} and {file.path} both have {titles[key]!r}, computed by different code; merge "
                    "runs of one commit."
                )


def _owners(files: Sequence[_File]) -> dict[str, _File]:
    """From which file each stage is taken, by its folder."""
    owners: dict[str, _File] = {}
    for file in files:
        scored = {_training_of(about) for about in file.stages.values() if about["kind"] == Evaluate.kind}
        owners |= {place: file for place in sorted(scored & file.stages.keys()) if place not in owners}
    for file in files:
        for place, about in file.stages.items():
            if about["kind"] == Train.kind:
                owners.setdefault(place, file)
    for file in files:
        for place, about in file.stages.items():
            if owners.get(_training_of(about), file) is file:
                owners.setdefault(place, file)
    return owners


def _training_of(about: dict[str, Any]) -> str:
    """The folder of the training that a stage looks at; no folder of a stage that looks at none."""
    return f"{Train.kind}/{about['needs'][0]}" if about["needs"] and about["kind"] != Train.kind else ""
