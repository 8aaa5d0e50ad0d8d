"""Everything from nothing: arrays, their bound, a submitter that is killed. The longest test: its file comes first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.slurm_bench import Bench, until
from tests.support.slurm_cluster import Cluster


def test_a_killed_submitter_arrays_and_their_bound(cluster: Cluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, offsets=5)  # from nothing: clips, two trainings, six evaluations, a cost
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), *bench.words, "--slurm", str(bench.site), "--wait"]
    most, ended = {"evaluate": 0, "train": 0}, threading.Event()

    def watch() -> None:
        while not ended.wait(0.4):
            running = set(cluster.run("squeue", "-h", "-r", "-t", "RUNNING,COMPLETING", "-o", "%i").split())
            for kind in most:
                jobs = {e.job for e in bench.submission.entries.values() if e.kind == kind}
                most[kind] = max(most[kind], len(running & jobs))

    os.environ["GATE"] = str(bench.gate)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as submitter:
        assert submitter.stdout is not None
        submitted = next(line for line in submitter.stdout if "submitted" in line)  # the submission can be seen now
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        until(lambda: any(state == "done" for state, _ in bench.states().values()))
        submitter.send_signal(signal.SIGKILL)
    assert "11 stages submitted" in submitted
    assert bench.do("--wait") == 0
    ended.set()
    watcher.join()
    assert most["evaluate"] == 2  # as the site file bounds it
    assert 1 <= most["train"] <= 2
    jobs = {e.title: str(e.job) for e in bench.submission.entries.values()}
    evaluations = [job for title, job in jobs.items() if title.startswith("score street Gated")]
    assert sorted(job.split("_")[1] for job in evaluations) == ["0", "1", "2", "3", "4"]
    assert len({job.split("_")[0] for job in evaluations}) == 1
    assert (bench.results / "reports" / "table2-gated-smoke.html").is_file()
