"""Evaluation and kept predictions against the model itself."""

from __future__ import annotations

import math

import pytest
import torch

from mila.data.clips import normalise
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.errors import DivergedError
from mila.evaluation import evaluate, predict
from mila.metrics import SuiteSums
from mila.model import MILA
from mila.tasks import NYUV2

LENGTH = 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """Six tiny rooms."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32), LENGTH, folder)
    return PackedClips(folder)


def small() -> MILA:
    torch.manual_seed(0)
    return MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=3)


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_evaluation_is_the_models_and_batches_do_not_matter(clips: PackedClips, offset: int) -> None:
    model = small().eval()
    one, many = (evaluate(model, clips, offset, batch=b).metrics() for b in (1, 4))
    assert one == pytest.approx(many, rel=1e-4)
    sums = SuiteSums(NYUV2)
    with torch.no_grad():
        for index in range(len(clips)):
            clip = clips.clip(index, LENGTH)
            frames = normalise(torch.from_numpy(clip.frames))[None]
            targets = {n: torch.from_numpy(t)[None] for n, t in clip.targets.items()}
            sums.update(
                model(frames[:, LENGTH - 2 - offset :], offset),
                {n: t.long() if n == "segmentation" else t for n, t in targets.items()},
            )
    assert one == pytest.approx(sums.compute(), rel=1e-4)


def test_kept_predictions_are_the_models(clips: PackedClips) -> None:
    model = small().eval()
    kept = predict(model, clips, 1, [0, 5])
    with torch.no_grad():
        expected = model(clips.batch([0, 5], 1, 1)[0], 1)
    assert torch.equal(kept["segmentation"].long(), expected["segmentation"].argmax(1))
    assert torch.equal(kept["depth"], expected["depth"])


def test_predictions_without_a_score_are_said_with_their_clips(clips: PackedClips) -> None:
    model = small()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    with pytest.raises(DivergedError, match=r"in clips 1 to 4 of 6 the predicted segmentation is NaN.*no score"):
        evaluate(model, clips, 0, batch=4)
