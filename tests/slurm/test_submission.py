"""What is submitted: resources, the code as it was; what is refused, and what two submissions share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.slurm_bench import Bench, until
from tests.support.slurm_cluster import Cluster


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
    for path in (code / "mila" / "losses.py", code / "experiments" / "runner" / "run_stage.py", bench.method):
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
    bench.hold(2)
    assert bench.submit() == 0
    text = cluster.run("scontrol", "show", "job", bench.job("Gated"))
    for field in ("Account=vision", "QOS=normal", "Features=tiny", "TimeLimit=00:07:00", "NumCPUs=2", "Comment=hello"):
        assert field in text
    assert "MinMemoryNode=1G" in text
    assert "Partition=urgent" in text
    assert "Partition=main" in cluster.run("scontrol", "show", "job", bench.job("score Gated, offset 0"))
    until(lambda: bench.steps == 2)
    process = Path("/proc", (bench.gate / "process").read_text())
    assert b"COLOUR=blue" in (process / "environ").read_bytes().split(b"\0")
    assert bench.do("--cancel") == 0


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
