"""The command `python -m mila export RUN`: a trained model as one file, or as graphs of its steps."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mila.common.arguments import given_path
from mila.common.files import check_new, check_place
from mila.errors import UserError
from mila.streaming.run_options import add_run_options, open_run

if TYPE_CHECKING:  # `--help` needs no PyTorch
    from rich.console import Console

    from mila.streaming.description import Description
    from mila.video_model import VideoModel

ABOUT = "write a trained model as one file, or as graphs for ONNX or torch.export"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_run_options(parser)
    parser.add_argument(
        "file", metavar="FILE", type=given_path, nargs="?", help="weights and what the model is, in one file"
    )
    parser.add_argument("--onnx", metavar="FOLDER", type=given_path, help="its steps as ONNX graphs, checked")
    parser.add_argument("--torch-export", metavar="FOLDER", type=given_path, help="likewise, of torch.export")


def run(options: argparse.Namespace, console: Console) -> int:
    """Do it; returns the exit code.

    Raises:
        UserError: there is no such model, or it cannot be exported there or like this.
    """
    _check(options)
    model, description = open_run(options)
    if options.file is not None:
        from mila.streaming.portable import write_portable

        write_portable(options.file, model, description)
        console.print(f"{options.file}: {description.title}, {options.file.stat().st_size / 1e6:.1f} MB.")
    if options.onnx is not None or options.torch_export is not None:
        _export_graphs(options, model, description, console)
    return 0


def _check(options: argparse.Namespace) -> None:
    """`UserError` for what is wrong before anything is read."""
    folders = [folder for folder in (options.onnx, options.torch_export) if folder is not None]
    if options.file is None and not folders:
        raise UserError("say where to export to: a FILE, --onnx FOLDER or --torch-export FOLDER.")
    for path in (options.file, *folders):
        if path is not None:
            check_place(path)
    if options.file is not None and options.file.exists():
        raise UserError(f"{options.file} is there already; give another name, or delete it first.")
    if len({folder.absolute() for folder in folders}) < len(folders):
        raise UserError(f"--onnx and --torch-export both say {options.onnx}; give each a folder of its own.")
    if options.onnx is not None:
        from mila.streaming.onnx_files import check_packages

        check_packages()
    for folder in folders:
        check_new(folder)


def _export_graphs(options: argparse.Namespace, model: VideoModel, description: Description, console: Console) -> None:
    from mila.streaming.graph_files import torch_run, write_graphs
    from mila.streaming.graphs import export_graphs
    from mila.streaming.onnx_files import onnx_run

    console.print(f"{description.title}: exporting its steps, which takes minutes.")
    graphs = export_graphs(model, description.height, description.width)
    wanted = ((options.onnx, ".onnx", onnx_run(graphs)), (options.torch_export, ".pt2", torch_run(graphs)))
    for folder, suffix, save in wanted:
        if folder is None:
            continue
        worst = write_graphs(folder, graphs, description, suffix, save)
        size = sum(path.stat().st_size for path in folder.iterdir())
        console.print(
            f"{folder}: {', '.join(graphs.graphs)}; {size / 1e6:.1f} MB. Over {len(graphs.rehearsal.frames)} frames "
            f"their predictions are within {worst:.0e} of the model's."
        )
