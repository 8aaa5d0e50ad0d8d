"""The command line of trained models.

python -m mila predict RUN INPUT --out OUT  a trained model on a video, a folder of images or a camera
python -m mila export RUN FILE              a trained model as one file, for another machine
python -m mila export RUN --onnx FOLDER     its steps as ONNX graphs; --torch-export FOLDER as those of torch.export
"""

from __future__ import annotations

import argparse
import sys

from mila.common.console import exit_code_of, make_console
from mila.streaming import command as export
from mila.video import command as predict


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mila", description="Use a trained model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    predict.add_options(commands.add_parser("predict", help=predict.ABOUT))
    export.add_options(commands.add_parser("export", help=export.ABOUT))
    return parser


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 well, 1 not all of it, 2 bad input, 130 interrupted."""
    console = make_console()
    options = _parser().parse_args(words)
    run = {"predict": predict.run, "export": export.run}[options.command]
    return exit_code_of(lambda: run(options, console), "run the same command again.")


if __name__ == "__main__":
    sys.exit(main())
