"""Folders of results that hold a finished training, written without one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from mila.common.checkpoint import save_checkpoint
from mila.common.files import file_digest, write_json
from mila.common.stored_files import checksum
from mila.model import MILA
from mila.streaming.description import DESCRIPTION, METHOD, Description, arguments_as_json, description_as_json
from mila.streaming.run_folder import WEIGHTS
from mila.switches import Architecture
from mila.tasks import CITYSCAPES7, Suite
from mila.video_model import VideoModel
from tests.support.fake_models import experienced

KEY, SCORE = "3f2a91c07b5d4e68", "77aa000011112222"
"""Hashes of the training and of its score."""

SMALL: dict[str, Any] = {"slow": 34, "width": 0.0625, "keyframe_interval": 3, "window": 3}
HEIGHT, WIDTH = 24, 32

METHOD_CODE = """
from dataclasses import dataclass
from torch import Tensor, nn
from mila.video_model import FrameModel

print("the method's file is run")

@dataclass(frozen=True)
class Options:
    features: int = 2

class Tiny(FrameModel):
    def __init__(self, suite, options=Options(), scales=(1, 2)):
        super().__init__(suite)
        self.options, self.scales = options, scales
        self.layer = nn.Conv2d(3, suite.tasks[0].channels, 1)

    def predict(self, frame):
        return {self.suite.tasks[0].name: self.layer(frame)}
"""
"""A method of a user's own, with a dataclass of its own among its arguments."""


def small_mila(suite: Suite = CITYSCAPES7, **switches: Any) -> MILA:
    """A small network of one task, with random weights, as trainings leave it."""
    torch.manual_seed(0)
    return experienced(MILA(suite, **{**SMALL, **switches}))


def write_training(
    results: Path, model: VideoModel, *, method: str | None = None, **arguments: Any
) -> tuple[Path, Description]:
    """Write a training and a score of it into a folder of results.

    Args:
        results: the folder.
        model: what was trained.
        method: source of the user's file that it is in.
        arguments: that the model was made with; of `small_mila` where there are none.

    Returns:
        The training's folder, and what it says of the model.
    """
    folder = results / "store" / "train" / KEY
    folder.mkdir(parents=True)
    if method is not None:
        (folder / METHOD).write_text(method, encoding="utf-8")
    about = Description(
        title="street Small, seed 0",
        code=type(model).__module__ if method is None else "tiny.py",
        name=type(model).__name__,
        arguments=arguments_as_json((arguments or {**SMALL, "architecture": Architecture()}).items()),
        suite=model.suite,
        height=HEIGHT,
        width=WIDTH,
        keyframe_interval=model.keyframe_interval,
        digest=None if method is None else hashlib.sha256(method.encode()).hexdigest(),
        provenance={"hash": KEY, "seed": 0},
    )
    write_json(folder / DESCRIPTION, description_as_json(about))
    save_checkpoint(folder / WEIGHTS, KEY, {"model": model.state_dict()})
    write_json(folder / "stage.json", {"title": about.title, "kind": "train", "needs": ["00000000000000da"]})
    finish(folder)
    score = results / "store" / "evaluate" / SCORE
    write_json(score / "stage.json", {"title": "a score", "kind": "evaluate", "needs": [KEY, "00000000000000da"]})
    data = results / "store" / "data" / "00000000000000da"
    write_json(data / "stage.json", {"title": "clips", "kind": "data", "needs": []})
    return folder, about


def finish(folder: Path) -> None:
    """Write a training's record, of the files that lie there."""
    names = [name for name in (DESCRIPTION, METHOD, WEIGHTS) if (folder / name).exists()]
    record = {
        "result": {},
        "seconds": 12.5,
        "finished": "2026-01-02T03:04:05+00:00",
        "environment": {"commit": "0123456789ab"},
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": file_digest(folder / name)} for name in names
        },
    }
    (folder / "record.json").write_text(json.dumps({**record, "checksum": checksum(record)}))
