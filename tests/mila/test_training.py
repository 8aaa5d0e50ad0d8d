"""The training loop: determinism, interruption, correctness."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import mila.training_steps
from baselines.multi_task import MultiTask
from mila.batch_reader import BatchReader
from mila.common.checkpoint import load_checkpoint, save_checkpoint
from mila.common.types import Progress
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.errors import UserError
from mila.losses import task_loss
from mila.model import MILA
from mila.names import WeightingName
from mila.schedule import Part, Schedule, one_part
from mila.tasks import CITYSCAPES, NYUV2
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import Recipe, batch_of
from mila.video_model import VideoModel

LENGTH = 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """Six tiny rooms."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    pack(WorldClips("rooms", "train", clips=6, height=24, width=32), LENGTH, folder)
    return PackedClips(folder)


def small(seed: int = 0, **switches: Any) -> MILA:
    torch.manual_seed(seed)
    return MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=3, **switches)


def shared(seed: int = 0) -> MultiTask:
    torch.manual_seed(seed)
    return MultiTask(NYUV2, 18, width=0.0625)


def test_every_epoch_visits_every_clip_once_and_every_offset_comes() -> None:
    seen, offsets = [], set()
    for step in range(3 * 25):
        indices, offset = batch_of(step, 100, 4, 5, seed=1)
        seen += indices
        offsets.add(offset)
    for epoch in range(3):
        assert sorted(seen[epoch * 100 : (epoch + 1) * 100]) == list(range(100))
    assert seen[:100] != seen[100:200]
    assert offsets == {0, 1, 2, 3, 4}
    assert batch_of(7, 100, 4, 5, seed=1) == batch_of(7, 100, 4, 5, seed=1)
    assert batch_of(7, 100, 4, 5, seed=2) != batch_of(7, 100, 4, 5, seed=1)


SCHEDULE = one_part(epochs=6, batch=2, lr=1e-3, decay="cosine")  # 18 steps


