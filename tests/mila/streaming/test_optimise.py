"""Optimised streams predict what plain ones do, for every model; what cannot be optimised is said once and goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.flownet import FlowNet
from baselines.multi_task import MultiTask
from mila.branch import Branch, Emitted, Memory
from mila.model import MILA, MILAStream
from mila.modules import TaskDecoders
from mila.streaming.optimise import Optimised, optimise
from mila.streaming.precision import choose_precision, processor_flags
from mila.streaming.recording import Step
from mila.tasks import FLOW, NYUV2, Suite, TaskName, depth_task, segmentation_task
from mila.video_model import Stream, VideoModel
from tests.support.all_models import MODELS
from tests.support.fake_models import experienced, fake_model, fake_video


def streamed(stream: Stream, frames: Tensor) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        return [stream.step(frame) for frame in frames.unbind(1)]


def worst_difference(model: VideoModel, optimised: Optimised, frames: Tensor) -> float:
    """The largest difference of a prediction, relative to the largest value of its task in that frame."""
    plain, fast = streamed(model.stream(), frames), streamed(optimised.stream(), frames)
    return max(
        ((ours[task] - theirs[task]).abs().max() / theirs[task].abs().max()).item()
        for ours, theirs in zip(fast, plain, strict=True)
        for task in theirs
    )


def replayed(rehearse: Step, step: Step) -> tuple[Callable[[], None], dict[str, Tensor]]:
    """Stands for a CUDA graph where there is no GPU: what a replay computes, it writes where the recording's lies."""
    static = {name: torch.full_like(prediction, torch.nan) for name, prediction in rehearse().items()}

    def replay() -> None:
        for name, prediction in step().items():
            static[name].copy_(prediction)

    return replay, static


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_float32_predicts_the_same(name: str, stacked: bool) -> None:
    model = fake_model(MODELS[name][0], **MODELS[name][1])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimised = optimise(model, "float32", stacked=stacked, record=replayed if stacked else None)
    assert worst_difference(model, optimised, fake_video(2 * model.keyframe_interval + 1)) < 1e-4
    assert optimised.failure is None
    assert ("branches in one launch" in optimised.about) is stacked
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())  # left as it was


