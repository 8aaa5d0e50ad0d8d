"""A cluster for all tests, and a bench: a results folder with a small method whose training the test holds and lets go.

The ordinary tests do not come here; `nox -s tests-slurm` does.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.run import main
from experiments.slurm_ledger import Ledger, Submission
from experiments.slurm_state import look
from tests_slurm.cluster import Cluster

METHOD = '''
"""A small network. Its training counts its steps, and waits or breaks where a file says so."""

import time
from pathlib import Path

from baselines.multi_task import MultiTask
from experiments.grids.grid import Row, frame_row

GATE = Path({gate!r})
ROW = frame_row("Gated", None, "Gated", depth=18)


class Gated(MultiTask):
    """A frame-by-frame model."""

    def __init__(self, suite, keyframe_interval: int = {offsets}, **switches):
        super().__init__(suite, **switches)
        self.keyframe_interval = keyframe_interval

    def training_forward(self, clip, offset):
        """Pass the gate first."""
        with (GATE / "steps").open("a") as file:
            file.write("x")
        if (GATE / "break").exists():
            raise RuntimeError("the gate is broken")
        while (GATE / ("hold-%d" % (GATE / "steps").stat().st_size)).exists():
            time.sleep(0.02)
        return super().training_forward(clip, offset)
'''

SITE = """
parallelism = 2
memory_gb = 0.5
minutes = 30
"""


def until(ready: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := ready()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
    return value


class Bench:
    """One results folder, one method, one site file."""

    def __init__(self, folder: Path, base: Path | None = None, offsets: int = 1) -> None:
        self.folder, self.results, self.gate = folder, folder / "results", folder / "gate"
        self.gate.mkdir(parents=True)
        self.method = folder / "gated.py"
        single = "keyframe_interval: int = 1, "
        text = METHOD.format(gate=str(self.gate), offsets=offsets)
        self.method.write_text(text.replace(single, "").replace("= keyframe_interval", "= 1") if offsets == 1 else text)
        self.site = folder / "site.toml"
        self.site.write_text(SITE)
        if base is not None:
            shutil.copytree(base, self.results / "store")
        self.words = ["--grid", "table2", "--profile", "smoke", "--method", str(self.method), "--rows", "Gated"]
        self.words += ["--results", str(self.results)]

    def submit(self, *more: str) -> int:
        """Submit the method's stages, here."""
        return main([*self.words, "--slurm", str(self.site), *more])

    def do(self, *words: str) -> int:
        """Another command on the same results, here."""
        return main([*words, "--results", str(self.results)])

    @property
    def submission(self) -> Submission:
        """The latest one."""
        ledger = Ledger(self.results)
        return ledger.load(ledger.find(""))

    def states(self) -> dict[str, tuple[str, str]]:
        """State and reason by title of the stage, without the world's and the seed's names."""
        found = look(self.submission, Ledger(self.results))
        return {_short(s.entry.title): (str(s.state), s.reason) for s in found}

    def job(self, title: str) -> str:
        """The job of a stage."""
        (job,) = (e.job for e in self.submission.entries.values() if _short(e.title) == title)
        assert job is not None
        return job

    def log(self, job: str) -> str:
        """What the job said so far."""
        path = Ledger(self.results).folder(self.submission.name) / "jobs" / f"{job}_0_log.err"
        return path.read_text() if path.exists() else ""

    @property
    def steps(self) -> int:
        """Training steps begun, by all attempts together."""
        path = self.gate / "steps"
        return path.stat().st_size if path.exists() else 0

    def hold(self, step: int) -> Path:
        """Let the training wait in this step, from 1 up, until the file is removed."""
        path = self.gate / f"hold-{step}"
        path.touch()
        return path

    def records(self) -> dict[str, Any]:
        """What every stage computed, by its key."""
        return {p.parent.name: json.loads(p.read_text())["result"] for p in self.results.glob("store/*/*/record.json")}

    def weights(self) -> dict[str, bytes]:
        """The trained weights, by key."""
        return {p.parent.name: p.read_bytes() for p in self.results.glob("store/train/*/model.pt")}


def _short(title: str) -> str:
    return title.replace("street ", "").replace(", seed 0", "")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With accounting; the environment points at it."""
    with Cluster(tmp_path_factory.mktemp("slurm") / "cluster", accounting=True) as cluster:
        os.environ["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
        yield cluster


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the clips and the constant predictor, made without SLURM."""
    bench = Bench(tmp_path_factory.mktemp("base"))
    assert main([*bench.words, "--jobs", "2"]) == 0
    for record in (bench.results / "store").glob("*/*/stage.json"):
        if "Gated" in record.read_text():
            shutil.rmtree(record.parent)
    return bench.results / "store"


@pytest.fixture
def bench(cluster: Cluster, base: Path, tmp_path: Path) -> Iterator[Bench]:
    """With the clips there already: what is left is a training, its evaluation and its cost."""
    bench = Bench(tmp_path, base)
    yield bench
    left = cluster.run("squeue", "-h")
    if left:
        cluster.run("scancel", "-u", getpass.getuser())
        until(lambda: not cluster.run("squeue", "-h"))
    assert not left, f"jobs are left in the queue: {left}"
