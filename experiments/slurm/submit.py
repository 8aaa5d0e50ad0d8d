"""From stages to job arrays with dependencies, submitted through submitit.

Stages of one kind that wait for the same jobs form an array; each array starts once all of those have succeeded, and
is removed by SLURM once one of them has not.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from experiments.slurm.job import StageJob
from experiments.slurm.own_files import shell_check
from experiments.slurm.site import Resources, Site
from experiments.slurm.submissions import Entry, Submission, Submissions
from mila.errors import UserError

_LARGEST = 1000
"""Elements of an array: SLURM's own limit unless a site sets another."""


@dataclass
class Array:
    """Stages that are submitted together.

    Attributes:
        keys: of the stages.
        needs: keys of stages that must have succeeded.
        after: indices of arrays that must have ended before, however; this bounds how many jobs run at once.
        width: at most so many at once.
    """

    kind: str
    keys: list[str]
    needs: frozenset[str]
    after: frozenset[int] = frozenset()
    width: int = 1


def make_arrays(entries: Iterable[Entry], waiting: set[str], parallelism: Mapping[str, int]) -> list[Array]:
    """Lay out arrays, every one after those that it depends on.

    Args:
        entries: stages, every one after those it needs.
        waiting: keys of those to submit, and of those that a job is at work on.
        parallelism: at most so many jobs at once, by kind.

    Several arrays of one kind share the bound: each takes as many lanes as it may have jobs at once, and waits for the
    arrays that were in these lanes before.
    """
    groups: dict[tuple[str, int, frozenset[str]], list[str]] = {}
    depth: dict[str, int] = {}
    for entry in entries:
        needs = frozenset(entry.needs) & waiting
        depth[entry.key] = 1 + max((depth.get(key, 0) for key in needs), default=0)
        if entry.job is None:
            groups.setdefault((entry.kind, depth[entry.key], needs), []).append(entry.key)
    arrays: list[Array] = []
    lanes = {kind: [(0.0, -1)] * bound for kind, bound in parallelism.items()}  # (work so far, the last array)
    for (kind, _, needs), keys in sorted(groups.items(), key=lambda item: item[0][1]):
        for start in range(0, len(keys), _LARGEST):
            part = keys[start : start + _LARGEST]
            mine = sorted(lanes[kind])[: len(part)]
            rest = sorted(lanes[kind])[len(part) :]
            after = frozenset(array for _, array in mine if array >= 0)
            end = mine[-1][0] + len(part) / len(mine)
            lanes[kind] = rest + [(end, len(arrays))] * len(mine)
            arrays.append(Array(kind, part, needs, after, len(mine)))
    return arrays


def submit(submission: Submission, submissions: Submissions, site: Site, busy: set[str]) -> int:
    """Submit every stage that has no job; returns how many arrays that made.

    The submission is written after each array. Where SLURM refuses one, those before it are taken back.

    Args:
        submission: its entries without a job are submitted; those that are done must not be in it.
        submissions: where it is written.
        site: resources.
        busy: keys of stages whose job, of this submission or another, is in the queue.

    Raises:
        UserError: SLURM refuses.
    """
    entries = submission.entries
    new = {key for key, entry in entries.items() if entry.job is None}
    bounds = {kind: resources.parallelism for kind, resources in site.kinds.items()}
    arrays = make_arrays(entries.values(), new | busy, bounds)
    ids: list[str] = []
    try:
        for array in arrays:
            good = ":".join(sorted(str(entries[key].job) for key in array.needs))
            any_end = ":".join(sorted(ids[index] for index in array.after))
            wait_for = [f"{how}:{jobs}" for how, jobs in (("afterok", good), ("afterany", any_end)) if jobs]
            jobs = _submit(submission, submissions, site, array, ",".join(wait_for))
            ids.append(jobs[0].split("_")[0])
            for key, job in zip(array.keys, jobs, strict=True):
                entries[key].job = job
            submissions.save(submission)
    except BaseException:
        if ids:
            subprocess.run(["scancel", *ids], check=False, capture_output=True)
            for key in new:
                entries[key].job = None
            submissions.save(submission)
        raise
    return len(arrays)


def _submit(submission: Submission, submissions: Submissions, site: Site, array: Array, dependency: str) -> list[str]:
    resources, folder = site.kinds[array.kind], submissions.folder(submission.name)
    timeouts = site.timeouts if array.kind == "train" else 0  # nothing else has a checkpoint to continue from
    executor = submitit.AutoExecutor(folder / "jobs", cluster="slurm", slurm_max_num_timeout=timeouts)
    executor.update_parameters(**_parameters(resources, site, submission, folder, array.width, dependency))
    functions = [
        StageJob(
            folder=folder,
            key=key,
            store=Path(submission.store),
            device=submission.device,
            commit=submission.commit,
            time_limit=submission.time_limit,
            command=tuple(submission.words),
            keep_states="--keep-states" in submission.words,
        )
        for key in array.keys
    ]
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
            return [job.job_id for job in executor.submit_array(functions)]
    except submitit.core.utils.FailedJobError as error:
        reason = str(error).strip().splitlines()[-1:] or ["it gave no reason"]
        raise UserError(
            f"SLURM refuses the {array.kind} jobs ({reason[0].removeprefix('sbatch: error: ')}); "
            "correct the site file, or give one with --slurm FILE."
        ) from error


def _parameters(
    resources: Resources, site: Site, submission: Submission, folder: Path, width: int, dependency: str
) -> dict[str, Any]:
    more: dict[str, Any] = {"chdir": submission.code, "kill-on-invalid-dep": "yes", "requeue": True, **site.sbatch}
    path = shlex.quote(submission.code)
    return {
        "name": submission.name,
        "timeout_min": resources.minutes,
        "cpus_per_task": resources.cpus,
        "tasks_per_node": resources.tasks,
        "slurm_srun_args": ["--kill-on-bad-exit=1"] if resources.tasks > 1 else [],  # a dead task ends the others
        "mem_gb": resources.memory_gb,
        "slurm_gpus_per_node": resources.gpus or None,
        "slurm_partition": resources.partition,
        "slurm_account": resources.account,
        "slurm_qos": resources.qos,
        "slurm_constraint": resources.constraint,
        "slurm_array_parallelism": width,
        "slurm_signal_delay_s": site.signal_seconds,
        "slurm_dependency": dependency or None,
        # the copy of the code comes first, whatever the lines before it do to the path
        "slurm_setup": [
            shell_check(folder, Path(submission.code)),
            *site.setup,
            f'export PYTHONPATH={path}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        ],
        "slurm_additional_parameters": {option: value for option, value in more.items() if value is not False},
    }
