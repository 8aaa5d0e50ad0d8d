"""A stream taken apart: which kinds of step there are, what each reads and changes, and that together they are it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.flow_warping import Accel
from baselines.multi_task import MultiTask
from baselines.slow_fast import SlowFast
from mila.errors import UserError
from mila.streaming.graph_files import difference
from mila.streaming.graphs import Graphs, export_graphs
from mila.streaming.steps import rehearse
from mila.tasks import CITYSCAPES7, Suite
from mila.video_model import VideoModel
from tests.support.fake_models import experienced
from tests.support.saved_models import HEIGHT, WIDTH, small_mila

KEY, NON_KEY = (tuple(f"{slot}.{kind}.0" for kind in ("compared", "features")) for slot in ("key", "non_key"))


def run_of(graphs: Graphs) -> Any:
    """What runs the exported programs as they are."""
    modules = {name: graph.program.module() for name, graph in graphs.graphs.items()}

    def run(name: str, given: Mapping[str, Tensor]) -> list[Tensor]:
        return list(modules[name](*given.values()))

    return run


def check(model: VideoModel) -> Graphs:
    """Export a model, which must not change it, and compare."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graphs = export_graphs(model, HEIGHT, WIDTH)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert len(graphs.rehearsal.frames) == 2 * model.keyframe_interval + 1
    assert difference(run_of(graphs), graphs) < 1e-5
    return graphs


def state_of(graphs: Graphs) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {name: (graph.inputs, graph.outputs) for name, graph in graphs.graphs.items()}


@pytest.mark.slow
def test_mila_has_two_more_steps_for_the_first_two_frames() -> None:
    graphs = check(small_mila())
    assert state_of(graphs) == {
        "keyframe": (NON_KEY, KEY),
        "non_keyframe": ((*KEY, *NON_KEY), NON_KEY),
        "first_keyframe": ((), KEY),
        "first_non_keyframe": (KEY, NON_KEY),
    }
    assert graphs.first == ("first_keyframe", "first_non_keyframe")
    assert graphs.cycle == ("keyframe", "non_keyframe", "non_keyframe")
    assert [graphs.name_at(t) for t in range(7)] == [
        *("first_keyframe", "first_non_keyframe", "non_keyframe"),
        *("keyframe", "non_keyframe", "non_keyframe"),
        "keyframe",
    ]
    frame = [1, 3, HEIGHT, WIDTH]
    shapes = graphs.graphs["keyframe"].shapes
    assert shapes["frame"] == frame
    assert shapes["segmentation"] == [1, 7, HEIGHT, WIDTH]
    assert shapes["non_key.features.0"] == shapes["next.key.features.0"] == [1, 32, 4, 5]


@pytest.mark.slow
def test_without_multi_frame_two_steps_are_all() -> None:
    graphs = check(small_mila(multi_frame=False))
    assert state_of(graphs) == {"keyframe": ((), KEY), "non_keyframe": (KEY, ())}
    assert graphs.first == ()


@pytest.mark.slow
def test_with_every_frame_a_keyframe_the_first_has_a_step_of_its_own() -> None:
    graphs = check(small_mila(keyframe_interval=1))
    assert state_of(graphs) == {"keyframe": (KEY, KEY), "first_keyframe": ((), KEY)}
    assert (graphs.first, graphs.cycle) == (("first_keyframe",), ("keyframe",))


@pytest.mark.slow
def test_what_is_chained_hands_on_the_frame() -> None:
    torch.manual_seed(0)
    flow: dict[str, Any] = {"slow": 34, "width": 0.0625, "flow_width": 0.0625, "keyframe_interval": 2}
    accel = check(experienced(Accel(CITYSCAPES7, **flow)))
    assert state_of(accel) == {
        "keyframe": ((), ("last", "reference")),
        "non_keyframe": (("last", "reference"), ("last", "reference")),
    }
    graphs = check(experienced(SlowFast(CITYSCAPES7, propagation="flow", **flow)))
    assert graphs.first == ("first_keyframe", "first_non_keyframe")
    assert graphs.graphs["non_keyframe"].inputs == (*KEY, NON_KEY[1])  # the flow is that between the same two frames
    assert graphs.graphs["keyframe"].shapes["next.key.compared.0"] == [1, 3, HEIGHT, WIDTH]


def test_a_model_of_single_frames_has_one_step_without_state() -> None:
    graphs = check(experienced(MultiTask(CITYSCAPES7, 18, width=0.0625)))
    assert state_of(graphs) == {"keyframe": ((), ())}
    signature = graphs.graphs["keyframe"].program.graph_signature
    assert not [name for name in (*signature.parameters, *signature.buffers) if "num_batches_tracked" in name]


class Own(VideoModel):
    """Adds up all frames since the keyframe; its stream is what a test makes it."""

    def __init__(self, suite: Suite, stream: Any) -> None:
        super().__init__(suite, 2)
        self.make = stream

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        raise NotImplementedError

    def stream(self) -> Any:
        return self.make()


class Sum:
    """A stream that says what it carries."""

    def __init__(self) -> None:
        self.frames, self.sums = 0, list[Tensor]()

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        self.sums = [frame] if self.frames % 2 == 0 else [self.sums[-1] + frame]
        self.frames += 1
        return {"segmentation": self.sums[-1].expand(1, 3, HEIGHT, WIDTH)}

    def carried(self) -> dict[str, Tensor]:
        return {f"sum.{place}": x for place, x in enumerate(self.sums)}

    def resume(self, carried: Mapping[str, Tensor], frames: int) -> None:
        self.frames, self.sums = frames, [carried[name] for name in sorted(carried)]


class Growing(Sum):
    """One that carries more in every interval."""

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        self.sums.append(frame)
        return {"segmentation": frame}


class ByValue(Sum):
    """One that looks at numbers."""

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        return super().step(frame if frame.sum() > 0 else -frame)


class Closed:
    """One that does not say what it carries."""

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        return {"segmentation": frame}


def test_streams_of_own_methods_are_exported_if_they_say_what_they_carry() -> None:
    graphs = check(Own(CITYSCAPES7, Sum))
    assert state_of(graphs) == {"keyframe": ((), ("sum.0",)), "non_keyframe": (("sum.0",), ("sum.0",))}
    with pytest.raises(UserError, match="Own cannot be exported, for its stream does not say what it carries .*; give"):
        rehearse(Own(CITYSCAPES7, Closed), HEIGHT, WIDTH)
    with pytest.raises(UserError, match="Own cannot be exported, for what its stream carries is not the same in every"):
        rehearse(Own(CITYSCAPES7, Growing), HEIGHT, WIDTH)
    with pytest.raises(UserError, match="Own cannot be exported, for torch.export does not take its step .*; write"):
        export_graphs(Own(CITYSCAPES7, ByValue), HEIGHT, WIDTH)


def test_what_differs_is_found() -> None:
    graphs = check(experienced(MultiTask(CITYSCAPES7, 18, width=0.0625)))
    right = run_of(graphs)
    frames = iter(range(9))

    def wrong(name: str, given: Mapping[str, Tensor]) -> list[Tensor]:
        (segmentation,) = right(name, given)
        return [segmentation + (0.5 if next(frames) == 2 else 0)]

    largest = max(float(each["segmentation"].abs().max()) for each in graphs.rehearsal.predictions[2:])
    assert difference(wrong, graphs) == pytest.approx(0.5 / max(1, largest), rel=1e-3)
    nothing = difference(lambda name, given: [x * torch.nan for x in right(name, given)], graphs)
    assert not nothing <= 1
