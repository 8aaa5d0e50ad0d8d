"""What has become of the jobs of a submission: from SLURM's queue, from the store, and from `sacct` where there is one.

The store decides: a stage with a record is done, whatever SLURM says. A job that is in no queue any more and left
neither a record nor an error has died; that is said, and never waited for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.slurm.submissions import Entry, Submission, Submissions
from experiments.store import Store
from mila.errors import UserError

State = Literal["done", "running", "pending", "stuck", "failed", "cancelled", "skipped", "lost", "not submitted"]
GOING: tuple[State, ...] = ("running", "pending")
"""States that end by themselves."""
IN_QUEUE: tuple[State, ...] = (*GOING, "stuck")

_ENDED = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
)
_REASONS = {
    "TIMEOUT": "it was killed at its time limit",
    "OUT_OF_MEMORY": "it was killed for lack of memory",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "PREEMPTED": "it was preempted and not requeued",
    "DEADLINE": "it came to its deadline",
}
_STUCK = (
    "DependencyNeverSatisfied",
    "BadConstraints",
    "PartitionTimeLimit",
    "PartitionNodeLimit",
    "JobHeldUser",
    "JobHeldAdmin",
    "JobHoldMaxRequeue",
    "launch_failed_requeued_held",
    "InvalidAccount",
    "InvalidQOS",
    "AccountNotAllowed",
    "QOSNotAllowed",
    "PartitionConfig",
    "PartitionInactive",
)
"""Reasons for pending that no time changes."""


@dataclass(frozen=True)
class Job:
    """What SLURM says about a job: its state and, while it pends, why."""

    state: str
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether SLURM is done with it."""
        return self.state in _ENDED


@dataclass(frozen=True)
class Status:
    """State of a stage of a submission, and why."""

    entry: Entry
    state: State
    reason: str = ""


class QueueError(Exception):
    """`squeue` gave no answer; that says nothing about the jobs."""


def require_slurm() -> None:
    """Make sure that there is a SLURM here.

    Raises:
        UserError: there is none.
    """
    missing = [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"there is no SLURM on this machine ({missing[0]} is not on the PATH); leave the SLURM options out to run "
            "here, or log in to the cluster."
        )


