"""A cluster, and a bench: a results folder with a small method whose training the test holds and lets go.

The ordinary tests do not come here; `nox -s tests-slurm` does. Each of pytest's processes has a cluster of its own.
"""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from experiments.commands.run import main
from tests.support.slurm_bench import Bench, until
from tests.support.slurm_cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With accounting; the environment points at it."""
    with Cluster(tmp_path_factory.mktemp("slurm") / "cluster", accounting=True) as cluster:
        os.environ["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
        yield cluster


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Bench:
    """The same stages without SLURM and without an interruption; run once for all of pytest's processes."""
    root = tmp_path_factory.getbasetemp()
    folder = (root if worker_id == "master" else root.parent) / "local"
    with FileLock(f"{folder}.lock"):
        bench = Bench(folder)
        if not (bench.results / "reports").exists():
            os.environ["GATE"] = str(bench.gate)
            assert main([*bench.words, "--jobs", "1"]) == 0
    return bench


@pytest.fixture(scope="session")
def base(local: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the clips, the constant predictor and the method's cost alone."""
    store = tmp_path_factory.mktemp("base") / "store"
    shutil.copytree(local.results / "store", store)
    for kind in ("train", "evaluate"):
        for stage in (store / kind).glob("*/stage.json"):
            if "Gated" in stage.read_text():
                shutil.rmtree(stage.parent)
    return store


@pytest.fixture(autouse=True)
def nothing_is_left(cluster: Cluster) -> Iterator[None]:
    """After each test the queue is empty; where a job stays the test has failed, and the job is ended."""
    yield
    left = Bench.left(cluster)
    if left:
        cluster.run("scancel", "-u", getpass.getuser())
        until(lambda: not cluster.run("squeue", "-h"))
    assert not left, f"jobs are left in the queue: {left}"


@pytest.fixture
def bench(cluster: Cluster, base: Path, tmp_path: Path) -> Bench:  # noqa: ARG001
    """With the clips there already: what is left is a training and its evaluation."""
    return Bench(tmp_path, base)
