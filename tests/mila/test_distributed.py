"""Several processes that share one training against one process with the whole batch, on CPUs (gloo)."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

import mila.training
from baselines.multi_task import MultiTask
from experiments.commands.run import main
from experiments.runner.process_group import follow, leading
from experiments.runner.run_stage import Outcome, run_stage
from experiments.runner.stage_functions import join_training
from experiments.slurm.site import make_site
from experiments.sources import Source
from experiments.stages import Data, Stage, Train, arguments
from experiments.store import Store
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.distributed import (
    SyncBatchNorm2d,
    any_rank,
    is_same,
    mean_over_ranks,
    part,
    process_group,
    rank,
    synchronise_batch_norm,
)
from mila.errors import DivergedError, LostRankError, StoppedError, UserError
from mila.model import MILA
from mila.names import AugmentationName, WeightingName
from mila.schedule import Schedule
from mila.tasks import NYUV2, VOID
from mila.training import Callbacks, Checkpoint, Recipe, train
from mila.video_model import VideoModel

# Processes are forked from a server that has imported everything: starting one takes no second.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["baselines.multi_task", "experiments.commands.run", "mila.model", "pytest", "torch._dynamo"]
)
PATIENCE = 60.0  # seconds after which a process is taken to hang


def _serve(pipe: Connection, number: int, task: Callable[..., Any], words: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        given = task(number, *words)
    except Exception as error:
        given = error
    buffer = io.BytesIO()  # a tensor in a pipe lies in shared memory that ends with its sender
    torch.save(given, buffer)
    pipe.send_bytes(buffer.getvalue())


def start(count: int, task: Callable[..., Any], *words: Any) -> list[Any]:
    """Call `task(number, *words)` in `count` processes; what each gave or raised, None where it was killed."""
    pipes, processes = [], []
    for number in range(count):
        ours, theirs = CONTEXT.Pipe()
        processes.append(CONTEXT.Process(target=_serve, args=(theirs, number, task, words)))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    given: list[Any] = []
    try:
        for pipe in pipes:
            assert pipe.poll(PATIENCE), "a process hangs"
            try:
                given.append(torch.load(io.BytesIO(pipe.recv_bytes()), weights_only=False))
            except (EOFError, ConnectionResetError):
                given.append(None)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return given


def in_group(number: int, count: int, file: str, task: Callable[..., Any], *words: Any) -> Any:
    """In a process: `task(*words)` as rank `number`."""
    with process_group(dist.FileStore(file, count), number, count, "cpu"):
        return task(*words)


def on_ranks(count: int, folder: Path, task: Callable[..., Any], *words: Any) -> list[Any]:
    """`task(*words)` on every rank of a group; what each gave or raised, None where it was killed."""
    return start(count, in_group, count, str(folder / f"meeting-{time.monotonic_ns()}"), task, *words)


# sums over ranks --------------------------------------------------------------------------------------------------


def sums() -> dict[str, Any]:
    """On a rank: rank 0 has nothing of "b", neither anything of "c"."""
    mine = float(rank() + 1)
    value = torch.tensor(mine, requires_grad=True)
    means = {"a": value * 1.0, "b": torch.tensor(0.0 if rank() == 0 else 5.0), "c": torch.tensor(0.0)}
    total = mean_over_ranks(means, {"a": 2 + rank(), "b": torch.tensor(rank() * 7), "c": 0})
    (3 * total["a"] ** 2).backward()
    return {
        **{name: mean.item() for name, mean in total.items()},
        "grad": value.grad.item() / 2,  # DistributedDataParallel takes the mean over the two ranks
        "part": [range(5)[part(5)], range(2)[part(2)]],
        "refused": refusal(lambda: part(1)),
        "any": [any_rank(rank() == 1, "cpu"), any_rank(False, "cpu")],
        "same": [is_same(7, "cpu"), is_same(rank(), "cpu")],
    }


def refusal(call: Callable[[], Any]) -> str:
    try:
        call()
    except UserError as error:
        return str(error)
    return ""


def test_means_are_over_all_that_the_ranks_have(tmp_path: Path) -> None:
    first, second = on_ranks(2, tmp_path, sums)
    mean = (1 * 2 + 2 * 3) / 5
    for given, share in ((first, 2 / 5), (second, 3 / 5)):
        assert (given["a"], given["b"], given["c"]) == (pytest.approx(mean), 5.0, 0.0)
        assert given["grad"] == pytest.approx(6 * mean * share)
        assert given["refused"] == "a batch of 1 cannot be shared by 2 processes; start at most 1."
        assert given["any"] == [True, False]
        assert given["same"] == [True, False]
    assert [list(first["part"][0]), list(second["part"][0])] == [[0, 1], [2, 3, 4]]
    assert [list(first["part"][1]), list(second["part"][1])] == [[0], [1]]


def norms() -> tuple[nn.Sequential, Tensor, Tensor]:
    """Two batch norms that are not at their initial state, a batch of 5 far from 0, and weights of a loss."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4, eps=1e-3, momentum=0.3)).double()
    with torch.no_grad():
        for tensor in (*model.parameters(), model[0].running_mean, model[2].running_var):
            tensor.uniform_(0.5, 2)
    x = torch.randn(5, 4, 3, 2).double() * torch.tensor([1, 5, 0.1, 1e-3])[:, None, None].double() + 40
    return model, x, torch.randn(5, 4, 3, 2).double()


