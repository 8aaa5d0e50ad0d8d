"""What a fresh process imports."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "torchvision", "h5py", "scipy", "PIL", "matplotlib", "pandas")


def imported(code: str) -> set[str]:
    """Which of `HEAVY` a fresh process has imported once it has run `code`."""
    code += f"\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())
