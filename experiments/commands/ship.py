"""Write the records of finished runs into one file that ships with the suite, see `experiments.shipped`.

python -m experiments.commands.ship --grid table2 table5 --profile study --seeds 0 1 2 --results FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from experiments.commands.options import Options
from experiments.commands.plans import plans_of
from experiments.shipped import STUDY
from experiments.shipped.pack import Shipped, ship
from experiments.store import Store
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console

LARGEST = 6_000_000
"""Bytes that a repository carries without pain."""
_SHOWN = 10


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--grid", metavar="NAME", nargs="+", required=True, help="whose stages to ship")
    parser.add_argument("--profile", metavar="NAME", default="study", help="that they were run with (default: study)")
    parser.add_argument("--seeds", metavar="N", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--results", metavar="FOLDER", type=given_path, default=Path("results"), help="where they are")
    parser.add_argument(
        "--out", metavar="FILE", type=given_path, default=STUDY, help="the file (default: the suite's own)"
    )
    parser.add_argument("--partial", action="store_true", help="leave out what is not finished, instead of refusing")
    options = parser.parse_args(words)
    return exit_code_of(lambda: _ship(options, console))


def _ship(options: argparse.Namespace, console: Console) -> int:
    asked = Options(profile=options.profile, seeds=tuple(options.seeds), results=options.results)
    named = [Options(**{**vars(asked), "grid": name}) for name in options.grid]
    plans = [plan for each in named for plan in plans_of(each)]
    shipped = ship(plans, Store(asked.store), options.out, largest=LARGEST, partial=options.partial)
    for line in _said(shipped, options.out):
        console.print(line, markup=False, highlight=False)
    return 0


def _said(shipped: Shipped, path: Path) -> list[str]:
    lines = [f"left out: {stage.title} ({reason})" for stage, reason in shipped.left_out[:_SHOWN]]
    more = len(shipped.left_out) - _SHOWN
    lines += [f"left out: {more} more"] * (more > 0)
    return [*lines, f"{path}: {shipped.stages} records, {shipped.size / 1e6:.2f} MB."]


if __name__ == "__main__":
    sys.exit(main())
