"""Schedules of several parts, and the maps that are kept while encoders are frozen."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.cross_stitch import CrossStitch
from baselines.mtan import MTAN
from baselines.multi_task import MultiTask
from baselines.multinetpp import MultiNetPP
from baselines.single_task import SingleTask
from baselines.slow_fast import SlowFast
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.errors import StoppedError
from mila.kept import KeptMaps, as_encoded, can_keep
from mila.losses import task_loss
from mila.model import MILA
from mila.schedule import Part, Schedule
from mila.tasks import NYUV2
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import Recipe, Training
from mila.video_model import Targets, VideoModel, keeps_up

HEAD = Part(epochs=2, batch=2, lr=2e-3, name="new layers", encoders="frozen")
BODY = Part(epochs=1, batch=3, lr=1e-3, encoders="fixed_norm")
SIZES: dict[str, Any] = {"width": 0.0625, "decoder_norm": "group"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    folder = tmp_path_factory.mktemp("clips")
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32, stride=4), 4, folder / "train")
    return PackedClips(folder / "train")


def small(kind: str = "mila") -> VideoModel:
    torch.manual_seed(1)
    pair: dict[str, Any] = {"slow": 18, "fast": 18, "keyframe_interval": 3, **SIZES}
    makers: dict[str, Any] = {
        "mila": lambda: MILA(NYUV2, **pair),
        "mila without MF": lambda: MILA(NYUV2, multi_frame=False, **pair),
        "svc": lambda: SlowFast(NYUV2, propagation="svc", **pair),
        "flow": lambda: SlowFast(NYUV2, propagation="flow", flow_width=0.0625, half_resolution=False, **pair),
        "multinet++": lambda: MultiNetPP(NYUV2, **pair),
        "multi-task": lambda: MultiTask(NYUV2, 18, **SIZES),
        "single-task": lambda: SingleTask(NYUV2, 18, **SIZES),
        "mtan": lambda: MTAN(NYUV2, 18, **SIZES),
        "cross-stitch": lambda: CrossStitch(NYUV2, 18, **SIZES),
    }
    model: VideoModel = makers[kind]()
    return model


KINDS = ("mila", "mila without MF", "svc", "flow", "multinet++", "multi-task", "single-task", "mtan", "cross-stitch")


def test_places_follow_the_parts() -> None:
    schedule = Schedule((HEAD, BODY))
    assert schedule.steps(6) == 6 + 2
    assert [schedule.place(step, 6)[::2] for step in (0, 5, 6, 7, 8)] == [(0, 0), (0, 5), (1, 0), (1, 1), (1, 2)]
    with pytest.raises(ValueError, match="at least one"):
        Schedule(())


@pytest.mark.parametrize("kind", KINDS)
def test_kept_maps_give_the_predictions_of_the_whole_model(kind: str, clips: PackedClips, tmp_path: Path) -> None:
    model = small(kind).eval()
    kept = KeptMaps(model, clips, tmp_path / "kept", "cpu")
    indices = [4, 1]
    with torch.no_grad():
        for offset in range(model.keyframe_interval):
            frames, _ = clips.batch(indices, offset, model.history)
            expected = model(frames, offset)
            found = model.forward_encoded(
                frames, offset, as_encoded(kept.read(indices, frames.shape[1], offset), "cpu")
            )
            for task, prediction in expected.items():
                torch.testing.assert_close(found[task], prediction, rtol=0, atol=0.02)  # half precision


def test_kept_maps_of_the_same_weights_and_clips_are_taken_again(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = KeptMaps._encode

    def counted(self: KeptMaps, *args: Any) -> None:
        encoded.append(1)
        encode(self, *args)

    monkeypatch.setattr(KeptMaps, "_encode", counted)
    model = small("multi-task")
    KeptMaps(model, clips, tmp_path, "cpu")
    before = KeptMaps(model, clips, tmp_path, "cpu").read([0], 1, 0)
    assert len(encoded) == 1
    KeptMaps(model, PackedClips(clips.folder, limit=3), tmp_path, "cpu")
    assert len(encoded) == 2
    with torch.no_grad():
        next(iter(model.pretrained()[0].parameters())).mul_(2)
    after = KeptMaps(model, clips, tmp_path, "cpu").read([0], 1, 0)
    assert len(encoded) == 3
    assert not any(torch.equal(x, y) for key, maps in before.items() for x, y in zip(maps, after[key], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_what_frozen_encoders_give_is_computed_once(kind: str, clips: PackedClips, tmp_path: Path) -> None:
    training = Training(small(kind), clips, Recipe(Schedule((HEAD,)), 5), "cpu", tmp_path)
    training.step()
    assert (tmp_path / "kept" / "0" / "finished").exists()


class _WithLosses(MultiTask):
    """A loss of its own, of what its encoder gives; derived from a class that knows nothing of it."""

    def training_forward(
        self, clip: Tensor, offset: int, targets: Targets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        predictions = self(clip, offset)
        return predictions, {"coarse_depth": task_loss("depth", predictions["depth"] + 1, targets["depth"])}


def test_targets_reach_losses_of_a_models_own_while_its_encoder_is_frozen(clips: PackedClips, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = _WithLosses(NYUV2, 18, width=0.0625)
    assert not can_keep(model)  # from kept maps the class above it would train without this loss
    curve = train(model, clips, Recipe(Schedule((HEAD,)), 5), Checkpoint(tmp_path / "c.pt", "x"))
    assert all(point["coarse_depth"] > 0 for point in curve)
    assert any(point["coarse_depth"] != point["depth"] for point in curve)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_frozen_encoders_stay_as_they_are_and_all_else_learns(kind: str, clips: PackedClips, tmp_path: Path) -> None:
    model = small(kind)
    encoders = {id(x) for m in model.pretrained() for x in (*m.parameters(), *m.buffers())}
    before = {name: value.clone() for name, value in model.state_dict(keep_vars=True).items()}
    own = {name: id(value) for name, value in model.state_dict(keep_vars=True).items()}
    curve = train(model, clips, Recipe(Schedule((HEAD,)), 5), Checkpoint(tmp_path / "c.pt", "x"))
    assert ("mimicry_l1" in curve[-1]) == (getattr(model, "mimicry", None) is not None)
    assert "mimicry_adversarial" not in curve[-1]
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked") or name.startswith("mimicry") or ".se." in name:
            continue  # the few units of so narrow an SE may all be off
        changed = not torch.equal(value, before[name])
        assert changed != (own[name] in encoders), name
    assert not (tmp_path / "kept").exists()
    assert all(p.requires_grad for p in model.parameters()) == (not model.pretrained())


@pytest.mark.slow
def test_the_second_part_trains_everything_but_statistics(clips: PackedClips, tmp_path: Path) -> None:
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curve = train(model, clips, Recipe(Schedule((HEAD, BODY)), 5), Checkpoint(tmp_path / "c.pt", "x"))
    assert "mimicry_l1" in curve[-1]
    assert all(p.requires_grad for p in model.parameters())
    for name, value in model.state_dict().items():
        if name.startswith(("slow.", "fast.")):
            assert torch.equal(value, before[name]) == ("running" in name or "num_batches" in name), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mila", "mila without MF", "multi-task"])
def test_keyframes_beside_the_drawn_offset_with_kept_maps_and_without(
    kind: str, clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept maps are half precision, so that the curves agree to that; a model without keyframes knows no difference."""
    recipe = Recipe(Schedule((replace(HEAD, keyframes=True),)), 5)
    kept = train(small(kind).eval(), clips, recipe, Checkpoint(tmp_path / "a" / "c.pt", "x"))
    plain = train(small(kind), clips, Recipe(Schedule((HEAD,)), 5), Checkpoint(tmp_path / "b" / "c.pt", "x"))
    assert (kept == plain) == (kind == "multi-task")
    monkeypatch.setattr("mila.training_steps.can_keep", lambda _: False)
    whole = train(small(kind), clips, recipe, Checkpoint(tmp_path / "c" / "c.pt", "x"))
    for one, other in zip(kept, whole, strict=True):
        assert one == pytest.approx(other, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [3, 6, 7])
