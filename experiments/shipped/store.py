"""Records that ship, read like a store: a stage of today is found by what it computes, whatever code computed it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.plan import are_seeds
from experiments.records import DamagedRecordError, Record, identify, read_record
from experiments.shipped.archive import ABOUT, not_records, read_archive
from experiments.stage_files import damaged_arrays
from experiments.stages import Stage
from experiments.store import FORMAT, Store
from mila.errors import UserError

_OWN = "run here, and so was all that it needs; of that, what the records have as well is shown as they have it"


class ShippedStore(Store):
    """The stages of a file of records, unpacked; they are under the hashes that they had when they were run.

    Args:
        root: where they are.
        profile: of all of them.
        seeds: that were run.
        records: all of them.

    Raises:
        KeyError: a stage needs one that is not there.
    """

    def __init__(self, root: Path, profile: str, seeds: tuple[int, ...], records: Sequence[Record]) -> None:
        super().__init__(root)
        self.profile, self.seeds = profile, seeds
        by_key, identities = {record.key: record for record in records}, dict[str, str]()
        for record in records:
            identify(record, by_key, identities)
        self._by_identity = {identities[record.key]: record.folder for record in records}
        self._configs: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for record in records:
            self._configs.setdefault((record.stage["kind"], record.stage["title"]), []).append(record.stage["config"])
        self.whose = _whose(profile, records)
        self._own: Store | None = None
        self._own_keys: frozenset[str] = frozenset()

    @property
    def identities(self) -> frozenset[str]:
        """`Stage.identity` of every stage."""
        return frozenset(self._by_identity)

    @property
    def keys(self) -> dict[str, str]:
        """The hash that every stage had when it was run, by its `Stage.identity`."""
        return {identity: folder.name for identity, folder in self._by_identity.items()}

    def add_own(self, own: Store, stages: Sequence[Stage]) -> None:
        """Take from another store those of some stages that the records lack."""
        self._own = own
        self._own_keys = frozenset(stage.key for stage in stages if stage.identity not in self._by_identity)

    def whose_of(self, stage: Stage) -> str:
        """See `Store.whose_of`; those that `add_own` took are of whoever asks."""
        return _OWN if stage.key in self._own_keys else self.whose

    def folder(self, stage: Stage) -> Path:
        """Where a stage's files are; where there are none, a path that leads nowhere."""
        if self._own is not None and stage.key in self._own_keys:
            return self._own.folder(stage)
        return self._by_identity.get(stage.identity, super().folder(stage))

    def why_waiting(self, stages: Sequence[Stage]) -> str:
        """See `Store`: in what the first stage that is not there differs from the one that was run under its name."""
        if any(stage.key in self._own_keys for stage in stages):
            return "not run yet: run it without --from-records"
        for stage in stages:
            there = self._configs.get((stage.kind, stage.title), ())
            if stage.identity not in self._by_identity and there:
                now = json.loads(json.dumps(stage.config()))
                names = min((_differences(now, then) for then in there), key=len)
                if names:
                    return f"not in the records: they have {stage.title!r} with other settings ({', '.join(names)})"
        return "not in the records"


@contextmanager
def open_records(path: Path) -> Iterator[ShippedStore]:
    """The stages of a file of records, unpacked into a temporary folder as long as the context lasts.

    Raises:
        UserError: the file is not there, damaged, or no file of records of this format.
    """
    members = read_archive(path)
    about = _about(path, members)
    with tempfile.TemporaryDirectory(prefix="mila-records-") as folder:
        yield _unpacked(path, members, about, Path(folder))


def _about(path: Path, members: dict[str, bytes]) -> dict[str, Any]:
    try:
        about = json.loads(members[ABOUT])
        if about["format"] != FORMAT:
            raise UserError(
                f"{path} was written by another version of the suite (format {about['format']}, this one has {FORMAT})."
            )
        if not isinstance(about["profile"], str) or not are_seeds(about["seeds"]):
            raise not_records(path, f"{ABOUT} is not what was written there")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise not_records(path, f"{ABOUT} is not what was written there") from error
    found: dict[str, Any] = about
    return found


def _unpacked(path: Path, members: dict[str, bytes], about: dict[str, Any], root: Path) -> ShippedStore:
    for name, content in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    folders = sorted({(root / name).parent for name in members if name != ABOUT})
    if not folders:
        raise not_records(path, "it has none")
    try:
        records = [read_record(folder) for folder in folders]
        store = ShippedStore(root, about["profile"], tuple(about["seeds"]), records)
        sound = all(damaged_arrays(record.folder, record.files) is None for record in records)
    except (DamagedRecordError, FileNotFoundError, KeyError, TypeError) as error:
        raise not_records(path, "a record in it is not what was written there") from error
    if not sound:
        raise not_records(path, "what the clips contribute is not what was written there")
    return store


def _differences(now: dict[str, Any], then: dict[str, Any], within: str = "") -> list[str]:
    """Dotted names of what differs."""
    names = []
    for name in sorted({*now, *then}):
        ours, theirs = now.get(name), then.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            names += _differences(ours, theirs, f"{within}{name}.")
        elif ours != theirs or (name in now) != (name in then):
            names.append(f"{within}{name}")
    return names


def _whose(profile: str, records: Sequence[Record]) -> str:
    """Who made the records, of which code, when and where."""
    commits = sorted({str(record.environment.get("commit", "unknown")) for record in records})
    machines = sorted({_machine(record.environment) for record in records})
    finished = max(record.finished for record in records)
    return (
        f"not run here: records made by the authors of the suite, profile {profile}, at commit {', '.join(commits)}, "
        f"finished {finished[:16].replace('T', ' ')}, on {', '.join(machines)}"
    )


def _machine(environment: dict[str, Any]) -> str:
    device = str(environment.get("device", "unknown"))
    return str(environment.get("processor", device)) if device == "cpu" else device
