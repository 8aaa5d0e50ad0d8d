"""The folder for a machine without a package index: what is in it, and that a run needs nothing else there."""

from __future__ import annotations

from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from experiments import bundle as module
from experiments import bundled
from experiments.bundle import LARGEST, bundle, is_pure, packages_needed
from experiments.commands import bundle as command
from experiments.grids import find_grids
from experiments.plan import RowPlan
from experiments.profiles import SMOKE
from experiments.reference.sizes import sized
from experiments.runner.run_stage import run_stage
from experiments.runs import embedded_plan
from experiments.shipped.store import open_records
from experiments.store import Store
from mila.common.versions import suite_commit
from mila.errors import UserError
from tests.support.bare_python import BarePython
from tests.support.smoke_plans import smoke_plan

NOT_THERE = ("rich", "thop", "cityscapesscripts", "fvcore", "h5py", "submitit", "av")
"""Packages of this environment that a bare machine has not."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundled") / "bundle"
    assert command.main([str(path)]) == 0
    return path


def fake(folder: Path, name: str, *, wheel: str, files: str = "") -> Distribution:
    """An installed package of that name."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "WHEEL").write_text(wheel)
    (about / "RECORD").write_text(files)
    return PathDistribution(about)


def test_it_is_small_and_holds_what_a_run_needs(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert 5_000_000 < sum(path.stat().st_size for path in files) < LARGEST == 30_000_000
    for name in (
        "LICENSE",
        "experiments/run.py",
        "rich/console.py",
        "cityscapesscripts/helpers/labels.py",
        "jinja2/__init__.py",
    ):
        assert (folder / name).is_file()
    assert (folder / "mila" / "carried" / "street-resnet18.pt").is_file()
    assert list(folder.glob("rich-*.dist-info/**/LICENSE*"))
    assert not [path for path in files if path.suffix in (".so", ".pyd", ".pyc")]
    assert not (folder / "cityscapesscripts" / "viewer").exists()
    assert (folder / "experiments" / bundled.COMMIT.name).read_text() == suite_commit()


def test_what_is_pure_python(tmp_path: Path) -> None:
    pure, compiled = "Root-Is-Purelib: true\n", "Root-Is-Purelib: false\n"
    assert is_pure(fake(tmp_path / "a", "one", wheel=pure, files="one/__init__.py,,\n"))
    assert not is_pure(fake(tmp_path / "b", "one", wheel=pure, files="one/fast.so,,\n"))
    assert not is_pure(fake(tmp_path / "c", "one", wheel=compiled, files="one/__init__.py,,\n"))
    assert not is_pure(fake(tmp_path / "d", "one", wheel=""))


def test_compiled_packages_come_with_the_machine_or_are_refused() -> None:
    packed, left = packages_needed()
    assert {package.name.lower() for package in packed} >= {"rich", "filelock", "jinja2", "thop"}
    assert left == ("markupsafe",)  # which Jinja needs, and PyTorch needs Jinja
    with pytest.raises(UserError, match=r"markupsafe \S+ is not pure Python, so it cannot be packed"):
        packages_needed(["jinja2"], present=["filelock"])
    with pytest.raises(UserError, match="no-such-package is not installed here"):
        packages_needed(["no_such_package"])


def test_nothing_is_written_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="is there already"):
        bundle(tmp_path)
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(UserError, match=r"more than the 0.001 MB that a bundle may have; nothing is written"):
        bundle(tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_records_of_a_bundle_name_the_commit_that_was_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "commit.txt").write_text("0123456789ab")
    monkeypatch.setattr(bundled, "COMMIT", tmp_path / "commit.txt")
    store, stage = Store(tmp_path / "store"), smoke_plan().test_data
    assert run_stage(stage, store, "cpu").error is None
    assert store.record(stage).environment["commit"] == "0123456789ab"


@pytest.fixture
def bare(folder: Path, tmp_path: Path) -> BarePython:
    (tmp_path / "packages").mkdir()
    return BarePython(tmp_path / "packages", folder)


@pytest.mark.slow
def test_the_reference_run_needs_nothing_else(folder: Path, bare: BarePython, tmp_path: Path) -> None:
    """All of it, at tiny sizes: measured, sized, trained, scored, its page and its records written, and these read."""
    for name in NOT_THERE:
        there = (folder / name).is_dir()
        found = bare.run(["-c", f"import {name}; print({name}.__file__)"], tmp_path)
        assert (found.returncode == 0) == there, found.stderr
        assert not there or found.stdout.startswith(str(folder))
    run = str(folder / "experiments" / "run.py")
    words = ["--grid", "reference", "--part", "1", "--profile", "smoke-50", "--minutes", "10", "--device", "cpu"]
    done = bare.run([run, *words], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Size: smoke-50." in done.stdout
    assert "7 of 7 rows are done." in done.stdout
    assert (tmp_path / "results/reports/reference1-smoke-50.html").is_file()
    (file,) = (tmp_path / "results/records").iterdir()
    assert file.stat().st_size < 16 * 2**20
    with open_records(file) as store:
        (commit,) = {str(store.record(row.evaluations[0][0]).environment["commit"]) for row in plan_rows()}
        assert commit == suite_commit()
    words = ["--grid", "reference", "--part", "1", "--profile", "smoke-50", "--from-records", str(file)]
    checked = bare.run(["-m", "experiments.benchmarks.bench", "--sizes", "small", "--parts", "checks"], tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    shown = bare.run([run, *words], tmp_path)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert (tmp_path / "results/from-records/reports/reference1-smoke-50.html").is_file()


def plan_rows() -> tuple[RowPlan, ...]:
    """Of what the bundle ran."""
    return embedded_plan(find_grids("reference1")[0], sized(SMOKE, 50)).rows
