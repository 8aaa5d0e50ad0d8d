"""The command line in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

SMOKE_RUN = ("--grid", "table1", "--profile", "smoke")


def command_line(*words: str) -> list[str]:
    """What a user types."""
    return [sys.executable, str(ROOT / "experiments" / "run.py"), *words]


def run_command(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, which must have this exit code."""
    done = subprocess.run(command_line(*words), capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def results_of(results: Path) -> dict[str, Any]:
    """What every stage computed, by its folder."""
    return {p.parent.name: json.loads(p.read_text())["result"] for p in results.glob("store/*/*/record.json")}