@pytest.mark.parametrize("norm", ["none", "group", "batch"])
@pytest.mark.parametrize("name", ["MILA", "multi task"])
def test_every_norm_of_the_decoders(name: str, norm: str) -> None:
    small = fake_model(MODELS[name][0], **MODELS[name][1], decoder_norm=norm)
    optimised = optimise(small, "float32", stacked=True)
    assert worst_difference(small, optimised, fake_video(3)) < 1e-4


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", ["MILA", "multi task", "MTAN", "flow", "SVC", "Accel", "SegNet MTAN"])
def test_bfloat16_works_and_gives_float32(name: str, stacked: bool) -> None:
    model = fake_model(MODELS[name][0], **MODELS[name][1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimised = optimise(model, "bfloat16", stacked=stacked)
        predictions = streamed(optimised.stream(), fake_video(model.keyframe_interval + 1))
    assert optimised.failure is None
    assert {p.dtype for frame in predictions for p in frame.values()} == {torch.float32}
    # noise through random weights, wide of what a trained model does; see test_miou.py for that
    assert 0 < worst_difference(model, optimised, fake_video(model.keyframe_interval + 1)) < 0.5


def test_flow_is_optimised_as_well() -> None:
    torch.manual_seed(0)
    model = experienced(FlowNet(FLOW, width=0.0625))
    assert worst_difference(model, optimise(model, "float32", record=replayed), fake_video(3)) < 1e-4


def test_the_model_s_mode_and_gradients_do_not_matter() -> None:
    model = fake_model(MultiTask, depth=18)
    expected = streamed(model.stream(), fake_video(1))[0]["depth"]
    model.train()
    found = optimise(model, "float32").stream().step(fake_video(1)[:, 0])["depth"]
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        frame = fake_video(1)[:, 0]
        stream = optimise(model, "float32", record=replayed).stream()
        stream.step(frame)
    assert not stream.step(fake_video(1)[:, 0])["depth"].is_inference()


class Particular(MultiTask):
    """A method of somebody's own that takes nothing but float32."""

    def encode(self, frame: Tensor) -> tuple[Tensor, ...]:
        return (self.encoder(frame @ torch.eye(frame.shape[-1])),)


def test_what_cannot_be_converted_runs_plain_with_one_warning() -> None:
    model = fake_model(Particular, depth=18)
    optimised = optimise(model, "bfloat16")
    frames = fake_video(2)
    with pytest.warns(RuntimeWarning, match=r"the model cannot be optimised \(.+\); its plain stream is used") as told:
        found = streamed(optimised.stream(), frames) + streamed(optimised.stream(), frames)
    assert len(told) == 1
    assert optimised.about.startswith("the plain stream, as optimising failed")
    for ours, theirs in zip(found, 2 * streamed(model.stream(), frames), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_precision_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert choose_precision("float32", cpu) == torch.float32
    assert choose_precision("bfloat16", cpu) == torch.bfloat16
    with pytest.raises(ValueError, match="the precision is one of auto, float32, bfloat16, not 'float16'"):
        choose_precision("float16", cpu)  # type: ignore[arg-type]
    for flags, dtype in (({"avx2"}, torch.float32), ({"avx2", "amx_bf16"}, torch.bfloat16)):
        monkeypatch.setattr("mila.streaming.precision.processor_flags", lambda flags=flags: flags)
        assert choose_precision("auto", cpu) == dtype
    for capability, dtype in (((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert choose_precision("auto", torch.device("cuda")) == dtype


def test_flags_of_the_processor(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    assert processor_flags(file) == set()
    file.write_text("model name\t: A\nflags\t\t: fpu amx_bf16\nflags\t\t: fpu\n")
    assert processor_flags(file) == {"fpu", "amx_bf16"}


def test_running_streams_go_on_where_another_one_cannot_begin() -> None:
    """As where a larger frame does not fit into a card's memory."""

    class Narrow(MILA):
        def encode(self, frames: Tensor, keyframe: bool) -> Tensor:
            if frames.shape[-1] > 40:
                raise RuntimeError("out of memory")
            return super().encode(frames, keyframe)

    model = fake_model(Narrow, slow=18, fast=18)
    frames = fake_video(5)
    for record in (None, replayed):
        optimised = optimise(model, "bfloat16", record=record)
        alone = streamed(optimise(model, "bfloat16").stream(), frames)
        stream = optimised.stream()
        found = streamed(stream, frames[:, :1])
        with pytest.warns(RuntimeWarning, match="cannot be optimised"), pytest.raises(RuntimeError, match="memory"):
            optimised.stream().step(torch.zeros(1, 3, 24, 48))
        found += streamed(stream, frames[:, 1:])
        for ours, theirs in zip(found, alone, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("model", [MILA, MultiTask])
def test_tasks_in_any_order_keep_their_names(model: Callable[..., VideoModel]) -> None:
    torch.manual_seed(0)
    suite = Suite("own", (depth_task(), segmentation_task(("a", "b"))), 24, 32)
    small = experienced(model(suite, 18, width=0.0625))
    assert worst_difference(small, optimise(small, "float32", stacked=True), fake_video(3)) < 1e-4


class OwnReceive(MILA):
    def receive(self, current: Emitted, memory: Memory, keyframe: bool) -> list[Tensor]:
        return [2 * x for x in super().receive(current, memory, keyframe)]


class OwnStream(MILA):
    def stream(self) -> MILAStream:
        stream = super().stream()
        stream.frames = 2  # another keyframe than the first
        return stream


class OwnBranch(Branch):
    def fuse(self, current: Tensor, received: Sequence[Tensor], keyframe: bool) -> Tensor:
        return 2 * super().fuse(current, received, keyframe)


class OwnBranches(MILA):
    def __init__(self, suite: Suite, **switches: Any) -> None:
        super().__init__(suite, **switches)
        assert self.fast is not None
        self.branches = nn.ModuleList(OwnBranch(self.fast.channels, (1, 2), True, 1) for _ in self.branches)


class OwnDecoders(TaskDecoders):
    def predict(self, features: Mapping[TaskName, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        return {name: 2 * x for name, x in super().predict(features, size).items()}


class OwnlyDecoded(MILA):
    def __init__(self, suite: Suite, **switches: Any) -> None:
        super().__init__(suite, **switches)
        assert self.fast is not None
        self.decoders = OwnDecoders(suite, self.fast.channels, 0.0625, "none")


@pytest.mark.parametrize("model", [OwnReceive, OwnStream, OwnBranches, OwnlyDecoded])
def test_what_a_class_derived_from_mila_does_is_kept(model: Callable[..., MILA]) -> None:
    small = fake_model(model, slow=18, fast=18)
    assert worst_difference(small, optimise(small, "float32", stacked=True), fake_video(7)) < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_predictions_have_more_digits_than_a_bfloat16(name: str) -> None:
    model = fake_model(MODELS[name][0], **MODELS[name][1])
    lasts = [model.get_submodule(layer) for layer in model.last_layers()]
    assert {last.out_channels for last in lasts if isinstance(last, nn.Conv2d)} == {t.channels for t in NYUV2.tasks}
    stream = optimise(model, "bfloat16", stacked=False).stream()
    for prediction in streamed(stream, fake_video(2)):
        scores = prediction["depth"][..., ::8, ::8]  # what upsampling leaves as it is
        assert (scores != scores.bfloat16().float()).any()
