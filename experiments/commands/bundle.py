"""Pack the suite, with the pure-Python packages that a run needs, into one folder for a machine without an index.

python -m experiments.commands.bundle FOLDER
PYTHONPATH=FOLDER python FOLDER/experiments/run.py --grid reference --profile reference --minutes 9        there
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from experiments.bundle import PRESENT, bundle
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", metavar="FOLDER", type=given_path, help="a new one")
    options = parser.parse_args(words)
    return exit_code_of(lambda: _bundle(options.folder, console), "the same command starts anew.")


def _bundle(folder: Path, console: Console) -> int:
    packed = bundle(folder)
    console.print(f"{folder}: the suite, {', '.join(packed.packages)}; {packed.size / 1e6:.1f} MB.")
    console.print(f"It needs there: {', '.join(PRESENT)}, and what comes with them ({', '.join(packed.left)} too).")
    console.print(f"PYTHONPATH={folder} python {folder / 'experiments' / 'run.py'} --help", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
