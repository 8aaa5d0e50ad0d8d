"""What a training keeps beside its weights, so that its model can be built without the suite's stages (`mila.load`)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from experiments.models import class_name_of, file_of, module_of
from experiments.stages import Train
from mila.common.files import write_atomic, write_json
from mila.common.user_code import source_of
from mila.data.packed import PackedClips
from mila.streaming.description import DESCRIPTION, METHOD, Description, arguments_as_json, description_as_json


def keep_source(stage: Train, folder: Path) -> None:
    """Keep the source of a method of the user's own, as this process runs it."""
    file = file_of(stage.model)
    if file is not None:
        source = source_of(file)
        write_atomic(folder / METHOD, lambda kept: kept.write(source))


def keep_description(stage: Train, clips: PackedClips, keyframe_interval: int, folder: Path, **found: Any) -> None:
    """Say what the model of a training is.

    Args:
        stage: the training.
        clips: that it was trained on.
        keyframe_interval: of the model.
        folder: of the stage.
        found: what else is known of how it came to be.
    """
    file = file_of(stage.model)
    source = stage.data.source
    data = {"name": source.name, "split": source.split, "mode": source.mode, "clips": len(clips)}
    description = Description(
        title=stage.title,
        code=module_of(stage.model) if file is None else file.name,
        name=class_name_of(stage.model),
        arguments=arguments_as_json(stage.arguments),
        suite=clips.suite,
        height=clips.height,
        width=clips.width,
        keyframe_interval=keyframe_interval,
        digest=None if file is None else hashlib.sha256(source_of(file)).hexdigest(),
        provenance={
            "hash": stage.key,
            "seed": stage.seed,
            "data": {**data, "note": stage.data.manifest.get("note", "")},
            "weighting": stage.weighting,
            "augmentation": stage.augmentation,
            "precision": stage.precision,
            **found,
        },
    )
    write_json(folder / DESCRIPTION, description_as_json(description))
