"""Every switch of Eq. 3 changes what it says and nothing else: gradients against those of expressions written out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mila.mimicry import Mimicry
from mila.switches import MimicryOptions


def features(seed: int) -> Tensor:
    """Slow or fast features, of which one channel is much larger than the others."""
    x = torch.randn(3, 8, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x * torch.tensor([30.0, *[1.0] * 7], dtype=torch.float64)[:, None, None] + seed


def seen(x: Tensor, kind: str) -> Tensor:
    if kind == "standardised":
        mean = x.mean((2, 3), keepdim=True)
        return (x - mean) / (x.square().mean((2, 3), keepdim=True) - mean.square() + 1e-5).sqrt()
    return x / x.square().sum(1, keepdim=True).sqrt() if kind == "unit" else x


def reference(mimicry: Mimicry, options: MimicryOptions, reversal: float) -> dict[str, Any]:
    """Losses and gradients by the chain rule: the discriminator descends its loss, the networks ascend it."""
    slow, fast = features(0).requires_grad_(), features(1).requires_grad_()
    l1 = options.alpha * (seen(slow, options.l1_on) - seen(fast, options.l1_on)).abs().mean()
    pulled = list(torch.autograd.grad(l1, (slow, fast)))
    result: dict[str, Any] = {"mimicry_l1": l1.detach()}
    if mimicry.discriminator is not None:
        told = [mimicry.discriminator(seen(x, options.adversarial_on)) for x in (slow, fast)]
        loss = -(told[0].log() + (1 - told[1]).log()).mean()
        parameters = list(mimicry.discriminator.parameters())
        by_slow, by_fast, *own = torch.autograd.grad(loss, (slow, fast, *parameters))
        pulled = [pulled[0] - reversal * by_slow, pulled[1] - reversal * by_fast]
        right = (told[0] > 0.5).double().sum() + (told[1] < 0.5).double().sum()
        result |= {"mimicry_adversarial": loss.detach(), "discriminator": own, "accuracy": right / 6}
    return result | {"slow": None if options.detach_slow else pulled[0], "fast": pulled[1]}


CASES: list[tuple[dict[str, Any], float, float]] = [
    ({}, 0.0, 1.0),
    ({"alpha": 3.0, "beta": 0.5}, 0.7, 0.5),
    ({"beta": 0.0}, 0.0, 0.0),
    ({"detach_slow": False}, 0.0, 1.0),
    ({"l1_on": "standardised"}, 0.0, 1.0),
    ({"l1_on": "unit"}, 0.0, 1.0),
    ({"adversarial_on": "standardised"}, 0.0, 1.0),
    ({"adversarial_on": "unit", "detach_slow": False}, 0.0, 1.0),
    ({"ramp": True}, 0.0, 0.0),
    ({"ramp": True, "beta": 2.0}, 0.1, 2 * (2 / (1 + math.e**-1) - 1)),
    ({"ramp": True, "begin": 0.5}, 0.55, 2 / (1 + math.e**-1) - 1),
    ({"begin": 0.5}, 0.5, 1.0),
    ({"discriminator_rate": 0.1}, 0.3, 1.0),
    ({"widths": (3, 2)}, 0.0, 1.0),
]


@pytest.mark.parametrize(("switches", "progress", "reversal"), CASES)
def test_losses_and_gradients_are_those_of_the_formula(
    switches: dict[str, Any], progress: float, reversal: float
) -> None:
    torch.manual_seed(0)
    options = MimicryOptions(**switches)
    mimicry = Mimicry(8, options).double()
    mimicry.progress = progress
    expected = reference(mimicry, options, reversal)
    slow, fast = features(0).requires_grad_(), features(1).requires_grad_()
    losses = mimicry(slow, fast)
    torch.stack(list(losses.values())).sum().backward()
    for name, loss in losses.items():
        torch.testing.assert_close(loss.detach(), expected[name])
    assert set(losses) == {name for name in expected if name.startswith("mimicry")}
    torch.testing.assert_close(fast.grad, expected["fast"])
    if options.detach_slow:
        assert slow.grad is None
    else:
        torch.testing.assert_close(slow.grad, expected["slow"])
    if mimicry.discriminator is None:
        assert mimicry.accuracy is None
    else:
        torch.testing.assert_close([p.grad for p in mimicry.discriminator.parameters()], expected["discriminator"])
        assert mimicry.accuracy is not None
        assert float(mimicry.accuracy) == pytest.approx(float(expected["accuracy"]))


def test_in_the_head_start_the_slow_side_is_pulled() -> None:
    """As with `detach_slow` off, and not at all without the switch."""
    options = MimicryOptions(head_start="all")
    torch.manual_seed(0)
    mimicry = Mimicry(8, options).double()
    expected = reference(mimicry, replace(options, detach_slow=False), 1.0)
    mimicry.in_head_start = True
    assert mimicry.begins
    slow, fast = features(0).requires_grad_(), features(1).requires_grad_()
    torch.stack(list(mimicry(slow, fast).values())).sum().backward()
    torch.testing.assert_close(slow.grad, expected["slow"])
    torch.testing.assert_close(fast.grad, expected["fast"])
    usual = Mimicry(8)
    usual.in_head_start = True
    losses = usual(slow.float(), fast.float())
    assert set(losses) == {"mimicry_l1"}
    torch.testing.assert_close(losses["mimicry_l1"].double(), (slow - fast).abs().mean())
    for late in (MimicryOptions(head_start="none"), MimicryOptions(alpha=0.0)):
        mimicry = Mimicry(8, late)
        mimicry.in_head_start = True
        assert not mimicry.begins


def test_accuracy_counts_both_networks_maps() -> None:
    mimicry = Mimicry(8)
    assert mimicry.discriminator is not None
    for parameter in mimicry.discriminator.parameters():
        torch.nn.init.zeros_(parameter)
    last = mimicry.discriminator.get_submodule("layers.4")
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    torch.nn.init.ones_(last.bias)  # everything is slow
    mimicry(features(0).float(), features(1).float())
    assert mimicry.accuracy is not None
    assert float(mimicry.accuracy) == 0.5


def test_features_normalised_tell_nothing_of_a_networks_scale() -> None:
    """A network whose channels are three times as large looks the same."""
    for kind in ("standardised", "unit"):
        torch.manual_seed(0)
        mimicry = Mimicry(8, MimicryOptions(l1_on=kind, adversarial_on=kind)).double()
        once, thrice = mimicry(features(0), features(1)), mimicry(features(0), 3 * features(1))
        for name, loss in once.items():
            torch.testing.assert_close(thrice[name], loss, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"alpha": -1.0}, "alpha is 0 or more, not -1.0"),
        ({"discriminator_rate": math.nan}, "discriminator_rate is 0 or more"),
        ({"begin": 1.0}, "begin is a share from 0 up and less than 1, not 1.0"),
        ({"l1_on": "white"}, "l1_on is one of plain, standardised, unit, not 'white'"),
    ],
)
def test_what_makes_no_sense_is_refused(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MimicryOptions(**switches)
