"""What a record says about the code and the packages behind it; `code_digest` is tested with the stages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mila.common.versions import environment, suite_version
from tests.support.paths import ROOT


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    command = ["git", *who, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def commit_all(folder: Path) -> str:
    """Make a repository of `folder`; returns its commit as records say it."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "all of it")
    return git(folder, "rev-parse", "--short=12", "HEAD")


def ask(suite: Path, question: str) -> str:
    """What a copy of the suite answers, in a process of its own."""
    command = [sys.executable, "-B", "-c", f"import sys, mila.common.versions as versions; print({question})"]
    return subprocess.run(command, cwd=suite, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The module and the package around it, in a folder of somebody else's project."""
    suite = tmp_path / "project" / "third party" / "mila-suite"
    for name in ("mila/__init__.py", "mila/common/version.py", "mila/common/__init__.py", "mila/common/versions.py"):
        (suite / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, suite / name)
    return suite


def test_a_copy_inside_another_repository_does_not_say_that_ones_commit(copy: Path, tmp_path: Path) -> None:
    assert ask(copy, "versions.suite_commit()") == "unknown"  # no repository at all
    commit_all(tmp_path / "project")
    assert ask(copy, "versions.suite_commit()") == "unknown"
    own = commit_all(copy)
    assert ask(copy, "versions.suite_commit()") == own
    (copy / "mila" / "more.py").write_text("")
    assert ask(copy, "versions.suite_commit()") == f"{own}+"


def test_a_hook_of_another_repository_does_not_mislead_it(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_all(tmp_path / "project")
    own = commit_all(copy)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "project" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "project"))
    assert ask(copy, "versions.suite_commit()") == own


def test_a_record_says_the_versions_that_decide_numbers() -> None:
    about = environment("cpu")
    assert about["suite"] == suite_version()
    for package in ("torch", "torchvision", "numpy", "scipy", "pillow"):
        assert re.match(r"\d+\.\d+", about[package]), package
    assert about["numpy"] == version("numpy")
    assert {"python", "platform", "processor", "device", "threads", "commit"} <= set(about)


def test_a_new_version_number_is_no_new_code(copy: Path) -> None:
    question = "versions.suite_version(), versions.code_digest('mila.common.versions')"
    before = ask(copy, question)
    (copy / "mila" / "common" / "version.py").write_text('__version__ = "99.0.0"\n')
    assert ask(copy, question) == before.replace(suite_version(), "99.0.0")


def test_asking_for_code_needs_no_pytorch(copy: Path) -> None:
    assert ask(copy, "versions.code_digest('mila.common.version'), 'torch' in sys.modules").endswith(" False")
