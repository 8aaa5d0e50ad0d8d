"""Output that cannot be written, and workers that cannot be started, are sentences."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from experiments.runner.launch import launch
from experiments.store import Store
from mila.common.processes import holding_interrupts
from mila.errors import UserError
from tests.support.command_line import SMOKE_RUN, command_line
from tests.support.paths import ROOT
from tests.support.smoke_plans import smoke_plan


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_device_as_output_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command_line("--list"), stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
    assert done.stderr == "error: No space left on device; the same command continues.\n"
    assert done.returncode == 1


@pytest.mark.slow
def test_a_reader_that_ends_is_one_sentence() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command_line("--list"), stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
    )
    os.close(writing)
    assert done.stderr == "error: whoever read the output has ended; the same command continues.\n"
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.9, 1.5])
def test_ctrl_c_while_all_starts_is_one_line(seconds: float, tmp_path: Path) -> None:
    runner = subprocess.Popen(
        command_line(*SMOKE_RUN, "--results", str(tmp_path), "--jobs", "2"),
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    os.killpg(runner.pid, signal.SIGINT)
    error = runner.communicate(timeout=60)[1]
    if runner.returncode != -signal.SIGINT:  # Python itself had not started yet
        assert error == "\ninterrupted; the same command continues.\n"
        assert runner.returncode == 130


@pytest.mark.parametrize("threads", [0, 2])
def test_workers_never_get_a_ctrl_c_and_their_runner_does(threads: int, request: pytest.FixtureRequest) -> None:
    """Another thread than the one that blocks the signal takes it, and Python still interrupts the main one."""
    end = threading.Event()
    others = [threading.Thread(target=end.wait) for _ in range(threads)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born without it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    request.addfinalizer(end.set)
    for other in others:
        other.start()
    workers = []
    with pytest.raises(KeyboardInterrupt), holding_interrupts():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        words = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
        workers.append(subprocess.run([sys.executable, "-c", words], capture_output=True, check=True).stdout)
    assert workers == [b"True\n"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_shared_memory_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(context, "Lock", fail)
    monkeypatch.setattr(context, "SimpleQueue", fail)
    monkeypatch.setattr(context, "Queue", fail)
    with pytest.raises(
        UserError, match=r"no worker processes can be started here \(Read-only file system\); .*/dev/shm"
    ):
        launch([smoke_plan().test_data], Store(tmp_path), 1, "cpu", Console(quiet=True))
