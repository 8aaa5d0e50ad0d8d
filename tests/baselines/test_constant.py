"""The constant predictor against medians, majorities and means, and it alone is fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from baselines.constant import Constant
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.evaluation import evaluate
from mila.model import MILA
from mila.tasks import NYUV2


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """Six tiny rooms."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32), 1, folder)
    return PackedClips(folder)


def test_constant_predictor(clips: PackedClips) -> None:
    model = Constant(NYUV2)
    model.fit(clips.targets())
    targets = [clips.clip(i, 1).targets for i in range(len(clips))]
    labels = np.concatenate([t["segmentation"].ravel() for t in targets])
    depths = np.concatenate([t["depth"].ravel() for t in targets])
    normals = np.concatenate([t["normals"].reshape(3, -1).T for t in targets])
    prediction = model(torch.zeros(2, 1, 3, 4, 5), 0)
    assert prediction["segmentation"].argmax(1).unique().tolist() == [np.bincount(labels[labels >= 0]).argmax()]
    assert prediction["depth"].unique().item() == pytest.approx(np.median(depths[depths > 0]))
    mean = normals.mean(0) / np.linalg.norm(normals.mean(0))
    np.testing.assert_allclose(prediction["normals"][1, :, 2, 3].numpy(), mean, atol=1e-5)
    # Median and majority are the best constants: no other constant depth has a smaller absolute error.
    best = evaluate(model, clips, 0).metrics()
    for shift in (-0.3, 0.3):
        model.values["depth"].data += shift
        assert evaluate(model, clips, 0).metrics()["depth_abs"] > best["depth_abs"]
        model.values["depth"].data -= shift


def test_trained_models_are_not_fitted() -> None:
    fit: Callable[[list[Any]], None] = MILA(NYUV2, 18, 18, width=0.0625).fit
    with pytest.raises(TypeError, match="trained, not fitted"):
        fit([])
