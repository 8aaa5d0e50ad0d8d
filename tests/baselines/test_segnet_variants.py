"""What the public code of the SegNet rows decides otherwise: named switches, off by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.segnet import SegNet, SegNetCrossStitch, SegNetMTAN, SharedStitch
from mila.cost.conventions import PUBLISHED, count
from mila.tasks import CITYSCAPES, NYUV2
from mila.video_model import FrameModel
from tests.support.fake_models import experienced

TASKS = ("segmentation", "depth", "normals")
NARROW = 0.0625


def frame(height: int = 32, width: int = 64) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(3))


def public() -> SegNetCrossStitch:
    """The public form with batch norms that have seen something, and no two shares alike."""
    torch.manual_seed(0)
    model = experienced(SegNetCrossStitch(NYUV2, width=NARROW, form="public"))
    for unit in (*model.stitch_pooled, *model.stitch_decoded):
        nn.init.uniform_(cast(SharedStitch, unit).share, -1, 1)
    return model


@torch.no_grad()
def test_the_public_form_gives_all_tasks_one_sum() -> None:
    """Said again with PyTorch's own pooling: four sums after pools, five before unpools."""
    model = public().double()
    networks = [cast(SegNet, model.networks[task]) for task in TASKS]
    state = model.state_dict()

    def summed(maps: list[Tensor], unit: str) -> Tensor:
        return torch.stack([share * x for share, x in zip(state[f"{unit}.share"], maps, strict=True)]).sum(0)

    taken, pools, places = [frame().double()] * 3, list[Tensor](), list[list[Tensor]]()
    for level in range(5):
        found = [
            F.max_pool2d(network.encoder[level](x), 2, return_indices=True)
            for network, x in zip(networks, taken, strict=True)
        ]
        pools = [x for x, _ in found]
        places.append([indices for _, indices in found])
        taken = [summed(pools, f"stitch_pooled.{level}")] * 3 if level < 4 else pools
    for level in (4, 3, 2, 1, 0):
        total = summed(taken, f"stitch_decoded.{level}")
        taken = [
            network.decoder[level](F.max_unpool2d(total, indices, (2, 2)))
            for network, indices in zip(networks, places[level], strict=True)
        ]
    predictions = model.predict(frame().double())
    for task, x in zip(TASKS, taken, strict=True):
        expected = model.decoders[task](x)
        expected = F.normalize(expected, dim=1) if task == "normals" else expected
        torch.testing.assert_close(predictions[task], expected)


def test_the_public_form_has_27_numbers_that_start_at_one() -> None:
    for suite, expected in ((NYUV2, 27), (CITYSCAPES, 18)):
        shares = _shares(SegNetCrossStitch(suite, width=NARROW, form="public"))
        assert sum(share.numel() for share in shares) == expected
        assert all(share.eq(1).all() for share in shares)


@pytest.mark.slow
def test_both_forms_cost_the_same() -> None:
    with torch.device("meta"):
        models = [SegNetCrossStitch(NYUV2), SegNetCrossStitch(NYUV2, form="public")]
    costs = [count(model, NYUV2.height, NYUV2.width, PUBLISHED).average for model in models]
    assert costs[0] == costs[1]


def _shares(model: nn.Module) -> list[Tensor]:
    return [p for name, p in model.named_parameters() if "stitch" in name]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_teaches_all_networks_of_the_public_form(task: str) -> None:
    model = public().train()
    model.predict(frame())[task].sum().backward()
    touched = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {n for n in touched if "stitch" in n} == {n for n, _ in model.named_parameters() if "stitch" in n}
    for other in TASKS:
        mine = {n for n in touched if n.startswith(f"networks.{other}.decoder.0.")}
        assert bool(mine) == (other == task)  # nothing is stitched after the last blocks
        assert any(n.startswith(f"networks.{other}.encoder.0.") for n in touched)


def spread(weight: Tensor) -> float:
    """Glorot's standard deviation."""
    outputs, inputs, height, width = weight.shape
    return float((2 / ((inputs + outputs) * height * width)) ** 0.5)


@pytest.mark.parametrize("model_type", [SegNetMTAN, SegNetCrossStitch])
@pytest.mark.parametrize("how", ["xavier_normal", "xavier_uniform"])
def test_convolutions_start_as_they_are_told(model_type: Callable[..., FrameModel], how: str) -> None:
    torch.manual_seed(0)
    model = model_type(NYUV2, width=0.25, initialisation=how)
    large = 0
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None or module.bias.eq(0).all()
            if module.weight.numel() > 10_000:
                large += 1
                weight = module.weight.detach()
                assert weight.std().item() == pytest.approx(spread(weight), rel=0.05)
                is_bounded = bool(weight.abs().max() <= 3**0.5 * spread(weight) * 1.0001)
                assert is_bounded == (how == "xavier_uniform")
    assert large > 10


@torch.no_grad()
def test_aligned_corners_are_a_switch() -> None:
    torch.manual_seed(0)
    ours = experienced(SegNetMTAN(NYUV2, width=NARROW))
    theirs = experienced(SegNetMTAN(NYUV2, width=NARROW, align_corners=True))
    theirs.load_state_dict(ours.state_dict())
    seen = []
    original = F.interpolate

    def interpolate(x: Tensor, **how: Any) -> Tensor:
        seen.append(how["align_corners"])
        return original(x, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "interpolate", interpolate)
        one, other = ours.predict(frame()), theirs.predict(frame())
    assert seen == [False] * 15 + [True] * 15
    assert not torch.equal(one["depth"], other["depth"])


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="form of the stitches is 'original' or 'public', not 'misra'"):
        SegNetCrossStitch(NYUV2, width=NARROW, form="misra")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="belong to the form 'original'"):
        SegNetCrossStitch(NYUV2, width=NARROW, form="public", diagonal=1.0)
    with pytest.raises(ValueError, match="initialisation is one of 'pytorch', 'xavier_normal', 'xavier_uniform'"):
        SegNetMTAN(NYUV2, width=NARROW, initialisation="xavier")  # type: ignore[arg-type]
