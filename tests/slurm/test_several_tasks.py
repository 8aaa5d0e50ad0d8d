"""A training that the tasks of one job share, against a real SLURM."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.support.slurm_bench import Bench, until
from tests.support.slurm_cluster import Cluster

TASKS = "\n[train]\ntasks = 2\nmemory_gb = 1\n"


def test_two_tasks_stop_are_requeued_and_end_as_one_process_does(bench: Bench, local: Bench, cluster: Cluster) -> None:
    bench.site.write_text(bench.site.read_text() + TASKS)
    second = bench.hold(4)  # both tasks count their steps
    assert bench.submit() == 0
    job = bench.job("Gated")
    until(lambda: bench.steps == 4)
    cluster.run("scancel", "--signal=USR2", job)
    until(lambda: bench.log(job).count("asked to stop") == 1)
    second.unlink()
    assert bench.ended() == {"done"}
    assert bench.steps == 8  # not one was done twice
    environments = {
        json.loads((path.parent / "stage.json").read_text())["title"]: json.loads(path.read_text())["environment"]
        for path in bench.results.glob("store/*/*/record.json")
    }
    (gated,) = (about for title, about in environments.items() if title == "street Gated, seed 0")
    assert gated["processes"] == 2
    records = bench.records()
    for key, record in local.records().items():
        if "curve" in record:
            for point, wanted in zip(records[key]["curve"], record["curve"], strict=True):
                assert point == pytest.approx(wanted, rel=1e-3)


def test_a_killed_task_ends_the_job(bench: Bench, cluster: Cluster) -> None:
    bench.site.write_text(bench.site.read_text() + TASKS)
    second = bench.hold(4)
    assert bench.submit() == 0
    until(lambda: bench.steps == 4)
    os.kill(int((bench.gate / "process").read_text()), signal.SIGKILL)  # of the task that came last
    second.unlink()
    assert bench.do("--wait") == 1
    states = bench.states()
    assert states["Gated"][0] in ("failed", "lost")
    assert states["score Gated, offset 0"][0] == "skipped"
    assert not bench.left(cluster)
    assert bench.do("--retry-failed") == 0
    assert bench.ended() == {"done"}
