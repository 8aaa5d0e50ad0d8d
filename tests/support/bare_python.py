"""A Python that has PyTorch and the usual scientific packages, and nothing else that is installed here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.bundle import PRESENT, with_needs


class BarePython:
    """Runs commands with those packages alone, and what lies in one folder.

    Args:
        folder: an empty one, which gets links to the packages.
        path: the folder that `PYTHONPATH` names.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self._sites, self._path = folder, path
        for package in with_needs(PRESENT, may_lack=True).values():
            for name in {file.parts[0] for file in package.files or () if ".." not in file.parts}:
                found, link = Path(str(package.locate_file(name))), folder / name
                if name == "__pycache__" or link.exists():
                    continue
                link.symlink_to(found)

    def run(self, words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run `python WORDS`; without `site`, Python knows no folder of packages of its own."""
        paths = {"PYTHONPATH": f"{self._path}:{self._sites}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-S", *words]
        return subprocess.run(command, env=paths, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