def run(
    model: VideoModel,
    clips: PackedClips,
    path: Path,
    weighting: WeightingName = "equal",
    *,
    schedule: Schedule = SCHEDULE,
    seconds: float = 15.0,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train with seed 5; `seconds` between two checkpoints."""
    recipe, checkpoint = Recipe(schedule, 5, weighting), Checkpoint(path, "me", seconds)
    return train(model, clips, recipe, checkpoint, callbacks=Callbacks(progress))


@pytest.mark.slow
def test_training_is_deterministic_and_lowers_every_loss(clips: PackedClips, tmp_path: Path) -> None:
    first, second = small(), small()
    curve = run(first, clips, tmp_path / "a")
    assert run(second, clips, tmp_path / "b") == curve
    for one, two in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert [p["step"] for p in curve] == list(range(1, 19))
    mimicry = {"mimicry_l1", "mimicry_adversarial", "mimicry_accuracy"}
    assert set(curve[0]) == {"step", "segmentation", "depth", "normals", *mimicry}
    assert all(0 <= p["mimicry_accuracy"] <= 1 for p in curve)
    for name in ("segmentation", "depth", "normals"):
        assert np.mean([p[name] for p in curve[-6:]]) < np.mean([p[name] for p in curve[:6]])


@pytest.mark.slow
def test_a_point_of_the_curve_is_the_mean_since_the_point_before(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_step = run(small(), clips, tmp_path / "a")
    monkeypatch.setattr(mila.training_steps, "CURVE_POINTS", 4)
    curve = run(small(), clips, tmp_path / "b")
    assert [p["step"] for p in curve] == [4, 8, 12, 16, 18]
    for before, point in zip([0, 4, 8, 12, 16], curve, strict=True):
        steps = every_step[before : int(point["step"])]
        for name in set(point) - {"step"}:
            assert point[name] == pytest.approx(sum(s[name] for s in steps) / len(steps), rel=1e-12)


@pytest.mark.parametrize(
    ("weighting", "stop"),
    [
        pytest.param("equal", 1, marks=pytest.mark.slow),
        ("equal", 7),
        pytest.param("equal", 17, marks=pytest.mark.slow),
        ("uncertainty", 7),
        ("dwa", 4),  # in the second epoch
        ("dwa", 7),  # in the third, the first whose weights are not 1
        ("dwa", 9),  # between two epochs
        ("geometric", 7),
    ],
)
def test_interrupted_training_gives_the_same_numbers(
    clips: PackedClips, tmp_path: Path, weighting: WeightingName, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mila.training_steps, "CURVE_POINTS", 4)  # so that no stop is at a point of the curve
    make = small if weighting == "equal" else shared  # what a weighting remembers does not depend on the model
    whole = make()
    curve = run(whole, clips, tmp_path / "whole", weighting)

    def until(done: int, _total: int) -> None:
        if done == stop + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make(), clips, tmp_path / "part", weighting, progress=until, seconds=0.0)
    done: list[int] = []
    continued = make(seed=99)  # its own weights must not matter
    again = run(continued, clips, tmp_path / "part", weighting, progress=lambda d, _t: done.append(d))
    assert done == list(range(stop + 1, 19))
    assert again == curve
    for name, value in whole.state_dict().items():
        assert torch.equal(continued.state_dict()[name], value), name


TASKS = [task.name for task in NYUV2.tasks]


@pytest.mark.slow
@pytest.mark.parametrize("keyframes", [False, True])
def test_equal_weighting_is_adam_on_the_plain_sum(keyframes: bool, clips: PackedClips, tmp_path: Path) -> None:
    """Bit for bit, over steps at every offset; with `keyframes` on the mean of two losses."""
    trained, expected = small(), small().to(memory_format=torch.channels_last).train()
    schedule = Schedule((replace(SCHEDULE.parts[0], keyframes=keyframes),))
    curve = run(trained, clips, tmp_path / "c", schedule=schedule)
    optimiser = torch.optim.Adam(expected.parameters(), betas=(0.9, 0.99), fused=True)
    for step in range(18):
        optimiser.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / 18))
        indices, offset = batch_of(step, 6, 2, 3, seed=5)
        both = []
        for at in dict.fromkeys((offset, 0) if keyframes else (offset,)):
            frames, targets = clips.batch(indices, at, expected.history)
            predictions, losses = expected.training_forward(frames, at, {})
            for task in NYUV2.tasks:
                losses[task.name] = task_loss(task.name, predictions[task.name], targets[task.name])
            both.append(losses | expected.watched())
        shown = {name: torch.stack([losses[name] for losses in both]).mean() for name in both[0]}
        losses = {name: value for name, value in shown.items() if name not in expected.watched()}
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        assert curve[step] == {"step": step + 1, **{name: value.item() for name, value in shown.items()}}
    for name, value in expected.state_dict().items():
        assert torch.equal(trained.state_dict()[name], value), name


def test_the_models_own_losses_are_not_weighted(clips: PackedClips, tmp_path: Path) -> None:
    """The discriminator sees Eq. 3 alone, a decoder its task's loss alone."""
    step = one_part(epochs=1 / 3, batch=2)
    equal, weighted = small(), small()
    run(equal, clips, tmp_path / "a", schedule=step)
    curve = run(weighted, clips, tmp_path / "b", "uncertainty", schedule=step)
    theirs = dict(weighted.named_parameters())
    own = [name for name, _ in equal.named_parameters() if "discriminator" in name]
    assert own
    for name, parameter in equal.named_parameters():
        if name in own:
            grad, other = parameter.grad, theirs[name].grad
            assert grad is not None
            assert other is not None
            assert torch.equal(other, grad)
        for task in TASKS:
            if name.startswith(f"decoders.{task}."):
                assert parameter.grad is not None
                expected = parameter.grad * curve[0][f"weight_{task}"]
                torch.testing.assert_close(theirs[name].grad, expected, rtol=1e-4, atol=1e-7)


def test_the_curve_keeps_raw_losses_and_the_factors(clips: PackedClips, tmp_path: Path) -> None:
    names: tuple[WeightingName, ...] = ("equal", "uncertainty", "dwa", "geometric")
    curves = {name: run(shared(), clips, tmp_path / name, name) for name in names}
    factors = {f"weight_{task}" for task in TASKS}
    raw = curves["equal"][0]
    for name, curve in curves.items():
        assert {k: v for k, v in curve[0].items() if k in raw} == raw
        for point in curve:
            assert set(point) - set(raw) == (factors if name in {"uncertainty", "dwa"} else set())
    assert len({curve[-1]["depth"] for curve in curves.values()}) == 4

    # Uncertainty: the same Adam moves s, by the rate against the sign of its gradient in the first step.
    first, second = curves["uncertainty"][:2]
    for task in TASKS:
        assert first[f"weight_{task}"] == pytest.approx(0.5 * math.exp(0.5), rel=1e-6)
        s = -0.5 - math.copysign(1e-3, 0.5 - first[task] * 0.5 * math.exp(0.5))
        assert second[f"weight_{task}"] == pytest.approx(0.5 * math.exp(-s), rel=1e-6)

    # DWA: three steps an epoch, a point at every step.
    dwa = curves["dwa"]
    means = {task: [sum(p[task] for p in dwa[i : i + 3]) / 3 for i in range(0, 18, 3)] for task in TASKS}
    for step, point in enumerate(dwa):
        epoch = step // 3
        powers = {t: math.exp(m[epoch - 1] / m[epoch - 2] / 2) for t, m in means.items()}
        for task in TASKS:
            expected = 1.0 if epoch < 2 else 3 * powers[task] / sum(powers.values())
            assert point[f"weight_{task}"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weighting", ["uncertainty", "dwa", "geometric"])
def test_weightings_train_two_tasks(tmp_path: Path, weighting: WeightingName) -> None:
    pack(WorldClips("street", "train", clips=4, height=24, width=48), 1, tmp_path / "clips")
    torch.manual_seed(0)
    model = MultiTask(CITYSCAPES, 18, width=0.0625)
    schedule = one_part(epochs=4, batch=2, lr=1e-3)
    curve = run(model, PackedClips(tmp_path / "clips"), tmp_path / "c", weighting, schedule=schedule)
    assert all(math.isfinite(value) for point in curve for value in point.values())
    for task in ("segmentation", "depth"):
        assert curve[-1][task] < curve[0][task]


def test_frozen_parameters_stay(clips: PackedClips, tmp_path: Path) -> None:
    model = shared()
    model.encoder.requires_grad_(False)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    run(model, clips, tmp_path / "c", "uncertainty", schedule=one_part(epochs=1, batch=2))
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("encoder.")


def test_an_unknown_weighting_is_refused(clips: PackedClips, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no weighting 'gradnorm'"):
        run(small(), clips, tmp_path / "c", cast(Any, "gradnorm"))


def test_a_checkpoint_of_another_weighting_is_refused(clips: PackedClips, tmp_path: Path) -> None:
    def until(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small(), clips, tmp_path / "c", progress=until, seconds=0.0)
    with pytest.raises(UserError, match="not a checkpoint of a training with 'geometric' weighting"):
        run(small(), clips, tmp_path / "c", "geometric")


def test_a_checkpoint_of_something_else_is_refused(clips: PackedClips, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", "somebody", {"model": {}})
    with pytest.raises(UserError, match="is a checkpoint of 'somebody', not of 'me'"):
        run(small(), clips, tmp_path / "c")


def test_divergence_is_said(clips: PackedClips, tmp_path: Path) -> None:
    model = small()
    with torch.no_grad():
        model.get_parameter("decoders.depth.layers.4.bias").fill_(torch.inf)
    with pytest.raises(UserError, match=r"diverged at step 1 of 18 \(.*depth nan, .*\); lower the learning rate"):
        run(model, clips, tmp_path / "c")


@pytest.mark.parametrize("seconds", [15.0, 0.0])
def test_divergence_that_is_looked_for_later_is_of_the_first_step_and_never_written(
    seconds: float, clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: at the end of the epoch, which DWA looks at, after step 3, or before a checkpoint, after step 2."""
    monkeypatch.setitem(mila.training_steps.CHECK_EVERY, "cpu", 20)
    monkeypatch.setattr(mila.training_steps, "CURVE_POINTS", 1)
    model, steps = small(), list[int]()

    def break_it(done: int, _total: int) -> None:
        steps.append(done)
        with torch.no_grad():
            model.get_parameter("decoders.depth.layers.4.bias").fill_(torch.inf)

    with pytest.raises(UserError, match=r"diverged at step 2 of 18 \(.*depth nan, .*\); lower the learning rate"):
        run(model, clips, tmp_path / "c", "dwa", progress=break_it, seconds=seconds)
    assert steps == [1, 2]
    if seconds == 0:
        assert load_checkpoint(tmp_path / "c", "me")["step"] == 1
    else:
        assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_batches_that_a_thread_reads_ahead_train_the_same(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (Part(2, 2, 1e-3, encoders="frozen"), Part(2, 2, 1e-3, encoders="fixed_norm"))
    first, second = small(), small()
    curve = run(first, clips, tmp_path / "a" / "c", schedule=Schedule(parts))
    ahead = lambda read, **_: BatchReader(read, ahead=True, pin=False)  # noqa: E731
    monkeypatch.setattr(mila.training_steps, "BatchReader", ahead)
    assert run(second, clips, tmp_path / "b" / "c", schedule=Schedule(parts)) == curve
    for one, two in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_adam_steps_are_adams(clips: PackedClips, tmp_path: Path) -> None:
    """One step against Kingma and Ba's update by hand: lr * g / (|g| + eps) at step one."""
    model = shared()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    run(model, clips, tmp_path / "c", schedule=one_part(epochs=1 / 3, batch=2, lr=1e-3))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        expected = before[name] - 1e-3 * parameter.grad / (parameter.grad.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=2e-6)
