"""Submitting, waiting, failing, continuing: all against a real SLURM."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.slurm_bench import Bench, until
from tests.support.slurm_cluster import Cluster


def field(cluster: Cluster, job: str, name: str) -> str:
    """A field of what SLURM says about a job."""
    text = cluster.run("scontrol", "show", "job", job)
    return next(word.partition("=")[2] for word in text.split() if word.startswith(f"{name}="))


def test_a_failed_stage_ends_its_children_and_is_retried(bench: Bench, cluster: Cluster) -> None:
    broken = bench.gate / "break"
    broken.touch()
    assert bench.submit("--wait") == 1
    states = bench.states()
    assert states["Gated"][0] == "failed"
    assert "RuntimeError: the gate is broken" in states["Gated"][1]
    assert states["score Gated, offset 0"] == ("skipped", "it needs street Gated, seed 0, which failed")
    assert not bench.left(cluster)
    assert not (bench.results / "reports").exists()
    broken.unlink()
    assert bench.do("--retry-failed", "--wait") == 0
    assert {state for state, _ in bench.states().values()} == {"done"}
    assert (bench.results / "reports" / "table2-gated-smoke.csv").is_file()
    assert bench.submit() == 0  # nothing is left to do


def test_a_told_training_saves_at_its_step_is_requeued_and_ends_the_same(
    bench: Bench, local: Bench, cluster: Cluster
) -> None:
    second, third = bench.hold(2), bench.hold(3)
    assert bench.submit() == 0
    job = bench.job("Gated")
    # a signal, as before the time limit
    until(lambda: bench.steps == 2)
    cluster.run("scancel", "--signal=USR2", job)
    until(lambda: "asked to stop" in bench.log(job))
    second.unlink()
    # a preemption by a partition that comes first
    until(lambda: bench.steps == 3)
    assert field(cluster, job, "Restarts") == "1"
    cluster.run("sbatch", "-p", "urgent", "-c4", "-o", "/dev/null", "--wrap", "sleep 2")
    until(lambda: bench.log(job).count("asked to stop") == 2)
    third.unlink()
    assert bench.ended() == {"done"}
    assert field(cluster, job, "Restarts") == "2"
    assert bench.steps == 4  # not one was done twice
    assert bench.records() == local.records()
    assert bench.weights() == local.weights()


def test_a_killed_job_is_noticed_and_its_stage_continued(bench: Bench) -> None:
    second, third = bench.hold(2), bench.hold(3)
    assert bench.submit() == 0
    until(lambda: bench.steps == 2)
    process = int((bench.gate / "process").read_text())
    os.kill(process, signal.SIGTERM)  # what comes before a kill: the training saves, and goes on until it comes
    until(lambda: "asked to end" in bench.log(bench.job("Gated")))
    second.unlink()
    until(lambda: bench.steps == 3)
    os.kill(process, signal.SIGKILL)
    assert bench.ended() == {"failed", "skipped"}
    state, reason = bench.states()["Gated"]
    assert state == "failed"
    assert "its job failed" in reason
    third.unlink()
    assert bench.do("--retry-failed") == 0
    assert bench.ended() == {"done"}
    assert bench.steps == 4 + 1  # the one that was killed


def test_cancelled_jobs_end_and_can_be_continued(
    bench: Bench, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    second = bench.hold(2)
    assert bench.submit() == 0
    until(lambda: bench.steps == 2)
    assert bench.do("--cancel") == 0
    until(lambda: not cluster.run("squeue", "-h"))
    assert bench.states()["Gated"] == ("cancelled", "")
    assert bench.states()["score Gated, offset 0"] == ("cancelled", "")
    assert bench.do("--status") == 1
    assert " cancelled" in capsys.readouterr().out
    second.unlink()
    assert bench.do("--retry-failed") == 0
    assert bench.ended() == {"done"}
    assert bench.do("--status") == 0