def normalise() -> dict[str, Any]:
    """On a rank, twice: outputs, gradients (as DistributedDataParallel has them), and the state."""
    model, x, weights = norms()
    parameters, buffers = list(model.parameters()), list(model.buffers())
    synchronise_batch_norm(model)
    assert [type(module) for module in model] == [SyncBatchNorm2d, nn.ReLU, SyncBatchNorm2d]
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(a is b for a, b in zip(buffers, model.buffers(), strict=True))
    mine = part(5)
    given = x[mine].requires_grad_()
    model(given.detach() * 2)
    out = model(given)
    (out.sin() * weights[mine]).sum().backward()
    return {
        "out": out.detach(),
        "x": given.grad,
        "grads": [p.grad for p in parameters],
        "state": model.state_dict(),
        "eval": model.eval()(x).detach(),
    }


def test_batch_norm_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    model, x, weights = norms()
    x.requires_grad_()
    model(x.detach() * 2)
    out = model(x)
    (out.sin() * weights).sum().backward()
    given = on_ranks(2, tmp_path, normalise)
    close: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-9}
    torch.testing.assert_close(torch.cat([g["out"] for g in given]), out.detach(), **close)
    torch.testing.assert_close(torch.cat([g["x"] for g in given]), x.grad, rtol=1e-6, atol=1e-6)
    for index, parameter in enumerate(model.parameters()):
        torch.testing.assert_close(sum(g["grads"][index] for g in given), parameter.grad, **close)
    for one in given:
        for name, value in model.state_dict().items():
            torch.testing.assert_close(one["state"][name], value, **close)
    torch.testing.assert_close(given[0]["eval"], model.eval()(x).detach(), **close)


def test_other_batch_norms_are_refused() -> None:
    for norm in (nn.BatchNorm1d(2), nn.BatchNorm2d(2, affine=False), nn.BatchNorm2d(2, track_running_stats=False)):
        with pytest.raises(UserError, match="cannot be computed over several processes; train this model with one"):
            synchronise_batch_norm(nn.Sequential(norm))


# training ---------------------------------------------------------------------------------------------------------

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

    def model(self) -> VideoModel:
        torch.manual_seed(1)
        if self.mila:
            return MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=3)
        return MultiTask(NYUV2, 18, width=0.0625, decoder_norm="batch")


