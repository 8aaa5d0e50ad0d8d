"""What is shown of a model is what happens inside it; what is shown along a video is what it predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.slow_fast import SlowFast
from mila.data.clips import normalise
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.model import MILA
from mila.switches import Architecture
from mila.tasks import NYUV2
from mila.visualisation import attention, predict_video, shows_attention
from tests.support.fake_clips import FakeClips

K, OFFSET = 3, 2


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    folder = tmp_path_factory.mktemp("packed")
    pack(FakeClips(2, NYUV2, 40, 56), 8, folder)
    return PackedClips(folder)


def model(seed: int = 0, propagate: Literal["encoded", "fused"] = "encoded", **switches: Any) -> MILA:
    torch.manual_seed(seed)
    architecture = Architecture(embedding=8, propagate=propagate)
    made = MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=K, architecture=architecture, **switches)
    for parameter in made.parameters():  # larger than a fresh network's, so that weights are far from alike
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.mark.parametrize("task_specific", [True, False])
def test_attention_is_what_the_forward_pass_computes(clips: PackedClips, task_specific: bool) -> None:
    made = model(task_specific=task_specific, multi_frame=False)
    seen: dict[str, list[Tensor]] = {"current": [], "received": [], "fused": []}

    def note(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        current, received = inputs
        for name, x in (("current", current), ("received", received), ("fused", output)):
            seen[name].append(x.detach())

    for index in range(len(made.branches)):
        made.get_submodule(f"branches.{index}.fuse_non_key").register_forward_hook(note)
    frames, _ = clips.batch([0, 1], OFFSET, made.history)
    with torch.no_grad():
        made(frames, OFFSET)
    expected = {name: torch.stack([x.abs().mean(1) for x in xs], 1) for name, xs in seen.items()}
    shown = attention(made, clips, [0, 1], OFFSET)
    for ours, theirs in (("encoded", "current"), ("carried", "received"), ("fused", "fused")):
        torch.testing.assert_close(shown[ours], expected[theirs], rtol=1e-4, atol=1e-5)
    assert shown["weights"].shape == (2, 3 if task_specific else 1, *shown["fused"].shape[2:], 5, 5)


def test_the_weights_carry_the_keyframes_features(clips: PackedClips) -> None:
    """Eq. 1 by loops over the window, with the keyframe's features as its own pass through the model shows them."""
    made = model(multi_frame=False)
    weights = attention(made, clips, [1], OFFSET)["weights"][0]
    frames, _ = clips.batch([1], OFFSET, made.history)
    with torch.no_grad():
        encoded = made.encode(frames[:, -1 - OFFSET], True)
        features = [made.branch(index).se(encoded) for index in range(len(made.branches))]
    carried = attention(made, clips, [1], OFFSET)["carried"][0]
    for branch, given in enumerate(features):
        _, channels, height, width = given.shape
        for y in range(height):
            for x in range(width):
                total, share = torch.zeros(channels), 0.0
                for dy in range(-2, 3):
                    for dx in range(-2, 3):
                        weight = float(weights[branch, y, x, dy + 2, dx + 2])
                        if 0 <= y + dy < height and 0 <= x + dx < width:
                            total += weight * given[0, :, y + dy, x + dx]
                            share += weight
                        else:
                            assert weight == 0
                assert share == pytest.approx(1, abs=1e-5)
                assert float(total.abs().mean()) == pytest.approx(float(carried[branch, y, x]), rel=1e-3, abs=1e-5)


def test_history_is_walked_with_the_keyframe_in_its_place(clips: PackedClips) -> None:
    """With features from fused frames the whole clip matters, and where its keyframes are."""
    made = model(propagate="fused")
    caught: list[Tensor] = []
    fusion = made.get_submodule("branches.0.fuse_non_key")
    fusion.register_forward_hook(lambda _m, _i, out: caught.append(out.detach()))
    frames, _ = clips.batch([0], OFFSET, made.history)
    with torch.no_grad():
        made(frames, OFFSET)
    expected = caught[-1].abs().mean(1)
    torch.testing.assert_close(attention(made, clips, [0], OFFSET)["fused"][:, 0], expected, rtol=1e-4, atol=1e-5)


def test_models_without_such_weights_are_refused(clips: PackedClips) -> None:
    for other in (
        model(propagation="concat"),
        model(window="global"),
        SlowFast(NYUV2, 18, 18, width=0.0625, propagation="svc"),
    ):
        assert not shows_attention(other)
        with pytest.raises(ValueError, match="ILA of a window"):
            attention(other, clips, [0], 1)
    assert shows_attention(model())
    for offset in (0, K):
        with pytest.raises(ValueError, match=f"offset {offset} is not in 1..2"):
            attention(model(), clips, [0], offset)


def test_a_film_is_what_the_model_predicts_of_every_frame(clips: PackedClips) -> None:
    made = model()
    shown = predict_video(made, clips, [0, 1])
    frames = normalise(torch.from_numpy(clips.read([0, 1], clips.length)[0]))
    assert {name.split("/")[0] for name in shown} == {"stream", "slow"}
    for t in range(clips.length):
        for which, offset in (("stream", t % K), ("slow", 0)):
            start = max(0, t - offset - made.history)
            with torch.no_grad():
                wanted = made(frames[:, start : t + 1], offset)
            torch.testing.assert_close(shown[f"{which}/depth"][:, t].float(), wanted["depth"], rtol=2e-3, atol=1e-3)
            same = shown[f"{which}/segmentation"][:, t] == wanted["segmentation"].argmax(1)
            assert same.float().mean() > 0.99
    assert shown["stream/normals"].shape == (2, clips.length, 3, 40, 56)
    between = [t for t in range(clips.length) if t % K]
    assert not np.array_equal(shown["stream/depth"][:, between], shown["slow/depth"][:, between])


def test_the_clips_of_a_film_are_as_long_as_the_data_have_them(tmp_path: Path) -> None:
    pack(FakeClips(1, NYUV2, 40, 56), 4, tmp_path)
    assert predict_video(model(), PackedClips(tmp_path), [0])["stream/depth"].shape[1] == 4
