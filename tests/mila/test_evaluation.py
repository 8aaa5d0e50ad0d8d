"""Evaluation and kept predictions against the model itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.multi_task import MultiTask
from baselines.slow_fast import SlowFast
from mila.data.clips import normalise
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.errors import DivergedError
from mila.evaluation import evaluate, evaluate_offsets
from mila.metrics import SuiteSums
from mila.model import MILA
from mila.switches import Architecture
from mila.tasks import NYUV2
from mila.video_model import Stream, VideoModel

LENGTH = 6


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


class Whole(VideoModel):
    """A video model that does not say which maps depend on single frames, as a user's may not."""

    def __init__(self) -> None:
        super().__init__(NYUV2, 3, 1)
        self.inner = small()

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        predictions: dict[str, Tensor] = self.inner(clip, offset)
        return predictions

    def stream(self) -> Stream:
        return self.inner.stream()


FUSED = Architecture(propagate="fused")
slow_fast = partial(SlowFast, NYUV2, 18, 18, width=0.0625, keyframe_interval=3)
MODELS: dict[str, Callable[[], VideoModel]] = {
    "MILA": small,
    "fused features passed on": partial(slow_fast, architecture=FUSED),
    "fast features compared": partial(slow_fast, propagation="svc"),
    "frames compared": partial(slow_fast, propagation="flow", flow_width=0.125),
    "keyframes alone": partial(slow_fast, propagation="none"),
    "run as a whole": Whole,
    "single frames": partial(MultiTask, NYUV2, 18, width=0.0625),
}


@pytest.mark.parametrize("name", MODELS)
def test_offsets_together_are_the_models_one_after_the_other(clips: PackedClips, name: str) -> None:
    model = MODELS[name]()
    offsets = range(model.keyframe_interval)
    together = evaluate_offsets(model, clips, offsets, shown=[0, 5], batch=4)
    for offset in offsets:
        alone, kept = SuiteSums(NYUV2), dict[int, dict[str, Tensor]]()
        for indices in ([0, 1, 2, 3], [4, 5]):
            frames, targets = clips.batch(indices, offset, model.history)
            with torch.no_grad():
                predictions = model(frames, offset)
            alone.update(predictions, targets)
            kept |= {index: {n: x[place] for n, x in predictions.items()} for place, index in enumerate(indices)}
        sums, pictures = together[offset].sums, together[offset].pictures
        assert sums.metrics() == pytest.approx(alone.compute(), rel=1e-6)
        for array, expected in alone.clips().arrays.items():
            # counts may change by a pixel where rounding decides
            np.testing.assert_allclose(sums.arrays[array], expected, rtol=1e-5, atol=1, err_msg=array)
        assert torch.equal(pictures["segmentation"][1].long(), kept[5]["segmentation"].argmax(0))
        torch.testing.assert_close(pictures["depth"], torch.stack([kept[0]["depth"], kept[5]["depth"]]))


@pytest.mark.parametrize("name", MODELS)
def test_what_is_scored_together_changes_no_bit(clips: PackedClips, name: str) -> None:
    model = MODELS[name]()
    together = evaluate_offsets(model, clips, range(model.keyframe_interval), batch=4)
    for offset, scored in together.items():
        alone = evaluate(model, clips, offset, batch=4)
        for array, values in scored.sums.arrays.items():
            assert np.array_equal(values, alone.arrays[array]), array


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"run as a whole"}))
def test_each_network_encodes_each_frame_at_most_once(
    clips: PackedClips, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS[name]()
    encode, encoded = model.encode_frames, list[tuple[str, bytes]]()

    def count(network: str, frames: Tensor) -> tuple[Tensor, ...]:
        encoded.extend((network, frame.contiguous().numpy().tobytes()) for frame in frames)
        return encode(network, frames)

    monkeypatch.setattr(model, "encode_frames", count)
    evaluate_offsets(model, clips, range(model.keyframe_interval))
    assert len(encoded) >= len(clips)
    assert len(set(encoded)) == len(encoded)


def test_predictions_without_a_score_are_said_with_their_clips(clips: PackedClips) -> None:
    model = small()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    with pytest.raises(DivergedError, match=r"in clips 1 to 4 of 6 at offset 0 the predicted .* is NaN.*no score"):
        evaluate(model, clips, 0, batch=4)
