"""Steps of a training that are recorded and replayed: the same weights, and what is never recorded."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from baselines.multi_task import MultiTask
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.model import MILA
from mila.recorded_steps import Work, kind_of_step
from mila.schedule import Part, Schedule
from mila.switches import MimicryOptions
from mila.tasks import NYUV2
from mila.training_steps import Recipe, Training
from mila.video_model import VideoModel
from tests.support.all_models import MODELS

HEAD = Part(epochs=4, batch=3, lr=2e-3, name="new layers", encoders="frozen", keyframes=True)
BODY = Part(epochs=4, batch=3, lr=1e-3)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    folder = tmp_path_factory.mktemp("clips")
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32, stride=4), 10, folder / "train")
    return PackedClips(folder / "train")


class Recorded:
    """Stands for CUDA graphs where there is no GPU: nothing happens while it records; fails when told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.recordings = self.replays = 0
        self.fails_at = fails_at

    def __call__(self, work: Work) -> tuple[Callable[[], None], Tensor]:
        if self.recordings == self.fails_at:
            raise RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")
        self.recordings += 1
        model = {name: value.clone() for name, value in self.model.state_dict().items()}
        numbers = work()
        self.model.load_state_dict(model)  # statistics of batch norm have not moved
        numbers.fill_(torch.nan)

        def replay() -> None:
            self.replays += 1
            numbers.copy_(work())

        return replay, numbers

    model: VideoModel


def trained(model: VideoModel, recipe: Recipe, clips: PackedClips, folder: Path, record: Recorded | None) -> Training:
    if record is not None:
        record.model = model
    training = Training(model, clips, recipe, "cpu", folder, record=record)
    while training.done < training.total:
        training.step()
    training.close()
    return training


def check(make: Callable[[], VideoModel], recipe: Recipe, clips: PackedClips, folder: Path, record: Recorded) -> None:
    """Both ways give the same weights and the same curve."""
    models = [make(), make()]
    plain = trained(models[0], recipe, clips, folder / "plain", None)
    recorded = trained(models[1], recipe, clips, folder / "recorded", record)
    for name, value in models[0].state_dict().items():
        assert torch.equal(value, models[1].state_dict()[name]), name
    assert plain.curve == recorded.curve


def maker(kind: str, **switches: object) -> Callable[[], VideoModel]:
    def make() -> VideoModel:
        torch.manual_seed(1)
        model, arguments = MODELS[kind]
        return model(NYUV2, **{"width": 0.0625, **arguments, **switches})

    return make


KINDS = ("single task", "MILA", "fused", "cosine", "flow", "svc", "Accel", "MTAN", "Cross-Stitch", "SegNet MTAN")


@pytest.mark.parametrize("kind", KINDS)
def test_replayed_steps_are_the_steps(kind: str, clips: PackedClips, tmp_path: Path) -> None:
    record = Recorded()
    check(maker(kind), Recipe(Schedule((HEAD, replace(BODY, epochs=8))), 5), clips, tmp_path, record)
    assert record.recordings > 1
    assert record.replays > record.recordings


@pytest.mark.parametrize("weighting", ["uncertainty", "dwa", "geometric"])
def test_weightings_go_on_learning(weighting: str, clips: PackedClips, tmp_path: Path) -> None:
    recipe = Recipe(Schedule((replace(BODY, epochs=6),)), 5, weighting)  # type: ignore[arg-type]
    record = Recorded()
    check(maker("multi task"), recipe, clips, tmp_path, record)
    assert record.recordings == 1


def test_losses_that_begin_late_begin(clips: PackedClips, tmp_path: Path) -> None:
    record = Recorded()
    make = maker("MILA", mimicry=MimicryOptions(begin=0.5))
    check(make, Recipe(Schedule((replace(BODY, epochs=20),)), 5), clips, tmp_path, record)
    assert record.recordings > make().keyframe_interval  # some offsets have both kinds


@pytest.mark.parametrize("fails_at", [0, 1])
def test_a_recording_that_fails_is_said_once_and_the_training_goes_on(
    fails_at: int, clips: PackedClips, tmp_path: Path
) -> None:
    with pytest.warns(RuntimeWarning, match="could not be recorded .CUDA error: operation not permitted.; it") as told:
        check(maker("MILA"), Recipe(Schedule((BODY,)), 5), clips, tmp_path, Recorded(fails_at))
    assert len(told) == 1


class _Counting(MultiTask):
    """Counts its steps, which no replay would; derived from a class that knows nothing of it."""

    steps = 0

    def decode(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> dict[str, Tensor]:
        self.steps += 1
        return super().decode(maps, size)


def test_a_method_of_a_users_own_is_recorded_only_if_it_says_so(clips: PackedClips, tmp_path: Path) -> None:
    record, model = Recorded(), _Counting(NYUV2, 18, width=0.0625)
    trained(model, Recipe(Schedule((BODY,)), 5), clips, tmp_path, record)
    assert model.steps == 8
    assert record.recordings == 0


def test_each_step_of_a_growing_reversal_is_made_as_it_comes() -> None:
    kinds: list[Hashable] = []
    for options in (None, MimicryOptions(), MimicryOptions(ramp=True)):
        kinds.append(kind_of_step(MILA(NYUV2, 18, 18, width=0.0625, mimicry=options)))
    assert kinds == [(), (True, False), None]