def test_interrupted_anywhere_the_numbers_are_the_same(stop_at: int, clips: PackedClips, tmp_path: Path) -> None:
    """In the first part, between the parts, and in the second one; also where what was kept has been lost."""
    recipe = Recipe(Schedule((replace(HEAD, keyframes=True), BODY)), 5)
    whole, parted = small(), small()
    expected = train(whole, clips, recipe, Checkpoint(tmp_path / "a" / "c.pt", "x"))
    done: list[int] = []

    def stop() -> bool:
        return len(done) == stop_at

    place = Checkpoint(tmp_path / "b" / "c.pt", "x")
    with pytest.raises(StoppedError):
        train(parted, clips, recipe, place, callbacks=Callbacks(lambda *_: done.append(0), stop=stop))
    if stop_at == 3:
        shutil.rmtree(tmp_path / "b" / "kept")
    again = small()
    assert train(again, clips, recipe, place) == expected
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_maps_that_are_kept_are_of_the_encoders_of_their_part(clips: PackedClips, tmp_path: Path) -> None:
    """Encoders that are trained between two parts in which they are frozen give other maps in the second one."""
    model = small()
    assert isinstance(model, MILA)
    training = Training(model, clips, Recipe(Schedule((HEAD, BODY, HEAD)), 5), "cpu", tmp_path)
    seen = set()
    for _ in range(training.total):
        training.step()
        if training._kept is not None:
            kept = as_encoded(training._kept.read([0, 1], 2, 0), "cpu")
            frames, _ = clips.batch([0, 1], 0, 1, "cpu")
            with torch.no_grad():
                now = model.slow(frames[:, -1])  # in eval mode, as it is frozen
            torch.testing.assert_close(kept["slow", 1][0], now, rtol=2e-3, atol=2e-3)
            seen.add(training._place.number)
    assert seen == {0, 2}
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["2"]
    training.close()


def test_a_frame_model_with_a_predict_of_its_own_is_trained_and_scored_by_that() -> None:
    class Own(MultiTask):
        def predict(self, frame: Tensor) -> dict[str, Tensor]:
            return {name: 2 * x for name, x in super().predict(frame).items()}

    assert keeps_up(MultiTask, "forward_encoded", "forward")
    assert not keeps_up(Own, "forward_encoded", "forward")


def test_an_epoch_that_a_part_does_not_end_is_none(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DWA's means (Liu et al., CVPR 2019) are of whole epochs: here of steps 4 to 6, not of the third as well."""
    schedule = Schedule((replace(HEAD, epochs=1.5, batch=3), replace(BODY, epochs=2, batch=2)))
    training = Training(small("multi-task"), clips, Recipe(schedule, 0, "dwa"), "cpu", tmp_path)
    losses, means = list[dict[str, Tensor]](), list[Mapping[str, float]]()
    monkeypatch.setattr(training._weigh, "end_epoch", means.append)
    training._weigh.register_forward_hook(lambda _, given, __: losses.append(dict(given[0])))
    while training.done < training.total:
        training.step()
    assert (len(losses), len(means)) == (9, 3)
    for name, value in means[1].items():
        assert value == pytest.approx(float(sum(step[name].detach() for step in losses[3:6]) / 3), rel=1e-5)
