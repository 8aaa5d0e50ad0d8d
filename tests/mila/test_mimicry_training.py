"""What the switches of Eq. 3 do to a training: when it begins, how fast its discriminator learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mila.training_steps
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.errors import StoppedError
from mila.model import MILA
from mila.schedule import Part, Schedule, one_part
from mila.switches import MimicryOptions
from mila.tasks import CITYSCAPES
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import Recipe

EIGHT = Recipe(one_part(epochs=4, batch=2, lr=1e-3, decay="cosine"), 5)
ONE = Recipe(one_part(epochs=0.5, batch=2, lr=1e-3), 5)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("street", "train", clips=4, height=24, width=48), 3, folder)
    return PackedClips(folder)


def small(mimicry: MimicryOptions | None) -> MILA:
    torch.manual_seed(0)
    return MILA(CITYSCAPES, 18, 18, width=0.0625, keyframe_interval=2, mimicry=mimicry)


@pytest.mark.slow
def test_before_it_begins_nothing_mimics(clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = MimicryOptions(begin=0.5)
    without = train(small(None), clips, EIGHT, Checkpoint(tmp_path / "a", "x"))
    curve = train(small(late), clips, EIGHT, Checkpoint(tmp_path / "b", "x"))
    own = {"mimicry_l1", "mimicry_adversarial", "mimicry_accuracy"}
    assert curve[:4] == without[:4]
    assert [set(point) & own for point in curve] == [set()] * 4 + [own] * 4
    assert curve[5]["segmentation"] != without[5]["segmentation"]
    monkeypatch.setattr(mila.training_steps, "CURVE_POINTS", 1)
    (point,) = train(small(late), clips, EIGHT, Checkpoint(tmp_path / "c", "x"))
    for name in own:  # over the steps that had it
        assert point[name] == pytest.approx(sum(p[name] for p in curve[4:]) / 4)
    assert point["depth"] == pytest.approx(sum(p["depth"] for p in curve) / 8)


@pytest.mark.slow
def test_an_interrupted_ramp_goes_on_where_it_was(clips: PackedClips, tmp_path: Path) -> None:
    options = MimicryOptions(begin=0.25, ramp=True, discriminator_rate=0.1)
    whole, parted = small(options), small(options)
    expected = train(whole, clips, EIGHT, Checkpoint(tmp_path / "a", "x"))
    steps: list[int] = []
    callbacks = Callbacks(progress=lambda done, _: steps.append(done), stop=lambda: steps[-1:] == [5])
    with pytest.raises(StoppedError):
        train(parted, clips, EIGHT, Checkpoint(tmp_path / "b", "x"), callbacks=callbacks)
    fresh = small(options)
    assert train(fresh, clips, EIGHT, Checkpoint(tmp_path / "b", "x")) == expected
    for one, two in zip(fresh.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_the_discriminators_rate_is_its_own(clips: PackedClips, tmp_path: Path) -> None:
    """Adam's first step is as long as the rate, whatever the gradient."""
    moved = []
    for rate in (1.0, 0.1):
        model = small(MimicryOptions(discriminator_rate=rate))
        before = {name: value.clone() for name, value in model.named_parameters()}
        train(model, clips, ONE, Checkpoint(tmp_path / str(rate), "x"))
        moved.append({name: value.detach() - before[name] for name, value in model.named_parameters()})
    discriminator = [name for name in moved[0] if name.startswith("mimicry.discriminator")]
    assert len(discriminator) == 6
    for name, change in moved[0].items():
        factor = 0.1 if name in discriminator else 1.0
        torch.testing.assert_close(moved[1][name], factor * change, rtol=2e-3, atol=1e-7)
    assert any(change.abs().max() > 5e-4 for name, change in moved[0].items() if name in discriminator)


@pytest.mark.slow
def test_from_the_head_start_on_the_projection_learns_the_fast_features(clips: PackedClips, tmp_path: Path) -> None:
    """On kept maps as on encoded ones, and the encoders stay as they are; without the switch nothing mimics there."""
    head = Recipe(Schedule((Part(epochs=20, batch=2, lr=1e-2, encoders="frozen"),)), 5)
    model, other = small(MimicryOptions()), small(MimicryOptions(head_start="none"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curve = train(model, clips, head, Checkpoint(tmp_path / "a", "x"))
    assert "mimicry_adversarial" not in curve[-1]
    assert curve[-1]["mimicry_l1"] < 0.8 * curve[0]["mimicry_l1"]
    for name, value in model.state_dict().items():
        if name.startswith(("slow.", "fast.")):
            assert torch.equal(value, before[name])
    assert "mimicry_l1" not in train(other, clips, head, Checkpoint(tmp_path / "b", "x"))[-1]


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("terms", [("mimicry_l1",), ("mimicry_l1", "mimicry_adversarial")])
def test_kept_maps_give_the_same_losses(clips: PackedClips, begun: bool, terms: tuple[str, ...]) -> None:
    model = small(MimicryOptions(head_start="all" if len(terms) == 2 else "l1", begin=0.5)).train()
    for encoder in model.pretrained():  # as in a head start: what they give for a frame depends on no other
        encoder.eval()
    for offset in (0, 1):
        model.set_progress(0.6 if begun else 0.4, head_start=True)
        frames, _ = clips.batch([0, 1], offset, model.history)
        encoded = model.encode_clip(frames, model.training_frames(frames.shape[1], offset))
        predictions, own = model.training_encoded(frames, offset, encoded, {})
        expected, losses = model.training_forward(frames, offset, {})
        assert set(own) == set(losses) == (set(terms) if begun else set())
        for name, loss in losses.items():
            torch.testing.assert_close(own[name], loss)
        for task, prediction in expected.items():
            torch.testing.assert_close(predictions[task], prediction, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_interrupted_where_only_l1_is_left_the_curve_is_the_same(clips: PackedClips, tmp_path: Path) -> None:
    """What the discriminator told in an earlier part is none of a later part's business."""
    parts = (Part(epochs=1, batch=2, lr=1e-3), Part(epochs=1, batch=2, lr=1e-3, encoders="frozen"))
    recipe, options = Recipe(Schedule(parts), 5), MimicryOptions()
    curve = train(small(options), clips, recipe, Checkpoint(tmp_path / "a", "x"))
    assert ["mimicry_accuracy" in point for point in curve] == [True, True, False, False]
    steps: list[int] = []
    callbacks = Callbacks(progress=lambda done, _: steps.append(done), stop=lambda: steps[-1:] == [3])
    with pytest.raises(StoppedError):
        train(small(options), clips, recipe, Checkpoint(tmp_path / "b", "x"), callbacks=callbacks)
    assert train(small(options), clips, recipe, Checkpoint(tmp_path / "b", "x")) == curve
