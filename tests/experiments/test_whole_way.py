"""Reader, packed clips, model, metrics, one after the other, for the Cityscapes tasks: small files, the world, real."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F

from mila.data.clips import ClipSource
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.cityscapes import Cityscapes
from mila.data.worlds.clips import WorldClips
from mila.evaluation import evaluate
from mila.metrics import SuiteSums
from mila.model import MILA
from mila.schedule import one_part
from mila.tasks import CITYSCAPES
from mila.training import Checkpoint, train
from mila.training_steps import Recipe
from tests.support.fake_files import open_cities, sample

METRICS = {m.name for task in CITYSCAPES.tasks for m in task.metrics}


def whole_way(source: ClipSource, folder: Path) -> None:
    """Pack, train for a few steps, score at every offset; and score the truth itself."""
    pack(source, 6, folder / "clips")
    clips = PackedClips(folder / "clips")
    assert clips.suite is CITYSCAPES
    torch.manual_seed(0)
    model = MILA(CITYSCAPES, 18, 18, width=0.0625)
    curve = train(model, clips, Recipe(one_part(epochs=3, batch=2, lr=1e-3), 0), Checkpoint(folder / "c", "x"))
    assert all(math.isfinite(value) for point in curve for value in point.values())
    for offset in range(5):
        metrics = evaluate(model, clips, offset).metrics()
        assert set(metrics) == METRICS
        assert all(math.isfinite(value) for value in metrics.values())
        assert 0 <= metrics["miou"] < 1
        assert metrics["depth_abs"] > 0

    sums = SuiteSums(CITYSCAPES)
    for index in range(len(clips)):
        _, targets = clips.batch([index], 0, 0)
        labels = targets["segmentation"]
        guess = {"segmentation": F.one_hot(labels.clamp(min=0), 7).movedim(-1, 1), "depth": targets["depth"]}
        sums.update(guess, targets)
    truth = sums.compute()
    assert truth["miou"] == truth["pixel_acc"] == truth["miou_image"] == 1
    assert truth["depth_abs"] == truth["depth_rel"] == 0
    if any((clips.clip(i, 1).targets["segmentation"] < 0).any() for i in range(len(clips))):
        assert truth["miou_image_void"] < 1  # definition A charges what is said about void


def test_small_official_snippet(cities: Path, tmp_path: Path) -> None:
    (cities / "gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png").unlink()  # it has two frames only
    whole_way(open_cities(cities), tmp_path)


def test_street(tmp_path: Path) -> None:
    whole_way(WorldClips("street", "train", clips=2, height=32, width=64), tmp_path)


def test_real_cityscapes_snippets(tmp_path: Path) -> None:
    whole_way(Cityscapes(sample("cityscapes"), "train", height=64, width=128), tmp_path)
