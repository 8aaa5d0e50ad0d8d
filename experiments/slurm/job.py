"""What a SLURM job does: one stage, saved and requeued when the cluster asks for it.

Imports nothing heavy at the top: until this file runs, a signal would end the job.
"""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

STAGES = "stages.pkl"
"""File of a submission: its stages by key."""


@dataclass(frozen=True)
class StageJob:
    """The function that submitit calls, in each task of the job; continued by itself after a requeue.

    Attributes:
        folder: of the submission.
        key: of the stage.
        store: folder of the results.
        device: `cpu`, `cuda`, or `auto`: a GPU where the job has one.
        commit: what the record says about the code.
        time_limit: seconds after which an attempt fails.
        command: words of the command line that does the same, for `--verify`.
        keep_states: see `run_stage`.
    """

    folder: Path
    key: str
    store: Path
    device: str
    commit: str
    time_limit: float | None = None
    command: tuple[str, ...] = ()
    keep_states: bool = False

    def __call__(self) -> str:
        """Do the stage; returns its key.

        Raises:
            StageError: it failed; the reason lies in its folder.
            UserError: others than this user could have written the submission.
            SystemExit: it was saved and requeued.
        """
        signals = _Signals()
        from experiments.runner import process_group
        from experiments.runner.rank_environment import make_slurm_tasks_ranks, rank
        from experiments.runner.run_stage import run_stage
        from experiments.runner.stage_functions import join_training
        from experiments.runner.workers import find_device, use_one_thread
        from experiments.slurm.own_files import require_private
        from experiments.store import Store
        from mila.errors import StoppedError, UserError

        require_private(self.folder)  # before a pickle of it is read
        stages = pickle.loads((self.folder / STAGES).read_bytes())
        stage, store = stages[self.key], Store(self.store, self.command)
        stage.__dict__.pop("key", None)  # what follows must be what this code makes of it
        make_slurm_tasks_ranks()
        if rank() > 0:
            device = find_device(self.device)
            use_one_thread(device)
            process_group.follow(lambda key: join_training(stages[key], store, device), device)
            return self.key
        try:
            if stage.key != self.key:
                raise UserError("the code or the data are not what they were at submission; submit again.")
            device = find_device(self.device)
            use_one_thread(device)
            where = {"commit": self.commit, "slurm_job": _job_id(), "node": os.environ.get("SLURMD_NODENAME", "")}
            with process_group.leading():
                while True:
                    try:
                        outcome = run_stage(
                            stage,
                            store,
                            device,
                            stop=signals.stop,
                            where=where,
                            time_limit=self.time_limit,
                            keep_states=self.keep_states,
                        )
                        break
                    except StoppedError:
                        signals.stopped()  # requeues; or returns, to go on until the cluster's kill comes
        except UserError as error:
            stage.__dict__["key"] = self.key
            store.fail(stage, str(error))
            raise StageError(str(error)) from error
        if outcome.error is not None:
            raise StageError(outcome.error)
        return self.key

    def checkpoint(self) -> Any:
        """What submitit runs after a requeue: the same, which continues from the checkpoint on the disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class StageError(Exception):
    """A stage failed; makes the job fail, and so those that depend on it."""


def _job_id() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")


class _Signals:
    """Takes the cluster's signals over from submitit, whose answer is to requeue at once, wherever the code is.

    USR2 (before the time limit, or at preemption where the cluster sends it): a training stops after the step that it
    is at, saves and is requeued; whatever else is requeued at once. TERM (before a kill): a training saves and goes on,
    for whether the job is to be requeued is then not its decision.
    """

    def __init__(self) -> None:
        self._submitit: Any = signal.getsignal(signal.SIGUSR2)
        self._asked, self._save, self._stop = False, False, False
        signal.signal(signal.SIGUSR2, self._on_stop)
        signal.signal(signal.SIGTERM, self._on_save)

    def stop(self) -> bool:
        """Asked by a training after each step."""
        self._asked = True
        return self._save or self._stop

    def stopped(self) -> None:
        """Told that a training has saved and stopped."""
        self._save = False
        if self._stop:
            self._requeue()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        os.write(2, b"asked to stop: this stage is saved and requeued\n")
        self._stop = True
        if not self._asked:
            self._requeue()

    def _requeue(self) -> None:
        from submitit.core.utils import UncompletedJobError

        from mila.errors import UserError

        try:
            self._submitit(signal.SIGUSR2, None)
        except UncompletedJobError as error:
            raise UserError(
                f"the job came to its time limit and is not continued ({error}); give its kind of stage more minutes "
                "or the site more timeouts, then use --retry-failed."
            ) from error

    def _on_save(self, _number: int, _frame: FrameType | None) -> None:
        os.write(2, b"asked to end: what can be saved is saved\n")
        self._save = True
