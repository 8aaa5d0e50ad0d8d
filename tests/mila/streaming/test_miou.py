"""What bfloat16 does to the scores of a trained model: less than 0.1 point of mIoU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.metrics import SuiteSums
from mila.model import MILA
from mila.schedule import one_part
from mila.streaming.optimise import Optimised, optimise
from mila.tasks import CITYSCAPES
from mila.training import Checkpoint, train
from mila.training_steps import Recipe

LENGTH = 6


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """Eight small streets."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("street", "train", clips=8, height=64, width=128, stride=4, suite=CITYSCAPES), LENGTH, folder)
    return PackedClips(folder)


def scores(model: MILA | Optimised, clips: PackedClips) -> dict[str, float]:
    """Of streams of all clips."""
    sums = SuiteSums(CITYSCAPES)
    frames, targets = clips.batch(range(len(clips)), 4, 0, "cpu")
    stream = model.stream()
    with torch.no_grad():
        for frame in frames.unbind(1):
            predictions = stream.step(frame)
    sums.update(predictions, targets)
    return sums.compute()


@pytest.mark.slow
def test_scores_of_a_trained_model(clips: PackedClips, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MILA(CITYSCAPES, 18, 18, width=0.125, zero_init_residual=True, decoder_norm="group")
    recipe = Recipe(one_part(epochs=30, batch=4, lr=4e-3, decay="cosine"), 0)
    train(model, clips, recipe, Checkpoint(tmp_path / "checkpoint.pt", "x"))
    model.eval()
    plain = scores(model, clips)
    assert plain["miou"] > 0.3  # it has learnt these streets
    for stacked in (False, True):
        found = scores(optimise(model, "bfloat16", stacked=stacked), clips)
        assert abs(found["miou"] - plain["miou"]) < 0.001
        assert found["depth_abs"] == pytest.approx(plain["depth_abs"], rel=0.01)
