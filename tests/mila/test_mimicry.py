"""Eq. 3: which loss, and which way its gradients go."""

from __future__ import annotations

import torch
from torch import nn

from mila.mimicry import Discriminator, Mimicry, reverse_gradient
from mila.switches import MimicryOptions


def features(seed: int) -> torch.Tensor:
    return torch.randn(3, 8, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_reversal_is_the_identity_with_a_negated_gradient() -> None:
    x = features(0).requires_grad_()
    y = reverse_gradient(x, 0.5)
    assert torch.equal(y, x)
    (y * features(1)).sum().backward()
    torch.testing.assert_close(x.grad, -0.5 * features(1))


def test_discriminator_is_three_convolutions_pool_sigmoid() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8).double()
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(3, 3)] * 3
    x = features(0)
    for index, convolution in enumerate(convolutions):
        x = convolution(x).relu() if index < 2 else convolution(x)
    expected = 1 / (1 + torch.exp(-x.mean((2, 3))[:, 0]))
    torch.testing.assert_close(discriminator(features(0)), expected)


def test_values_are_those_of_eq_3() -> None:
    torch.manual_seed(0)
    mimicry = Mimicry(8, MimicryOptions(alpha=2.0)).double()
    losses = mimicry(features(0), features(1))
    torch.testing.assert_close(losses["mimicry_l1"], 2 * (features(0) - features(1)).abs().mean())
    assert mimicry.discriminator is not None
    slow, fast = mimicry.discriminator(features(0)), mimicry.discriminator(features(1))
    torch.testing.assert_close(losses["mimicry_adversarial"], -(slow.log() + (1 - fast).log()).mean())


def test_discriminator_learns_and_fast_features_unlearn() -> None:
    """A step along the gradient makes the discriminator better, and fast features harder to tell."""
    torch.manual_seed(0)
    mimicry = Mimicry(8, MimicryOptions(alpha=0.0)).double()
    assert mimicry.discriminator is not None
    slow, fast = features(0), features(1).requires_grad_()

    def loss(fast: torch.Tensor) -> torch.Tensor:
        losses: dict[str, torch.Tensor] = mimicry(slow, fast)
        return losses["mimicry_adversarial"]

    before = loss(fast)
    before.backward()
    assert fast.grad is not None
    assert loss((fast - 0.1 * fast.grad).detach()) > before  # descending along its gradient confuses
    with torch.no_grad():
        for parameter in mimicry.discriminator.parameters():
            assert parameter.grad is not None
            parameter.sub_(1e-2 * parameter.grad)
    assert loss(fast.detach()) < before


def test_only_the_fast_features_move_unless_asked() -> None:
    torch.manual_seed(0)
    for detach in (True, False):
        mimicry = Mimicry(8, MimicryOptions(detach_slow=detach)).double()
        slow, fast = features(0).requires_grad_(), features(1).requires_grad_()
        sum(mimicry(slow, fast).values()).backward()
        assert fast.grad is not None
        assert (slow.grad is None) == detach


def test_factors_of_zero_leave_a_term_out() -> None:
    assert set(Mimicry(8, MimicryOptions(beta=0.0))(features(0).float(), features(1).float())) == {"mimicry_l1"}
    assert set(Mimicry(8, MimicryOptions(alpha=0.0))(features(0).float(), features(1).float())) == {
        "mimicry_adversarial"
    }
    assert Mimicry(8, MimicryOptions(beta=0.0)).discriminator is None


def test_beta_scales_the_reversed_gradient_alone() -> None:
    gradients = []
    for beta in (1.0, 3.0):
        torch.manual_seed(0)
        mimicry = Mimicry(8, MimicryOptions(alpha=0.0, beta=beta)).double()
        fast = features(1).requires_grad_()
        mimicry(features(0), fast)["mimicry_adversarial"].backward()
        assert fast.grad is not None
        assert mimicry.discriminator is not None
        weight = next(mimicry.discriminator.parameters())
        assert weight.grad is not None
        gradients.append((fast.grad, weight.grad))
    torch.testing.assert_close(gradients[1][0], 3 * gradients[0][0])
    torch.testing.assert_close(gradients[1][1], gradients[0][1])
