"""What others may have put into a shared results folder is never run: neither here nor in a job."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.slurm import job_states
from experiments.slurm.code_copy import check, snapshot
from experiments.slurm.job import STAGES, StageJob
from experiments.slurm.job_states import read_states
from experiments.slurm.own_files import make_private, require_private, shell_check
from experiments.slurm.submissions import Entry, Submission, Submissions
from mila.errors import UserError


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def submitted(tmp_path: Path) -> tuple[Submission, Submissions]:
    """One training whose job has left the queue."""
    submissions = Submissions(tmp_path / "results")
    name = submissions.new_name("test run")
    entry = Entry("t", "t", "train", [], job="7")
    submission = Submission(name, "now", [], "", "", str(tmp_path / "store"), "cpu", None, {}, {"t": entry})
    submissions.save(submission)
    return submission, submissions


def runs(folder: Path, *more: Path) -> bool:
    """Whether a job's script goes on after the check."""
    script = f"set -e\n{shell_check(folder, *more)}\necho on"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == ("on\n" if done.returncode == 0 else "")
    assert ("is not run" in done.stderr) == (done.returncode == 1)
    return done.returncode == 0


def test_only_folders_that_are_the_users_alone_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        make_private(tmp_path / "it's mine")
    finally:
        os.umask(before)
    folder = tmp_path / "it's mine"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    require_private(folder)
    require_private(tmp_path / "none")
    assert runs(folder)
    assert runs(folder, folder)
    assert not runs(folder, tmp_path / "none")
    for mode in (0o770, 0o702, 0o710, 0o704):
        folder.chmod(mode)
        with pytest.raises(UserError, match=r"others may enter .*mine, so .*; delete it, or, .*chmod 700"):
            require_private(folder)
        assert not runs(folder)
    folder.chmod(0o700)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UserError, match="is a link or belongs to another user"):
        require_private(tmp_path / "link")
    assert not runs(tmp_path / "link")
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(UserError, match="belongs to another user, so nothing in it is run"):
        require_private(folder)


@pytest.mark.usefixtures("_signals")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_file_of_somebody_else_ends_it(submitted: tuple[Submission, Submissions], tmp_path: Path) -> None:
    submission, submissions = submitted
    folder = submissions.folder(submission.name)
    (folder / "jobs").mkdir()
    for path in (folder / STAGES, folder / "jobs" / "7_0_result.pkl"):
        path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
        assert runs(folder)
        os.chown(path, 12345, 12345)
        with pytest.raises(UserError, match=f"{path.name} belongs to another user, so nothing .* is run; delete it"):
            submissions.load(submission.name)
        with pytest.raises(UserError, match="belongs to another user"):
            StageJob(folder, "t", tmp_path, "cpu", "")()
        assert not runs(folder)
        path.unlink()
    assert not (tmp_path / "sprung").exists()


@pytest.fixture
def _signals() -> Iterator[None]:
    """Those that a job takes over are as they were afterwards."""
    taken = (signal.SIGTERM, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in taken]
    yield
    for number, handler in zip(taken, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals")
def test_a_job_unpickles_nothing_that_others_could_have_written(tmp_path: Path) -> None:
    make_private(tmp_path / "submission")
    (tmp_path / "submission" / STAGES).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    (tmp_path / "submission").chmod(0o770)
    with pytest.raises(UserError, match="others may enter"):
        StageJob(tmp_path / "submission", "key", tmp_path, "cpu", "")()
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("submitit INFO - Starting\n", ("failed", "ValueError: no luck")),
        ("submitit INFO - Job completed successfully\n", ("lost", "left neither a result nor an error")),
    ],
)
def test_how_a_job_ended_is_read_from_its_log_and_no_pickle(
    submitted: tuple[Submission, Submissions],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    expected: tuple[str, str],
) -> None:
    submission, submissions = submitted
    monkeypatch.setattr(job_states, "read_queue", lambda _: {})
    monkeypatch.setattr(job_states, "read_accounting", lambda _: {})
    jobs = submissions.folder(submission.name) / "jobs"
    jobs.mkdir()
    (jobs / "7_0_result.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    (jobs / "7_0_log.out").write_text(out)
    (jobs / "7_0_log.err").write_text("Traceback\nValueError: no luck\nsrun: error: node: task 0: Exited with code 1\n")
    (status,) = read_states(submission, submissions)
    assert status.state == expected[0]
    assert expected[1] in status.reason
    assert not (tmp_path / "sprung").exists()


def test_submissions_of_others_are_not_this_users(submitted: tuple[Submission, Submissions], tmp_path: Path) -> None:
    submission, submissions = submitted
    folder = submissions.folder(submission.name)
    folder.rename(tmp_path / "theirs")
    folder.symlink_to(tmp_path / "theirs")
    assert submissions.names() == []
    with pytest.raises(UserError, match="is a link or belongs to another user"):
        submissions.load(submission.name)
    folder.unlink()
    (tmp_path / "theirs").rename(folder)
    folder.chmod(0o775)
    with pytest.raises(UserError, match="others may enter"):
        submissions.load(submission.name)


def test_everybody_has_a_copy_of_the_code_that_is_theirs_alone(tmp_path: Path) -> None:
    copy, _ = snapshot(tmp_path / "code", [])
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    copy.rename(tmp_path / "theirs")
    copy.symlink_to(tmp_path / "theirs")
    mine, _ = snapshot(tmp_path / "code", [])
    assert mine.name == f"{copy.name}-{os.getuid()}"
    check(mine)
    mine.chmod(0o755)
    with pytest.raises(UserError, match="others may enter"):
        snapshot(tmp_path / "code", [])
