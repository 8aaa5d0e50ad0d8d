"""Time limits, a site without accounting, and a controller that has forgotten everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.commands import slurm
from tests.support.slurm_bench import Bench, until
from tests.support.slurm_cluster import Cluster


def test_time_limits(bench: Bench, base: Path, cluster: Cluster) -> None:
    # A training that comes to its limit: SLURM tells it, when it next looks; meanwhile ...
    bench.site.write_text("memory_gb = 0.5\nsignal_seconds = 300\n[train]\nminutes = 10\n")
    held = bench.hold(2)
    assert bench.submit() == 0
    until(lambda: bench.steps == 2)
    job = bench.job("Gated")
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=5")
    # ... one that has reached its limit too often
    often = Bench(bench.folder / "often", base)
    often.site.write_text("memory_gb = 0.5\ntimeouts = 0\n[train]\nminutes = 5\n")
    second = often.hold(2)
    assert often.submit() == 0
    until(lambda: often.steps == 2)
    cluster.run("scancel", "--signal=USR2", often.job("Gated"))
    until(lambda: "asked to stop" in often.log(often.job("Gated")))
    second.unlink()
    assert often.ended() == {"failed", "skipped"}
    assert often.states()["Gated"][0] == "failed"
    assert "came to its time limit" in often.states()["Gated"][1]
    often.site.write_text("memory_gb = 0.5\n[train]\nminutes = 50\n")
    assert often.do("--retry-failed", "--slurm", str(often.site)) == 0
    assert often.ended() == {"done"}
    assert often.steps == 4

    until(lambda: "asked to stop" in bench.log(job))
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=10")  # else it is told again, after its requeue
    held.unlink()
    assert bench.ended() == {"done"}
    assert bench.steps == 4
    assert "(49 remaining timeouts)" in bench.log(job)


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster without accounting: `sacct` is there and gives an error."""
    with Cluster(tmp_path / "cluster", accounting=False) as cluster:
        monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
        yield cluster


def test_without_accounting_nothing_is_waited_for_in_vain(
    forgetful: Cluster, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "LOST_AFTER", 2.0)
    broken, held = Bench(tmp_path / "broken", base), Bench(tmp_path / "held", base)
    (broken.gate / "break").touch()
    first = held.hold(1)
    assert broken.submit() == 0
    assert held.submit() == 0
    broken.ended()
    expected = {"Gated": "failed", "score Gated, offset 0": "skipped"}
    assert {title: state for title, (state, _) in broken.states().items()} == expected
    until(lambda: held.steps == 1)
    forgetful.forget()
    assert {title: state for title, (state, _) in broken.states().items()} == expected
    assert held.do("--wait") == 1
    assert held.states()["Gated"][0] == "lost"
    assert held.states()["score Gated, offset 0"][0] == "skipped"
    # the process itself may live on; what it leaves counts
    first.unlink()
    until(lambda: held.states()["Gated"][0] == "done")