def read_queue(names: Iterable[str]) -> dict[str, Job]:
    """Jobs that SLURM's controller still knows, by id; array elements one by one.

    Args:
        names: of submissions.

    Raises:
        QueueError: it does not answer.
    """
    words = ["squeue", "-h", "-r", "-t", "all", "-u", str(os.getuid()), "-n", ",".join(names), "-o", "%i|%T|%r"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueueError(str(error)) from error
    if done.returncode:
        raise QueueError(done.stderr.strip() or f"squeue ended with {done.returncode}")
    jobs = {}
    for line in done.stdout.splitlines():
        job, state, reason = line.split("|", 2)
        jobs[job] = Job(state, reason)
    return jobs


def read_accounting(ids: Iterable[str]) -> dict[str, Job]:
    """What `sacct` says about jobs, by id; nothing where there is no `sacct`, or no accounting behind it."""
    if shutil.which("sacct") is None:
        return {}
    arrays = sorted({job.split("_")[0] for job in ids})
    jobs: dict[str, Job] = {}
    for start in range(0, len(arrays), 200):
        words = ["sacct", "-n", "-P", "-X", "-j", ",".join(arrays[start : start + 200]), "-o", "JobID,State"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return jobs
        for line in done.stdout.splitlines() if done.returncode == 0 else ():
            job, _, state = line.partition("|")
            if state.split():
                jobs[job] = Job(state.split()[0])  # "CANCELLED by 1000"
    return jobs


def read_states(submission: Submission, submissions: Submissions) -> list[Status]:
    """The state of every stage of a submission, in its order.

    Raises:
        QueueError: SLURM's controller does not answer.
    """
    entries = submission.entries
    names = {submission.name} | {entry.owner for entry in entries.values() if entry.owner is not None}
    known = read_queue(sorted(names))
    gone = [e.job for e in entries.values() if e.job is not None and e.job not in known and not is_done(e, submission)]
    if gone:
        known = read_accounting(gone) | known
    found: dict[str, Status] = {}
    for key, entry in entries.items():
        found[key] = _status(entry, known.get(entry.job or ""), found, submission, submissions)
    return list(found.values())


def is_done(entry: Entry, submission: Submission) -> bool:
    """Whether the store holds the record of a stage."""
    return Store.state_of(_stage_folder(entry, submission)) == "done"


def _stage_folder(entry: Entry, submission: Submission) -> Path:
    return Path(submission.store) / entry.kind / entry.key


def _status(
    entry: Entry, job: Job | None, before: dict[str, Status], submission: Submission, submissions: Submissions
) -> Status:
    if is_done(entry, submission):  # read after the queue: a job leaves its record before it leaves the queue
        return Status(entry, "done")
    if entry.job is None:
        return Status(entry, "cancelled" if entry.cancelled else "not submitted")
    if job is not None and not job.ended:
        if job.state == "PENDING" and job.reason.replace(" ", "_") in _STUCK:
            return Status(entry, "stuck", f"SLURM will not start it: {job.reason}")
        if job.state in ("SPECIAL_EXIT", "REQUEUE_HOLD"):
            return Status(entry, "stuck", f"SLURM holds it: {job.state}")
        stuck = next((before[key] for key in entry.needs if key in before and before[key].state == "stuck"), None)
        if job.state == "PENDING" and stuck is not None:
            return Status(entry, "stuck", f"it needs {stuck.entry.title}, which is stuck")
        if job.state in ("PENDING", "REQUEUED"):
            return Status(entry, "pending", job.reason if job.reason != "None" else "")
        return Status(entry, "running")
    error = _stage_folder(entry, submission) / "error.txt"
    if error.is_file():
        return Status(entry, "failed", f"{_last_line(error.read_text(encoding='utf-8'))} (see {error})")
    if entry.cancelled:
        return Status(entry, "cancelled")
    for key in entry.needs:
        if key in before and before[key].state not in ("done", *GOING):
            was = _WAS.get(before[key].state, f"was {before[key].state}")
            return Status(entry, "skipped", f"it needs {before[key].entry.title}, which {was}")
    if job is not None and job.state == "CANCELLED":
        return Status(entry, "cancelled", "by somebody else than --cancel")
    if job is not None and job.state in _REASONS:
        return Status(entry, "failed", _REASONS[job.state])
    return _without_result(entry, job, submission, submissions)


_WAS: dict[State, str] = {"failed": "failed", "stuck": "is stuck", "not submitted": "was not submitted"}


_WELL = "Job completed successfully"  # what submitit says of a job that has not failed


def _without_result(entry: Entry, job: Job | None, submission: Submission, submissions: Submissions) -> Status:
    """A job that ended without a record and without an error in the store: its log may know more.

    submitit leaves a pickle if it could still say how the job ended. That it is there is enough: nothing is unpickled.
    """
    jobs = submissions.folder(entry.owner or submission.name) / "jobs"
    log = jobs / f"{entry.job}_0_log.err"
    output = _read_log(log)
    has_ended = (jobs / f"{entry.job}_0_result.pkl").is_file()
    if has_ended and output and _WELL not in _read_log(log.with_suffix(".out")):
        return Status(entry, "failed", f"{_last_line(output)} (see {log})")
    if job is not None and job.state == "FAILED":
        return Status(entry, "failed", f"its job failed: {_last_line(output)} (see {log})")
    return Status(entry, "lost", f"its job ended and left neither a result nor an error (see {log})")


def _read_log(path: Path) -> str:
    """What a job wrote, without what SLURM adds when it has ended."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return "".join(line for line in text.splitlines(True) if not line.startswith(("srun: ", "slurmstepd: ")))


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it gave no reason"
