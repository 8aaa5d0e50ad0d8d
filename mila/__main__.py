"""The command line of trained models.

python -m mila export RUN FILE              a trained model as one file, for another machine
python -m mila export RUN --onnx FOLDER     its steps as ONNX graphs; --torch-export FOLDER as those of torch.export
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mila.common.console import exit_code_of, make_console
from mila.common.files import check_new
from mila.errors import UserError
from mila.streaming.run_options import add_run_options, open_run

if TYPE_CHECKING:  # each command imports what it needs, `--help` no PyTorch
    from rich.console import Console

    from mila.streaming.description import Description
    from mila.video_model import VideoModel


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mila", description="Use a trained model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    export = commands.add_parser("export", help="write a trained model as one file, or as graphs")
    add_run_options(export)
    export.add_argument("file", metavar="FILE", type=Path, nargs="?", help="one file with everything but code")
    export.add_argument("--onnx", metavar="FOLDER", type=Path, help="ONNX graphs of its steps, checked")
    export.add_argument("--torch-export", metavar="FOLDER", type=Path, help="graphs of torch.export, checked")
    return parser


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 well, 1 not possible here, 2 bad input, 130 interrupted."""
    console = make_console()
    options = _parser().parse_args(words)
    command = {"export": _export}[options.command]
    return exit_code_of(lambda: command(options, console), "run the same command again.")


def _export(options: argparse.Namespace, console: Console) -> int:
    from mila.streaming.portable import write_portable

    if options.file is None and options.onnx is None and options.torch_export is None:
        raise UserError("say where to export to: a FILE, --onnx FOLDER or --torch-export FOLDER.")
    if options.onnx is not None:
        from mila.streaming.onnx_files import check_packages

        check_packages()
    for folder in (options.onnx, options.torch_export):
        if folder is not None:
            check_new(folder)
    model, description = open_run(options)
    if options.file is not None:
        write_portable(options.file, model, description)
        console.print(f"{options.file}: {description.title}, {options.file.stat().st_size / 1e6:.1f} MB.")
    if options.onnx is not None or options.torch_export is not None:
        _export_graphs(options, model, description, console)
    return 0


def _export_graphs(options: argparse.Namespace, model: VideoModel, description: Description, console: Console) -> None:
    from mila.streaming.graph_files import torch_run, write_graphs
    from mila.streaming.graphs import export_graphs
    from mila.streaming.onnx_files import onnx_run

    console.print(f"{description.title}: exporting its steps, which takes minutes.")
    graphs = export_graphs(model, description.height, description.width)
    for folder, suffix, save in (
        (options.onnx, ".onnx", onnx_run(graphs)),
        (options.torch_export, ".pt2", torch_run(graphs)),
    ):
        if folder is not None:
            worst = write_graphs(folder, graphs, description, suffix, save)
            size = sum(path.stat().st_size for path in folder.iterdir())
            console.print(
                f"{folder}: {', '.join(graphs.graphs)}; {size / 1e6:.1f} MB. Over {len(graphs.rehearsal.frames)} "
                f"frames their predictions are within {worst:.0e} of the model's."
            )


if __name__ == "__main__":
    sys.exit(main())
