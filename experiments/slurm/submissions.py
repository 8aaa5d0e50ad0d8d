"""Submissions on the disk: which stages, and which job does which of them.

results/slurm/<name>/   its user's alone, see `experiments.slurm.own_files`
    submission.json     what is below, written after every step of a submission
    stages.pkl          the stages by key, for the jobs
    jobs/               submitit's scripts, logs and results
results/slurm/code/     copies of the code, see `experiments.slurm.code_copy`
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.slurm.own_files import is_own, make_private, require_private
from mila.common.files import write_json
from mila.common.locks import ProcessLock
from mila.errors import UserError

_FILE = "submission.json"


@dataclass
class Entry:
    """One stage of a submission.

    Attributes:
        needs: keys of stages of the submission, done ones included.
        job: SLURM's id, `12` or `12_3`; None before it is submitted.
        owner: the submission whose job it is, where two need the same stage.
        cancelled: whether the user asked for its end.
    """

    key: str
    title: str
    kind: str
    needs: list[str]
    job: str | None = None
    owner: str | None = None
    cancelled: bool = False


@dataclass
class Submission:
    """What was submitted at once.

    Attributes:
        name: of the submission; also of its jobs in SLURM's queue, so that they can be found again.
        submitted: ISO 8601 with time zone.
        words: of the command line that does the same here, for the report.
        code: folder of the copy of the code; `commit` is that of the working copy.
        store: where results go.
        time_limit: seconds after which an attempt at a stage fails; SLURM's own limit is the site's.
        site: contents of the site file.
        entries: by key, every stage after the ones it needs.
    """

    name: str
    submitted: str
    words: list[str]
    code: str
    commit: str
    store: str
    device: str
    time_limit: float | None
    site: dict[str, Any]
    entries: dict[str, Entry] = field(default_factory=dict)


class Submissions:
    """All submissions under a results folder."""

    def __init__(self, results: Path) -> None:
        self.root = results.absolute() / "slurm"

    @property
    def code(self) -> Path:
        """Where copies of the code lie."""
        return self.root / "code"

    def folder(self, name: str) -> Path:
        """A submission's folder."""
        return self.root / name

    def names(self) -> list[str]:
        """Names of all submissions of this user, the latest last."""
        own = [folder.name for folder in self.root.glob("*") if is_own(folder) and (folder / _FILE).is_file()]
        return sorted(own, key=lambda name: (self._time(name), name))

    def _time(self, name: str) -> str:
        return self.load(name).submitted

    def new_name(self, about: str) -> str:
        """A name of its own; its folder is made.

        Raises:
            UserError: it cannot be made.
        """
        about = re.sub(r"[^\w.-]+", "-", about)
        # its jobs bear it too, so it must be no other results folder's
        name = f"{about}-{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        try:
            make_private(self.folder(name))
        except OSError as error:
            raise UserError(f"{self.root} cannot be written ({error.strerror}); give another --results.") from error
        return name

    def find(self, name: str) -> str:
        """The submission of this name; the latest for the empty name.

        Raises:
            UserError: there is none.
        """
        names = self.names()
        if not names:
            raise UserError(
                f"nothing was submitted to SLURM under {self.root.parent} by this user; submit with --slurm, or give "
                "--results. (What ran without SLURM is told by --status --grid NAME.)"
            )
        if name and name not in names:
            raise UserError(f"there is no submission {name!r} under {self.root}; choose one of: {', '.join(names)}.")
        return name or names[-1]

    def load(self, name: str) -> Submission:
        """Read a submission.

        Raises:
            UserError: its file is damaged, or others than this user could have written it.
        """
        require_private(self.folder(name))
        path = self.folder(name) / _FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            entries = {values["key"]: Entry(**values) for values in values.pop("stages")}
            return Submission(**values, entries=entries)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); end its jobs with scancel --name {name}.") from error

    def save(self, submission: Submission) -> None:
        """Write a submission, atomically."""
        values = asdict(submission)
        values["stages"] = list(values.pop("entries").values())
        write_json(self.folder(submission.name) / _FILE, values)

    @contextmanager
    def change(self, name: str) -> Iterator[Submission]:
        """A submission to be changed, by one process at a time; the changer saves."""
        with ProcessLock(self.folder(name) / ".lock"):
            yield self.load(name)
