"""What a command loads: the light ones need neither PyTorch nor plotting libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import SMOKE_RUN
from tests.support.paths import ROOT

PLOTTING = ("pandas", "matplotlib", "h5py", "scipy", "jinja2", "reports")
"""What reports and readers of real data need."""

TORCH = ("torch", "torchvision", "numpy")

PROGRAM = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("loaded:", *sys.modules, file=sys.stderr)
"""


def loaded_by(*words: str) -> set[str]:
    """The modules that the command line has loaded when it ends."""
    run = [sys.executable, "-c", PROGRAM, str(ROOT / "experiments" / "run.py"), *words]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=False)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("loaded:"))
    modules = set(line.split())
    assert "experiments.commands.run" in modules
    return modules


@pytest.mark.parametrize("words", [["--help"], ["--list"], ["--show", "12ab"], ["--clean"], ["--status"]])
def test_what_computes_nothing_needs_no_pytorch(words: list[str], tmp_path: Path) -> None:
    assert not loaded_by(*words, "--results", str(tmp_path)) & {*TORCH, *PLOTTING}


@pytest.mark.slow
@pytest.mark.parametrize("word", ["--dry-run", "--status"])
def test_what_plans_needs_no_plotting(word: str, tmp_path: Path) -> None:
    assert not loaded_by(*SMOKE_RUN, word, "--results", str(tmp_path)) & set(PLOTTING)
