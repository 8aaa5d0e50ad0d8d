"""Augmentation in training: the losses are those of the augmented batch, and an interrupted run gives the same."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from baselines.multi_task import MultiTask
from mila.common.types import Progress
from mila.data.augment import augment
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.losses import task_loss
from mila.names import AugmentationName
from mila.schedule import one_part
from mila.tasks import NYUV2
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import Recipe, batch_of


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """Six tiny rooms."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32), 1, folder)
    return PackedClips(folder)


def run(
    clips: PackedClips,
    path: Path,
    augmentation: AugmentationName = "none",
    *,
    seed: int = 0,
    seconds: float = 15.0,
    progress: Progress | None = None,
) -> tuple[MultiTask, list[dict[str, float]]]:
    torch.manual_seed(seed)
    model = MultiTask(NYUV2, 18, width=0.0625)
    recipe = Recipe(one_part(epochs=2, batch=2, lr=1e-3), 5, augmentation=augmentation)  # 6 steps
    return model, train(model, clips, recipe, Checkpoint(path, "me", seconds), callbacks=Callbacks(progress))


def test_training_sees_the_augmented_batch(clips: PackedClips, tmp_path: Path) -> None:
    _, plain = run(clips, tmp_path / "a")
    assert run(clips, tmp_path / "b", augmentation="none")[1] == plain
    _, curve = run(clips, tmp_path / "c", augmentation="default")
    assert curve != plain
    torch.manual_seed(0)
    model = MultiTask(NYUV2, 18, width=0.0625).to(memory_format=torch.channels_last).train()
    indices, offset = batch_of(0, 6, 2, model.keyframe_interval, 5)
    frames, targets = augment(*clips.batch(indices, offset, model.history), NYUV2, "default", 5, 0)
    predictions, _ = model.training_forward(frames, offset, {})
    for task in NYUV2.tasks:
        assert curve[0][task.name] == task_loss(task.name, predictions[task.name], targets[task.name]).item()
    with pytest.raises(ValueError, match="unknown augmentation 'flip'"):
        run(clips, tmp_path / "d", cast(AugmentationName, "flip"))


def test_interrupted_augmented_training_gives_the_same_numbers(clips: PackedClips, tmp_path: Path) -> None:
    whole, curve = run(clips, tmp_path / "whole", augmentation="default")

    def until(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(clips, tmp_path / "part", augmentation="default", progress=until, seconds=0.0)
    done: list[int] = []
    continued, again = run(
        clips, tmp_path / "part", seed=9, augmentation="default", progress=lambda d, _total: done.append(d)
    )
    assert done == [4, 5, 6]
    assert again == curve
    for name, value in whole.state_dict().items():
        assert torch.equal(continued.state_dict()[name], value), name
