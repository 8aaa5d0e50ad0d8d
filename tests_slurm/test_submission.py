"""What is submitted: arrays, bounds, resources, the code as it was; a submitter that is killed; what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests_slurm.cluster import Cluster
from tests_slurm.conftest import Bench, until

ROOT = Path(__file__).resolve().parents[1]


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
        said = submitter.stdout.readline()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        until(lambda: any(state == "done" for state, _ in bench.states().values()))
        submitter.send_signal(signal.SIGKILL)
    assert "11 stages submitted" in said
    assert bench.do("--wait") == 0
    ended.set()
    watcher.join()
    assert most["evaluate"] == 2  # as the site file bounds it
    assert 1 <= most["train"] <= 2
    jobs = {e.title: str(e.job) for e in bench.submission.entries.values()}
    evaluations = [job for title, job in jobs.items() if title.startswith("score street Gated")]
    assert sorted(job.split("_")[1] for job in evaluations) == ["0", "1", "2", "3", "4"]
    assert len({job.split("_")[0] for job in evaluations}) == 1
    assert (bench.results / "reports" / "table2-smoke.html").is_file()


def test_jobs_run_the_code_as_it_was_at_submission(cluster: Cluster, base: Path, tmp_path: Path) -> None:
    code = tmp_path / "working copy"
    for package in ("mila", "baselines", "experiments", "reports"):
        shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    bench = Bench(tmp_path / "bench", base)
    os.environ["GATE"] = str(bench.gate)
    busy = cluster.run("sbatch", "-c4", "-o", "/dev/null", "--wrap", "sleep 600").split()[-1]
    command = [sys.executable, str(code / "experiments" / "run.py"), *bench.words, "--slurm", str(bench.site)]
    subprocess.run(command, check=True, cwd=code, env=os.environ | {"PYTHONPATH": str(code)}, stdout=subprocess.DEVNULL)
    assert {state for state, _ in bench.states().values()} == {"pending"}
    for path in (code / "mila" / "losses.py", code / "experiments" / "execute.py", bench.method):
        path.write_text("raise RuntimeError('edited after submission')\n")
    cluster.run("scancel", busy)
    assert bench.ended() == {"done"}
    assert set(bench.submission.entries) <= set(bench.records())


def test_two_submissions_share_their_jobs(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    second = bench.hold(2)
    assert bench.submit() == 0
    first = bench.job("Gated")
    until(lambda: bench.steps == 2)
    assert bench.submit() == 0
    assert " stages are those of an earlier submission" in capsys.readouterr().out
    assert bench.job("Gated") == first
    assert bench.do("--cancel") == 0  # the jobs are not its own
    second.unlink()
    assert bench.ended() == {"done"}
    assert bench.steps == 4


def test_what_the_site_file_asks_for_is_what_the_jobs_get(bench: Bench, cluster: Cluster) -> None:
    cluster.run("sacctmgr", "-i", "-Q", "add", "account", "vision")
    cluster.run("sacctmgr", "-i", "-Q", "add", "user", str(os.environ.get("USER") or "root"), "account=vision")
    bench.site.write_text(
        'account = "vision"\nqos = "normal"\nconstraint = "tiny"\nmemory_gb = 0.5\nsetup = ["export COLOUR=blue"]\n'
        'signal_seconds = 30\n[sbatch]\ncomment = "hello"\n'
        '[train]\nminutes = 7\ncpus = 2\nmemory_gb = 1\npartition = "urgent"\n'
    )
    second = bench.hold(2)
    assert bench.submit() == 0
    text = cluster.run("scontrol", "show", "job", bench.job("Gated"))
    for said in ("Account=vision", "QOS=normal", "Features=tiny", "TimeLimit=00:07:00", "NumCPUs=2", "Comment=hello"):
        assert said in text
    assert "MinMemoryNode=1G" in text
    assert "Partition=urgent" in text
    assert "Partition=main" in cluster.run("scontrol", "show", "job", bench.job("score Gated, offset 0"))
    second.unlink()
    assert bench.ended() == {"done"}


@pytest.mark.parametrize(
    ("site", "sentence"),
    [
        ('[evaluate]\npartition = "nowhere"\n', "SLURM refuses the evaluate jobs (Batch job submission failed: "),
        ('[train]\nconstraint = "golden"\n', "SLURM refuses the train jobs (Batch job submission failed: "),
    ],
)
def test_what_slurm_refuses_is_said_and_nothing_stays(
    bench: Bench, cluster: Cluster, capsys: pytest.CaptureFixture[str], site: str, sentence: str
) -> None:
    bench.site.write_text(site)
    assert bench.submit() == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    until(lambda: not cluster.run("squeue", "-h"))
    assert {state for state, _ in bench.states().values()} == {"not submitted"}


def test_what_can_never_start_is_not_waited_for(bench: Bench, cluster: Cluster) -> None:
    good = bench.site.read_text()
    bench.site.write_text(good + "[train]\ncpus = 4000\n")
    assert bench.submit("--wait") == 1  # SLURM takes it, and lets it pend
    states = bench.states()
    assert states["Gated"] == ("stuck", "SLURM will not start it: PartitionConfig")
    assert states["score Gated, offset 0"] == ("stuck", "it needs street Gated, seed 0, which is stuck")
    bench.site.write_text(good)
    assert bench.do("--retry-failed", "--slurm", str(bench.site)) == 0
    assert bench.ended() == {"done"}
    assert not bench.left(cluster)
