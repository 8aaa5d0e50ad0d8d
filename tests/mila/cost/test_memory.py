"""Memory of a model, by hand and against what PyTorch reports of real runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.multi_task import MultiTask
from experiments.benchmarks.taking_turns import peak_memory
from mila.attention import local_attention
from mila.cost.memory import LiveTensors, memory
from mila.errors import UserError
from mila.model import MILA
from mila.tasks import NYUV2
from mila.video_model import FrameModel, Stream, VideoModel


class _Plain(FrameModel):
    """Three maps alive at once: the frame, what comes in and what goes out."""

    def __init__(self) -> None:
        super().__init__(NYUV2)
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1, bias=False)
        self.register_buffer("constant", torch.zeros(5))

    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        return {"depth": self.second(self.first(frame))}


def test_a_small_model_by_hand() -> None:
    found = memory(_Plain(), 10, 20)
    assert found.parameters == pytest.approx(4 * (3 * 8 + 8 + 8 * 4 + 5) / 1e6)
    assert found.keyframe == pytest.approx(4 * 200 * (3 + 8 + 4) / 1e6)
    assert found.non_keyframe == found.keyframe
    assert found.state == 0


class _Keeping(VideoModel):
    """Keeps a view of every third of its frames, and thereby the whole frame."""

    def __init__(self) -> None:
        super().__init__(NYUV2, keyframe_interval=3)

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        raise NotImplementedError

    def stream(self) -> Stream:
        return _KeepingStream()


class _KeepingStream:
    def __init__(self) -> None:
        self.frames = 0
        self.kept: Tensor | None = None

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        if self.frames % 3 == 0:
            self.kept = frame[:, :1]
        self.frames += 1
        assert self.kept is not None
        return {"depth": self.kept + frame[:, :1]}


def test_what_a_stream_carries_counts_with_the_memory_that_it_holds_on_to() -> None:
    found = memory(_Keeping(), 10, 20)
    frame = 4 * 3 * 200 / 1e6
    assert found.state == pytest.approx(frame)
    # The old keyframe goes when the new one has come; later there are the kept one and a new one.
    assert found.keyframe == pytest.approx(2 * frame)
    assert found.non_keyframe == pytest.approx(2 * frame + frame / 3)
    assert found.parameters == 0


@pytest.mark.slow
def test_state_of_mila_by_hand() -> None:
    """Two slots of features and what `h` gives of them, once a task."""
    found = memory(MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=2), 64, 96)
    assert found.state == pytest.approx(2 * 3 * 4 * (32 + 36) * 9 * 13 / 1e6)
    alone = memory(MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=2, multi_frame=False), 64, 96)
    assert alone.state == pytest.approx(3 * 4 * (32 + 36) * 9 * 13 / 1e6)
    once = memory(MILA(NYUV2, 18, 18, width=0.0625, keyframe_interval=2, task_specific=False), 64, 96)
    assert once.state == pytest.approx(2 * 4 * (32 + 36) * 9 * 13 / 1e6)
    assert max(once.keyframe, once.non_keyframe) > once.state


def chain(x: Tensor) -> Tensor:
    x = F.relu(x) * 2 + 1
    x = F.max_pool2d(torch.cat([x, x.exp()], 1), 2)
    return F.pad(x, (1, 1, 1, 1)).flatten(2).softmax(-1).cumsum(-1)


def attention(x: Tensor) -> Tensor:
    return local_attention(x, x * 2, x, 3)


@pytest.mark.parametrize("run", [chain, attention])
def test_peak_is_what_pytorch_reports_of_a_real_run(run: Callable[[Tensor], Tensor]) -> None:
    """Of operations whose kernels take nothing for themselves, to the byte but for tiny helpers."""
    x = torch.randn(1, 8, 24, 32)
    measured = peak_memory(lambda: run(x))
    for device in ("cpu", "meta"):
        known = x.to(device)
        with LiveTensors([known]) as live:
            out = run(known)
        assert live.peak == pytest.approx(measured, rel=0.005)
        assert live.held == pytest.approx(4 * out.numel(), rel=0.3)
        del out
        assert live.held == 0


def test_a_real_model_takes_at_least_as_much() -> None:
    """Convolutions may take workspaces besides; what the program makes is a lower bound, and not far below."""
    model = MultiTask(NYUV2, 18, width=0.25).eval()
    frame = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        measured = (peak_memory(lambda: model.predict(frame)) + 4 * frame.numel()) / 1e6
    found = memory(model, 96, 128).keyframe
    assert 0.4 * measured <= found <= 1.001 * measured


def test_an_impossible_size_is_an_error() -> None:
    with pytest.raises(UserError, match="a frame of 8x-1 pixels"):
        memory(_Plain(), 8, -1)
