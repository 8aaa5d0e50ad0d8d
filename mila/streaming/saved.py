"""A trained model, read from the folder of results that it was trained in, or from a file that it was exported to.

    model = mila.load("results", "3f2a")          # the hash of a training, or of one of its scores
    model = mila.load("model.mila")               # see mila.streaming.portable

Needs no PyTorch until a model is built.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mila.common.stored_files import read_bytes
from mila.common.trusted import is_trusted_content
from mila.common.user_code import run_source
from mila.common.versions import PACKAGES
from mila.errors import UserError
from mila.streaming.description import METHOD, Description, arguments_from_json
from mila.streaming.run_folder import WEIGHTS, find_training, read_training

if TYPE_CHECKING:
    from mila.video_model import VideoModel

_PathLike = str | Path


def load(
    run: _PathLike, name: str | None = None, *, code: _PathLike | None = None, trust_code: bool = False
) -> VideoModel:
    """A trained model, ready for use: on the CPU, in eval mode, without what only training needs.

    `model.stream().step(frame)` predicts a video frame by frame, `model(clip, offset)` a clip's last frame.

    Args:
        run: a folder of results and, as `name`, the hash of a training in it, or of what was made of one (a score, a
            video), as far as it is told from others; or the folder of a training itself; or a file of `mila export`.
        name: see above.
        code: the Python file that a method of the user's own is in. It is run. A training keeps a copy of its own; an
            exported file has none.
        trust_code: run the copy that a training kept, also where this user has never run that file: whoever made the
            folder of results decides what it does.

    Raises:
        UserError: there is no such training, it is not finished, what it left is damaged, or its code is not to be run.
    """
    return open_model(run, name, code=code, trust_code=trust_code)[0]


def describe(run: _PathLike, name: str | None = None) -> Description:
    """What a trained model is; nothing is built, and no code is run. Arguments and errors are those of `load`."""
    return _find(Path(run), name).description


def open_model(
    run: _PathLike, name: str | None = None, *, code: _PathLike | None = None, trust_code: bool = False
) -> tuple[VideoModel, Description]:
    """A trained model and what it is; see `load`."""
    saved = _find(Path(run), name)
    own = _own_code(saved, None if code is None else Path(code), trust_code)
    model = _build(saved, own)
    return _with_weights(model, saved), saved.description


@dataclass(frozen=True)
class _Saved:
    """A model that lies on the disk.

    Attributes:
        place: the folder of its training, or the exported file.
        digest: SHA-256 of its weights, where they are a file of their own.
        state: its weights, where they are read already.
    """

    place: Path
    description: Description
    digest: str | None = None
    state: dict[str, Any] | None = None


def _find(run: Path, name: str | None) -> _Saved:
    if run.is_file():
        from mila.streaming.portable import read_portable

        if name is not None:
            raise UserError(f"{run} is a file, which holds one model; leave the hash {name!r} out.")
        description, state = read_portable(run)
        return _Saved(run, description, state=state)
    folder = find_training(run, name)
    description, digest = read_training(folder)
    return _Saved(folder, description, digest)


def _own_code(saved: _Saved, code: Path | None, trust_code: bool) -> ModuleType | None:
    """The user's file that the model is in, run; None for a model of the suite."""
    about = saved.description
    if not about.is_own:
        if code is not None:
            raise UserError(f"{saved.place} holds a model of the suite's own ({about.name}); leave {code} out.")
        return None
    if code is not None:
        return _given_code(code, saved)
    if saved.state is not None:
        raise UserError(
            f"{saved.place} holds the weights of {about.name} and not its source; give {about.code}, the file that it "
            f"was trained with, as code=PATH (--code PATH)."
        )
    path = saved.place / METHOD
    source = read_bytes(path)  # its digest is the record's, see `read_training`
    if not trust_code and not is_trusted_content(hashlib.sha256(source).hexdigest()):
        raise UserError(
            f"{path} would be run, and you have not run it yourself as a --method; read it first, and if you trust it, "
            "give trust_code=True (--trust-code)."
        )
    return run_source(path, source)


def _given_code(code: Path, saved: _Saved) -> ModuleType:
    try:
        source = code.read_bytes()
    except OSError as error:
        raise UserError(f"{code} cannot be read ({error.strerror or error}); give a Python file as code.") from error
    found = hashlib.sha256(source).hexdigest()
    if found != saved.description.digest:
        raise UserError(
            f"{code} is not the {saved.description.code} that {saved.place} was trained with (SHA-256 {found[:12]}..., "
            f"not {(saved.description.digest or '')[:12]}...); give that one."
        )
    return run_source(code, source)


def _build(saved: _Saved, own: ModuleType | None) -> VideoModel:
    """The model with random weights; PyTorch's random generator is left as it was."""
    import torch

    from mila.video_model import VideoModel

    about = saved.description
    if own is None and about.code.split(".")[0] not in PACKAGES:
        raise UserError(f"{saved.place} names {about.code}, which is no module of the suite; it is not run.")
    try:
        kind = getattr(import_module(about.code) if own is None else own, about.name, None)
        if not (isinstance(kind, type) and issubclass(kind, VideoModel)):
            raise ValueError(f"there is no model {about.name!r} in {about.code}")
        arguments = arguments_from_json(about.arguments, own)
        with torch.random.fork_rng(devices=[]):
            return kind(about.suite, **arguments)
    except MemoryError:
        raise
    except Exception as error:  # of whatever a method of the user's own does
        made = about.provenance.get("environment")
        commit = made.get("commit", "unknown") if isinstance(made, dict) else "unknown"
        raise UserError(
            f"{saved.place} holds a {about.name} that this version of the suite does not build ({error}); "
            f"use the one that trained it (commit {commit}), or train it anew."
        ) from error


def _with_weights(model: VideoModel, saved: _Saved) -> VideoModel:
    from mila.common.checkpoint import load_checkpoint

    try:
        if saved.state is not None:  # these are without what only training needs
            model.for_inference()
            model.load_state_dict(saved.state)
        else:
            state = load_checkpoint(saved.place / WEIGHTS, saved.place.name, saved.digest)
            model.load_state_dict(state["model"])
            model.for_inference()
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"the weights in {saved.place} do not fit the {saved.description.name} that this version of the suite "
            "builds; use the version that trained it, or train it anew."
        ) from error
    return model.eval()
