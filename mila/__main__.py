"""The command line of trained models.

python -m mila predict RUN INPUT --out OUT  a trained model on a video, a folder of images or a camera
python -m mila export RUN FILE              a trained model as one file, for another machine
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mila.common.console import exit_code_of, make_console
from mila.streaming.run_options import add_run_options, open_run
from mila.video.command import ABOUT, add_options, run

if TYPE_CHECKING:  # each command imports what it needs, `--help` no PyTorch
    from rich.console import Console


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mila", description="Use a trained model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    add_options(commands.add_parser("predict", help=ABOUT))
    export = commands.add_parser("export", help="write a trained model as one file")
    add_run_options(export)
    export.add_argument("file", metavar="FILE", type=Path, help="where it goes")
    return parser


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 well, 1 not possible here, 2 bad input, 130 interrupted."""
    console = make_console()
    options = _parser().parse_args(words)
    command = {"predict": run, "export": _export}[options.command]
    return exit_code_of(lambda: command(options, console), "run the same command again.")


def _export(options: argparse.Namespace, console: Console) -> int:
    from mila.streaming.portable import write_portable

    model, description = open_run(options)
    write_portable(options.file, model, description)
    console.print(f"{options.file}: {description.title}, {options.file.stat().st_size / 1e6:.1f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
