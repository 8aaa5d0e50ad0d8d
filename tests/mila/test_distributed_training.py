"""Several processes that share one training against one process with the whole batch."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from baselines.multi_task import MultiTask
from mila.data.augment import augment
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.distributed import rank
from mila.errors import DivergedError, LostRankError, StoppedError, UserError
from mila.model import MILA
from mila.names import AugmentationName, WeightingName
from mila.schedule import Part, Schedule, one_part
from mila.tasks import NYUV2, VOID
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import Recipe
from mila.video_model import VideoModel
from tests.support.fake_ranks import on_ranks, watch

LENGTH = 4
STEPS = 12


class Patchy(PackedClips):
    """Clip i is annotated in its first 4 i rows alone: clip 0 in none, clip 5 nearly everywhere."""

    def batch(self, indices: Any, *words: Any) -> tuple[Tensor, dict[str, Tensor]]:
        frames, targets = super().batch(indices, *words)
        for place, index in enumerate(indices):
            for name, target in targets.items():
                target[place, ..., 4 * index :, :] = VOID if name == "segmentation" else 0
        return frames, targets


@dataclass(frozen=True)
class Case:
    """A training: of MILA or of the model with a shared encoder."""

    mila: bool
    batch: int
    weighting: WeightingName
    augmentation: AugmentationName = "none"
    double: bool = True
    keyframes: bool = False

    def model(self) -> VideoModel:
        torch.manual_seed(1)
        if self.mila:
            return MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=3)
        return MultiTask(NYUV2, 18, width=0.0625, decoder_norm="batch")


MILA_CASE = Case(True, 3, "uncertainty", "default", keyframes=True)
SHARED_CASE = Case(False, 2, "dwa")
Result = tuple[list[dict[str, float]], dict[str, Tensor]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiny rooms."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32), LENGTH, folder)
    return folder


def train_case(
    case: Case, folder: Path, path: Path, callbacks: Callbacks | None = None, seconds: float = 15.0
) -> Result:
    """The curve; the final state, and the last gradients under the parameters' names with `.grad`."""
    model = case.model()
    part = Part(epochs=STEPS / (6 // case.batch), batch=case.batch, lr=1e-3, keyframes=case.keyframes)

    def widened(*words: Any) -> tuple[Tensor, dict[str, Tensor]]:
        frames, targets = augment(*words)
        return frames.double(), {n: t.double() if t.is_floating_point() else t for n, t in targets.items()}

    if case.double:
        model.double()
    with mock.patch("mila.training_steps.augment", widened if case.double else augment):
        recipe = Recipe(Schedule((part,)), 5, case.weighting, case.augmentation)
        curve = train(model, Patchy(folder), recipe, Checkpoint(path, "me", seconds), callbacks=callbacks)
    grads = {f"{name}.grad": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return curve, {**{name: value.clone() for name, value in model.state_dict().items()}, **grads}


def train_and_watch(case: Case, folder: Path, checkpoint: Path) -> Result:
    """On a rank."""
    if rank() > 0:
        watch(checkpoint.parent)
    return train_case(case, folder, checkpoint, seconds=0.0)


def assert_same(given: list[Any], expected: Result, curve: float, state: float) -> None:
    for result in given:
        if isinstance(result, Exception):
            raise result
    for points, weights in given:
        assert [p["step"] for p in points] == list(range(1, STEPS + 1))
        for point, wanted in zip(points, expected[0], strict=True):
            assert point == pytest.approx(wanted, rel=curve)
        assert set(weights) == set(expected[1])
        for name, value in expected[1].items():
            torch.testing.assert_close(weights[name], value, rtol=state, atol=state, msg=name)
            assert torch.equal(weights[name], given[0][1][name])  # the ranks never part


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "curve", "state"),
    [
        (MILA_CASE, 1e-6, 1e-5),  # a batch of 3: one clip for rank 0, two for rank 1
        (SHARED_CASE, 1e-6, 1e-5),
        (Case(False, 2, "geometric", double=False), 1e-3, 2e-3),
    ],
)
def test_two_processes_train_as_one_does(folder: Path, tmp_path: Path, case: Case, curve: float, state: float) -> None:
    expected = train_case(case, folder, tmp_path / "one")
    (tmp_path / "run").mkdir()
    given = on_ranks(2, tmp_path, train_and_watch, case, folder, tmp_path / "run" / "c")
    assert_same(given, expected, curve, state)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["c"]


def interrupt(case: Case, folder: Path, checkpoint: Path) -> list[Any]:
    """On a rank: rank 1 is asked to stop after step 7; then all continue, and train once more without a stop."""
    asked = []

    def stop() -> bool:
        asked.append(True)
        return rank() == 1 and len(asked) == 8

    try:
        train_case(case, folder, checkpoint, Callbacks(stop=stop))
    except StoppedError:
        whole = train_case(case, folder, checkpoint.with_name("whole"))
        steps: list[int] = []
        return [
            len(asked),
            whole,
            train_case(case, folder, checkpoint, Callbacks(lambda done, _total: steps.append(done))),
            steps,
        ]
    raise AssertionError("it did not stop")


@pytest.mark.slow
def test_all_stop_at_the_same_step_and_continue_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    for asked, whole, continued, steps in on_ranks(2, tmp_path, interrupt, SHARED_CASE, folder, tmp_path / "c"):
        assert asked == 8  # at the start, and after each of seven steps
        assert steps == list(range(8, STEPS + 1))
        assert continued[0] == whole[0]
        for name, value in whole[1].items():
            assert torch.equal(continued[1][name], value), name
    # the checkpoint of two processes does for one
    assert_same([train_case(SHARED_CASE, folder, tmp_path / "c")], whole, 1e-6, 1e-5)


def elsewhere(folder: Path, tmp_path: Path) -> None:
    train_case(SHARED_CASE, folder, tmp_path / ("c" if rank() == 0 else "d"))


def test_a_checkpoint_that_not_all_see_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train_case(SHARED_CASE, folder, tmp_path / "c", Callbacks(stop=Late(3)))
    for error in on_ranks(2, tmp_path, elsewhere, folder, tmp_path):
        assert isinstance(error, UserError)
        assert "not all processes see the same" in str(error)


class Late:
    """Says stop after so many questions."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def infinite(folder: Path, checkpoint: Path) -> None:
    """The model of rank 1 alone is broken; but what rank 0 holds is what all begin with, so its depth is too."""
    case = Case(False, 2, "equal", double=False)
    model = case.model()
    if rank() == 0:
        with torch.no_grad():
            model.get_parameter("decoders.depth.layers.4.bias").fill_(torch.inf)
    train(model, Patchy(folder), Recipe(one_part(epochs=1, batch=2), 5), Checkpoint(checkpoint, "me"))


def test_divergence_is_said_on_all(folder: Path, tmp_path: Path) -> None:
    for error in on_ranks(2, tmp_path, infinite, folder, tmp_path / "c"):
        assert isinstance(error, DivergedError)


def die(folder: Path, checkpoint: Path) -> None:
    """On a rank: rank 1 is killed after step 2."""

    def kill(done: int, _total: int) -> None:
        if rank() == 1 and done == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    train_case(SHARED_CASE, folder, checkpoint, Callbacks(kill))


def test_a_killed_process_ends_the_others(folder: Path, tmp_path: Path) -> None:
    error, nothing = on_ranks(2, tmp_path, die, folder, tmp_path / "c")
    assert nothing is None
    assert isinstance(error, LostRankError)
    assert "another process of this training has ended or does not answer; run again to continue." in str(error)
