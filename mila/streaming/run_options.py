"""The options by which commands are told which trained model they are about. Needs no PyTorch until one is opened."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mila.common.arguments import given_path
from mila.errors import UserError
from mila.streaming.description import Description
from mila.streaming.saved import open_model

if TYPE_CHECKING:
    from mila.video_model import VideoModel


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add `RUN`, `--results`, `--code` and `--trust-code` to the options of a command."""
    parser.add_argument("run", metavar="RUN", help="hash of a training or a score, or a file of `mila export`")
    parser.add_argument(
        "--results",
        metavar="FOLDER",
        type=given_path,
        default=Path("results"),
        help="of the training (default: results)",
    )
    parser.add_argument(
        "--code", metavar="PATH", type=given_path, help="the Python file that a method of your own is in"
    )
    parser.add_argument(
        "--trust-code", action="store_true", help="run the method's source that the training kept, read it first"
    )


def open_run(options: argparse.Namespace) -> tuple[VideoModel, Description]:
    """The model that the options name, and what it is; see `mila.streaming.saved.open_model`.

    Raises:
        UserError: see there; or `RUN` is neither a file nor a hash.
    """
    path, given = Path(options.run), {"code": options.code, "trust_code": options.trust_code}
    if path.is_file() or (path / "stage.json").is_file():
        return open_model(path, **given)
    if not re.fullmatch("[0-9a-f]+", options.run):
        raise UserError(
            f"{options.run} is neither a file nor a hash; give a file of `mila export`, or a training's hash."
        )
    return open_model(options.results, options.run, **given)
