"""Where a frame's features come from, against loops over cells; and whether that agrees with hand-made motion."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.slow_fast import SlowFast
from baselines.svc import KernelPrediction
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.model import MILA
from mila.motion import carried, carries, follow, spread
from mila.motion_numbers import agreement
from mila.propagation import Propagation, Relation
from mila.switches import Architecture
from mila.tasks import CITYSCAPES
from mila.visualisation import attention
from tests.support.fake_clips import FakeClips

K, OFFSET, HEIGHT, WIDTH = 3, 2, 40, 64
SIZES: dict[str, Any] = {"width": 0.0625, "keyframe_interval": K}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    folder = tmp_path_factory.mktemp("packed")
    pack(FakeClips(3, CITYSCAPES, HEIGHT, WIDTH), K + 1, folder)
    return PackedClips(folder)


def lively(model: MILA, std: float = 0.2) -> MILA:
    """With larger weights than a fresh network's, so that neighbours count differently."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=std)
    return model.eval()


def by_loops(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean place `[2, h, w]`, entropy over its maximum, and centre weight of `[h, w, L, L]`."""
    height, width, window, _ = weights.shape
    place, entropy, centre = torch.zeros(2, height, width), torch.zeros(height, width), torch.zeros(height, width)
    radius = window // 2
    for y in range(height):
        for x in range(width):
            near = {
                (x + dx, y + dy): float(weights[y, x, dy + radius, dx + radius])
                for dy in range(-radius, radius + 1)
                for dx in range(-radius, radius + 1)
                if 0 <= x + dx < width and 0 <= y + dy < height
            }
            total = sum(near.values())
            place[0, y, x] = sum(w * i for (i, _), w in near.items()) / total
            place[1, y, x] = sum(w * j for (_, j), w in near.items()) / total
            entropy[y, x] = -sum(w / total * math.log(w / total) for w in near.values() if w) / math.log(len(near))
            centre[y, x] = near[x, y] / total
    return place, entropy, centre


def test_ila_s_places_are_those_of_its_weights(clips: PackedClips) -> None:
    torch.manual_seed(0)
    made = lively(MILA(CITYSCAPES, 18, 18, architecture=Architecture(embedding=8, scaled=True), **SIZES))
    weights = attention(made, clips, [0, 2], OFFSET)["weights"]
    found = carried(made, clips, [0, 2], OFFSET)
    assert len(found) == 2
    for branch, one in enumerate(found):
        assert one.spread is not None
        for clip in range(2):
            place, entropy, centre = by_loops(weights[clip, branch])
            torch.testing.assert_close(one.source[clip], place, rtol=0, atol=1e-3)
            torch.testing.assert_close(one.spread.entropy[clip], entropy, rtol=0, atol=1e-4)
            torch.testing.assert_close(one.spread.centre[clip], centre, rtol=0, atol=1e-5)


def test_kernels_count_inside_the_map_alone(clips: PackedClips, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    made = lively(SlowFast(CITYSCAPES, 18, 18, propagation="svc", kernel=5, **SIZES), 0.05)
    seen: list[Tensor] = []
    relate = KernelPrediction.relate

    def note(self: KernelPrediction, current: Tensor, older: Tensor) -> Relation:
        seen.append(relate(self, current, older)[0])
        return (seen[-1],)

    monkeypatch.setattr(KernelPrediction, "relate", note)
    (found,) = carried(made, clips, [1], OFFSET)
    place, entropy, centre = by_loops(seen[-1][0])
    assert found.spread is not None
    torch.testing.assert_close(found.source[0], place, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.spread.entropy[0], entropy, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.spread.centre[0], centre, rtol=0, atol=1e-5)


def test_global_attention_looks_everywhere(clips: PackedClips) -> None:
    torch.manual_seed(0)
    switches: dict[str, Any] = {"window": "global", "multi_frame": False, "task_specific": False}
    made = lively(MILA(CITYSCAPES, 18, 18, architecture=Architecture(embedding=8, scaled=True), **switches, **SIZES))
    (found,) = carried(made, clips, [1], OFFSET)
    frames, _ = clips.batch([1], OFFSET, made.history)
    with torch.no_grad():
        h = [made.propagation_of(0).embed(made.encode(frames[:, -1 - back], back == OFFSET)) for back in (0, OFFSET)]
    query, key = (x[0].flatten(1).double() for x in h)
    weights = (query.T @ key / 8**0.5).softmax(1)
    height, width = found.source.shape[-2:]
    places = torch.tensor([[x, y] for y in range(height) for x in range(width)], dtype=torch.double)
    assert found.spread is not None
    torch.testing.assert_close(found.source[0].flatten(1).T.double(), weights @ places, rtol=0, atol=1e-3)
    entropy = -(weights * weights.clamp(min=1e-300).log()).sum(1) / math.log(height * width)
    torch.testing.assert_close(found.spread.entropy[0].flatten().double(), entropy, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.spread.centre[0].flatten().double(), weights.diagonal(), rtol=0, atol=1e-5)


class Shift(Propagation):
    """Chained or not: what lies (2, 1) cells further on in the older frame, a frame."""

    compares = "frame"
    chained: ClassVar[bool] = True

    def relate(self, current: Tensor, older: Tensor) -> Relation:  # noqa: ARG002
        return (current,)

    def move(self, relation: Relation, value: Tensor) -> Tensor:  # noqa: ARG002
        moved = torch.zeros_like(value)
        moved[..., :-1, :-2] = value[..., 1:, 2:]
        return moved


def translation(index: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:  # noqa: ARG001
    """Everything moves by (2, 1) cells a frame; what the older frame shows is what has not left it."""
    flow = np.stack([np.full((HEIGHT, WIDTH), back * shift) for back in (1, 2) for shift in (16.0, 8.0)])
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    flow = flow.reshape(2, 2, HEIGHT, WIDTH).astype(np.float32)
    return flow, np.stack([(x + f[0] < WIDTH) & (y + f[1] < HEIGHT) for f in flow])


def test_what_is_carried_along_has_no_error(clips: PackedClips) -> None:
    made = MILA(CITYSCAPES, 18, 18, propagation=lambda _: Shift(), **SIZES)
    done: list[tuple[int, int]] = []
    found = follow(made, clips, [0, 1, 2], translation, progress=lambda *step: done.append(step))
    assert [(entry["offset"], entry["branch"]) for entry in found] == [(1, "all tasks"), (2, "all tasks")]
    for back, entry in enumerate(found, start=1):
        rows, columns = HEIGHT // 8 - back, WIDTH // 8 - 2 * back
        assert entry["cells"] == 3 * rows * columns
        assert entry["epe"] == entry["lost"] == 0
        assert entry["epe_equal"] is None
        for name in ("epe_zero", "rms", "rms_true"):
            assert entry[name] == pytest.approx(back * 5**0.5)
        assert entry["entropy"] is entry["centre"] is entry["r_x"] is entry["r_y"] is None
    assert done == [(3, 3)]


def test_estimated_flow_is_chained(clips: PackedClips) -> None:
    """Step by step: a point of the last frame, where the flow leads, and from there on by the flow of that place."""
    torch.manual_seed(1)
    switches: dict[str, Any] = {"propagation": "flow", "flow_width": 0.0625, "half_resolution": False}
    made = SlowFast(CITYSCAPES, 18, 18, outside="border", **switches, **SIZES).eval()
    propagation = made.propagation_of(0)
    frames, _ = clips.batch([0], OFFSET, made.history)
    flownet = made.get_submodule("propagations.0.flownet")
    with torch.no_grad():
        nn.init.normal_(flownet.get_parameter([n for n, p in flownet.named_parameters() if p.dim() == 1][-1]), std=2.0)
        flows = [
            flownet.at_features(propagation.relate(frames[:, t], frames[:, t - 1])[0], (6, 9))[0]  # type: ignore[operator]
            for t in (-1, -2)
        ]
    (found,) = carried(made, clips, [0], OFFSET)
    assert found.spread is None
    height, width = found.source.shape[-2:]
    assert (height, width) == (6, 9)
    checked = 0
    for y in range(height):
        for x in range(width):
            at = [x + float(flows[0][0, y, x]), y + float(flows[0][1, y, x])]
            if not (0 <= at[0] < width - 1 and 0 <= at[1] < height - 1):
                continue
            i, j = int(at[0]), int(at[1])
            a, b = at[0] - i, at[1] - j
            corners = [(0, 0, (1 - a) * (1 - b)), (1, 0, a * (1 - b)), (0, 1, (1 - a) * b), (1, 1, a * b)]
            ends = [
                (i + p + float(flows[1][0, j + q, i + p]), j + q + float(flows[1][1, j + q, i + p]))
                for p, q, _ in corners
            ]
            if all(0 <= u <= width - 1 and 0 <= v <= height - 1 for u, v in ends):
                expected = [sum(w * end[axis] for (_, _, w), end in zip(corners, ends, strict=True)) for axis in (0, 1)]
                assert found.source[0, :, y, x].tolist() == pytest.approx(expected, abs=1e-3)
                checked += 1
    assert checked > 5


def test_equal_weights_have_entropy_1_and_one_weight_0() -> None:
    alike = torch.full((1, 4, 5, 3, 3), 1 / 9)
    found = spread(alike)
    torch.testing.assert_close(found.entropy, torch.ones(1, 4, 5))
    assert found.centre[0, 0, 0] == pytest.approx(1 / 4)  # in a corner four neighbours are inside
    assert found.centre[0, 1, 1] == pytest.approx(1 / 9)
    one = torch.zeros(1, 4, 5, 3, 3)
    one[..., 1, 1] = 1
    found = spread(one)
    assert found.entropy.tolist() == torch.zeros(1, 4, 5).tolist()
    assert found.centre.tolist() == torch.ones(1, 4, 5).tolist()
    found = spread(torch.full((1, 3, 3, 3, 3), 1 / 9), everywhere=True)
    torch.testing.assert_close(found.entropy, torch.ones(1, 3, 3))
    torch.testing.assert_close(found.centre, torch.full((1, 3, 3), 1 / 9))


def test_equal_weights_point_inwards_at_a_border() -> None:
    for window, everywhere, size in ((3, False, (4, 5)), (5, False, (4, 5)), (0, True, (4, 5))):
        height, width = size
        weights = torch.ones(1, height, width, *((height, width) if everywhere else (window, window)))
        found = spread(weights, everywhere)
        place = torch.zeros(2, height, width)
        for y in range(height):
            for x in range(width):
                near = [
                    (i - x, j - y)
                    for j in range(height)
                    for i in range(width)
                    if everywhere or max(abs(i - x), abs(j - y)) <= window // 2
                ]
                place[:, y, x] = torch.tensor(near).float().mean(0)
                whole = not everywhere and len(near) == window**2
                assert bool(found.whole[y, x]) == whole
        torch.testing.assert_close(found.equal, place)


def test_numbers_by_hand() -> None:
    """Three cells that are given something, and one that is not; twice as far as anything moved."""
    true = np.array([[1.0, 0.0], [2.0, -1.0], [3.0, 4.0], [9.0, 9.0]])
    ours = np.array([[2.0, 0.0], [4.0, -2.0], [6.0, 8.0], [np.nan, np.nan]])
    rest: list[Any] = [[0.2, 0.4, 0.6, 1.0], [0.5, 0.0, 0.1, 1.0], np.zeros(4), np.ones(4), [1, 1, 0, 1]]
    found = agreement(np.column_stack([ours, true, *rest]))
    lengths = [1, 5**0.5, 5]
    assert found["cells"] == 4
    assert found["lost"] == 0.25
    assert found["epe"] == found["epe_zero"] == pytest.approx(sum(lengths) / 3)
    assert found["rms"] == pytest.approx(2 * found["rms_true"])
    assert found["rms_true"] == pytest.approx((31 / 3) ** 0.5)
    assert found["epe_equal"] == pytest.approx((2**0.5 + 8**0.5 + 18**0.5) / 3)
    ours[2] = 0  # its window is cut off
    found = agreement(np.column_stack([ours, true, *rest]))
    assert found["r_x"] == pytest.approx(1)
    assert found["r_y"] == pytest.approx(1)
    assert found["entropy"] == pytest.approx(0.4)
    assert found["centre"] == pytest.approx(0.2)
    nothing = agreement(np.empty((0, 9)))
    assert nothing.pop("cells") == 0
    assert set(nothing.values()) == {None}


def test_models_that_move_nothing_are_refused(clips: PackedClips) -> None:
    for propagation in ("none", "concat"):
        still = MILA(CITYSCAPES, 18, 18, propagation=propagation, **SIZES)
        assert not carries(still)
        with pytest.raises(ValueError, match="by comparing frames"):
            carried(still, clips, [0], 1)
    moving = MILA(CITYSCAPES, 18, 18, **SIZES)
    assert carries(moving)
    with pytest.raises(ValueError, match=r"offset 3 is not in 1..2"):
        carried(moving, clips, [0], 3)
