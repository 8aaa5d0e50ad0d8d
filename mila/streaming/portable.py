"""One file that holds a trained model: weights without code, and what the model is. Plain values and tensors alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mila.common.checkpoint import read_tensors, save_checkpoint
from mila.errors import UserError
from mila.streaming.description import Description, description_as_json, description_from_json
from mila.video_model import VideoModel

IDENTITY = "a model exported by the MILA suite"
_REMEDY = "export the model again with `mila export`"


def write_portable(path: Path, model: VideoModel, description: Description) -> None:
    """Write a model into one file, atomically.

    Args:
        path: the file; what is there already is replaced.
        model: without what only training needs (`VideoModel.for_inference`).
        description: of it.

    Raises:
        UserError: `path` is a folder.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the name of a file, such as {path / 'model.mila'}.")
    state = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    save_checkpoint(path, IDENTITY, {"description": description_as_json(description), "model": state})


def read_portable(path: Path) -> tuple[Description, dict[str, Any]]:
    """What `write_portable` wrote: what the model is, and its weights by name.

    Raises:
        UserError: it is damaged, or another file.
        MemoryError: there is too little memory for it.
    """
    values = read_tensors(path, "a file of `mila export`", _REMEDY)
    if values["identity"] != IDENTITY:
        raise UserError(f"{path} is a checkpoint of a training, which does not say of what model; {_REMEDY}.")
    try:
        return description_from_json(values["description"]), values["model"]
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be used ({error}); {_REMEDY}, by this version of the suite.") from error
