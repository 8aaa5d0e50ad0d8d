"""The other counters beside `complete`: what they disagree about adds up, and is found from the operations that ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.mtan import MTAN
from baselines.slow_fast import SlowFast
from baselines.svc import SVC
from mila.attention import local_attention
from mila.cost.comparison import Comparison, CounterName, compare, compare_step
from mila.model import MILA
from mila.switches import Architecture
from mila.tasks import NYUV2
from mila.video_model import VideoModel

SMALL: dict[str, Any] = {"slow": 18, "fast": 18, "width": 0.0625, "keyframe_interval": 2}
UNEXPLAINED = ("is another one", "are other ones")


def by_counter(found: list[Comparison]) -> dict[CounterName, Comparison]:
    return {c.counter: c for c in found}


def reasons(comparison: Comparison) -> dict[str, tuple[float, float, str]]:
    """What is counted, what `complete` counts, and why, by kind."""
    return {d.kind: (d.counted, d.complete, d.reason) for d in comparison.disagreements}


def check_adds_up(found: list[Comparison]) -> None:
    assert [c.counter for c in found] == ["thop", "fvcore", "torch"]
    for comparison in found:
        rows = comparison.disagreements
        assert sum(d.counted - d.complete for d in rows) == comparison.total - comparison.complete
        assert all(d.counted != d.complete for d in rows)
        assert not any(word in d.reason for d in rows for word in UNEXPLAINED), rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "keyframe"),
    [
        (lambda: MILA(NYUV2, **SMALL, decoder_norm="group", architecture=Architecture(scaled=True)), False),
        (lambda: MILA(NYUV2, **SMALL, window="global", task_specific=False), True),
        (lambda: SlowFast(NYUV2, **SMALL, propagation="flow", flow_width=0.0625, task_specific=False), False),
        (lambda: SVC(NYUV2, **SMALL), True),
        (lambda: MTAN(NYUV2, 18, width=0.0625), True),
    ],
    ids=["MILA", "global", "flow", "SVC", "MTAN"],
)
def test_every_difference_of_a_model_has_its_reason(make: Callable[[], VideoModel], keyframe: bool) -> None:
    with torch.device("meta"):
        model = make()
    check_adds_up(compare_step(model, 48, 64, keyframe))


class Wrapped(nn.Module):
    """A function as a module, with modules of its own."""

    def __init__(self, run: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(self, *inputs)


def found_for(module: nn.Module, *inputs: Tensor) -> dict[CounterName, Comparison]:
    found = compare(module, *inputs)
    check_adds_up(found)
    return by_counter(found)


def unfold(x: Tensor) -> Tensor:
    unfolded: Tensor = F.unfold(x, 5, padding=2).unflatten(1, (-1, 25))  # [B, C, 25, HW]
    return unfolded


def products(_: nn.Module, query: Tensor, key: Tensor) -> Tensor:
    weights = (query.flatten(2).unsqueeze(2) * unfold(key)).sum(1)
    return (weights.unsqueeze(1) * unfold(key)).sum(2)


def einsum(_: nn.Module, query: Tensor, key: Tensor) -> Tensor:
    weights = torch.einsum("bcp,bcnp->bnp", query.flatten(2), unfold(key))
    return torch.einsum("bnp,bcnp->bcp", weights, unfold(key))


def test_local_attention_as_it_is_usually_written() -> None:
    """Note 1.9: 5x5, C = 128, 32x64; true are 13.1 M multiply-accumulates."""
    true = 2 * 25 * 128 * 32 * 64
    maps = torch.zeros(1, 128, 32, 64), torch.zeros(1, 128, 32, 64)

    found = found_for(Wrapped(products), *maps)
    assert [c.complete for c in found.values()] == [true] * 3
    assert [c.total for c in found.values()] == [0, 0, 0]
    assert reasons(found["thop"]) == {"product": (0, true, "called as a function, and it sees modules alone")}
    assert reasons(found["fvcore"]) == {"product": (0, true, "it has no rule for aten.mul")}
    assert reasons(found["torch"]) == {"product": (0, true, "it has no rule for aten.mul")}

    found = found_for(Wrapped(einsum), *maps)
    assert [c.complete for c in found.values()] == [true] * 3
    assert found["thop"].total == 0
    assert found["torch"].total == 2 * true
    assert found["torch"].unit == "FLOPs"
    assert found["fvcore"].total == pytest.approx(true, rel=5e-4)
    assert reasons(found["torch"]) == {"all": (2 * true, true, "it counts a multiplication and an addition as two")}


def test_the_suites_own_attention() -> None:
    x = torch.zeros(1, 8, 6, 10)
    found = found_for(Wrapped(lambda _, q: local_attention(q, q, q, 5)), x)
    defined = 25 * 60 * (8 + 8)
    assert reasons(found["thop"])["local attention"][:2] == (0, defined)
    assert reasons(found["fvcore"])["local attention"][2] == "it cannot look into a torch.autograd.Function"
    banded, _, why = reasons(found["torch"])["local attention"]
    assert banded == 12 * 8 * 12 * 5 * 16  # 12 tiles of 8 pixels that reach 12 in each of 5 rows
    assert why == "the products that run are charged, with the zeros of their bands"


def test_transposed_convolutions_by_thop() -> None:
    found = found_for(nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), torch.zeros(1, 4, 5, 7))
    true = 5 * 7 * 4 * 6 * 16
    assert [c.total for c in found.values()] == [4 * true, true, 2 * true]
    assert reasons(found["thop"])["transposed convolution"] == (
        4 * true,
        true,
        "a transposed convolution is charged at every output position instead of every input position, 4 times as much",
    )


def test_functional_calls_and_modules_without_a_rule() -> None:
    weight = torch.ones(5, 4, 3, 3)
    module = Wrapped(
        lambda self, x: self.norm(F.conv2d(x, self.conv.weight)), conv=nn.Conv2d(4, 5, 3), norm=nn.GroupNorm(1, 5)
    )
    found = found_for(module, torch.zeros(1, 4, 6, 7))
    true, values = 4 * 5 * weight.numel(), 4 * 5 * 5
    assert reasons(found["thop"]) == {
        "convolution": (0, true, "called as a function, and it sees modules alone"),
        "normalisation": (0, 2 * values, "it has no rule for GroupNorm"),
    }
    assert found["thop"].disagreements[0].where in (("aten.convolution",), ("aten.native_group_norm in norm",))
    assert reasons(found["fvcore"])["normalisation"][:2] == (5 * values, 2 * values)


def test_a_module_called_twice_and_one_of_two_parents() -> None:
    shared = nn.Conv2d(4, 4, 1)
    true = 4 * 4 * 6 * 7
    x = torch.zeros(1, 4, 6, 7)
    twice = Wrapped(lambda self, x: self.first(self.first(x)), first=shared)
    assert found_for(twice, x)["thop"].total == 2 * true
    first, second = nn.Sequential(shared), nn.Sequential(shared, nn.ReLU())
    found = found_for(Wrapped(lambda self, x: self.first(self.second(x)), first=first, second=second), x)
    assert [c.complete for c in found.values()] == [2 * true] * 3
    assert reasons(found["thop"]) == {"convolution": (8 * true, 2 * true, "a module of 2 parents is counted 4 times")}
    assert found["fvcore"].disagreements == ()


def test_what_only_later_frames_need_is_lost_to_fvcore() -> None:
    """On a keyframe SVC's fast network runs for the frames to come."""
    with torch.device("meta"):
        model = SVC(NYUV2, **SMALL)
    found = by_counter(compare_step(model, 48, 64, keyframe=True))
    lost = [d for d in found["fvcore"].disagreements if d.kind == "convolution"]
    assert len(lost) == 1
    assert lost[0].counted == 0
    assert all(where.startswith("aten.convolution in model.fast.") for where in lost[0].where)
    assert "its tracer drops what no output of this frame needs" in lost[0].reason


def test_ratio() -> None:
    found = found_for(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8))
    assert [c.ratio for c in found.values()] == [1, 1, 2]