MILA_CASE = Case(True, 3, "uncertainty", "default")
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
    schedule = Schedule(epochs=STEPS / (6 // case.batch), batch=case.batch, lr=1e-3)

    def widened(*words: Any) -> tuple[Tensor, dict[str, Tensor]]:
        frames, targets = augment(*words)
        return frames.double(), {n: t.double() if t.is_floating_point() else t for n, t in targets.items()}

    augment = mila.training.augment
    if case.double:
        model.double()
    with mock.patch.object(mila.training, "augment", widened if case.double else augment):
        recipe = Recipe(schedule, 5, case.weighting, case.augmentation)
        curve = train(model, Patchy(folder), recipe, Checkpoint(path, "me", seconds), callbacks=callbacks)
    grads = {f"{name}.grad": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return curve, {**{name: value.clone() for name, value in model.state_dict().items()}, **grads}


def watch(folder: Path) -> None:
    """From here on this process may open nothing in `folder` for writing."""

    def look(event: str, words: tuple[Any, ...]) -> None:
        if event == "open" and str(words[0]).startswith(str(folder)):
            assert not words[2] & (os.O_WRONLY | os.O_RDWR), words

    sys.addaudithook(look)


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
            model.get_submodule("decoders.depth").layers[-1].bias.fill_(torch.inf)
    train(model, Patchy(folder), Recipe(Schedule(epochs=1, batch=2), 5), Checkpoint(checkpoint, "me"))


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


# stages -----------------------------------------------------------------------------------------------------------


SOURCE = Source("rooms", "train", height=24, width=32, mode="video", suite=NYUV2, clips=6)


def make_stages() -> dict[str, Stage]:
    """Data and two trainings of it, by key."""
    data = Data("data", SOURCE, 1)
    switches = arguments(depth=18, width=0.0625)
    schedule = Schedule(epochs=2, batch=2, lr=1e-3)
    trainings = [Train(f"seed {seed}", "multi_task", switches, data, seed, schedule) for seed in (0, 1)]
    return {stage.key: stage for stage in (data, *trainings)}


def take_part(number: int, port: int, root: Path, broken: str) -> list[Outcome] | None:
    """A process as torchrun would start it: rank 0 does the stages, rank 1 follows; it breaks at the stage `broken`."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    stages, store = make_stages(), Store(root)
    if number == 0:
        with leading():
            outcomes = [run_stage(stage, store, "cpu") for stage in stages.values()]
            if broken == "rank 0":
                os.kill(os.getpid(), signal.SIGKILL)
            return outcomes
    watch(root)

    def help_along(key: str) -> None:
        stage = stages[key]
        assert isinstance(stage, Train)
        if stage.title == broken:
            raise OSError("no such disk")
        join_training(stage, store, "cpu")

    follow(help_along, "cpu")
    return None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def test_a_run_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    stages = make_stages()
    outcomes, nothing = start(2, take_part, free_port(), two.root, "")
    assert nothing is None
    assert outcomes == [Outcome(key) for key in stages] == [run_stage(s, one, "cpu") for s in stages.values()]
    for stage in stages.values():
        assert two.state(stage) == "done"
        assert (two.record(stage).environment.get("processes") == 2) == isinstance(stage, Train)
        theirs = {path.name for path in two.folder(stage).iterdir()}
        assert theirs == {path.name for path in one.folder(stage).iterdir()}
        if isinstance(stage, Train):
            curves = zip(one.record(stage).result["curve"], two.record(stage).result["curve"], strict=True)
            for point, wanted in curves:
                assert point == pytest.approx(wanted, rel=1e-3)


def test_a_failure_of_another_process_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    outcomes, nothing = start(2, take_part, free_port(), tmp_path / "store", "seed 0")
    assert nothing is None
    data, first, second = outcomes
    assert first.error == "process 1 failed (OSError: no such disk); run again to continue."
    assert (data.error, second.error) == (None, None)
    again, _ = start(2, take_part, free_port(), tmp_path / "store", "")
    assert [outcome.error for outcome in again] == [None] * 3


def test_the_others_end_when_the_first_process_is_killed(tmp_path: Path) -> None:
    nothing, error = start(2, take_part, free_port(), tmp_path / "store", "rank 0")
    assert nothing is None
    assert isinstance(error, LostRankError)
    assert str(error) == "process 0 of this run has ended or does not answer; run again to continue."


def test_several_processes_are_for_a_grid_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for words in (["--list"], ["--grid", "table1", "--dry-run"], ["--grid", "table1", "--slurm"]):
        assert main(words) == 2
        assert "under torchrun a --grid can be run, and nothing else" in capsys.readouterr().err
    assert main(["--grid", "table1", "--jobs", "2"]) == 2
    assert "leave --jobs out" in capsys.readouterr().err


def test_tasks_are_for_trainings_alone() -> None:
    assert {kind: r.tasks for kind, r in make_site({"train": {"tasks": 2, "gpus": 2}}).kinds.items()} == {
        "data": 1,
        "train": 2,
        "evaluate": 1,
        "measure": 1,
        "attention": 1,
        "film": 1,
    }
    for values in ({"tasks": 2}, {"evaluate": {"tasks": 2}}):
        with pytest.raises(UserError, match=r"move `tasks` to the section \[train\]"):
            make_site(values)
