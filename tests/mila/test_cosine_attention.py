"""Attention by cosines is Eq. 2 on vectors of length 1, divided by the temperature: against loops over pixels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mila.cosine_attention import CosineAttention
from mila.model import MILA
from mila.switches import Architecture
from mila.tasks import NYUV2


def by_loops(query: Tensor, key: Tensor, value: Tensor, window: int, temperature: float) -> Tensor:
    """One map `[C, h, w]` at a time."""
    out = torch.zeros_like(value)
    _, height, width = value.shape
    radius = window // 2
    for y in range(height):
        for x in range(width):
            near = [
                (y + dy, x + dx)
                for dy in range(-radius, radius + 1)
                for dx in range(-radius, radius + 1)
                if 0 <= y + dy < height and 0 <= x + dx < width
            ]
            q = query[:, y, x]
            cosines = [float(q @ key[:, i, j] / (q.norm() * key[:, i, j].norm())) for i, j in near]
            weights = [math.exp(c / temperature) for c in cosines]
            out[:, y, x] = sum(w * value[:, i, j] for w, (i, j) in zip(weights, near, strict=True)) / sum(weights)
    return out


@pytest.mark.parametrize(("temperature", "learned"), [(0.1, False), (0.5, True)])
@pytest.mark.parametrize("once", [True, False])
def test_weights_are_the_softmax_of_cosines(temperature: float, learned: bool, once: bool) -> None:
    torch.manual_seed(0)
    attention = CosineAttention(6, 4, 3, temperature, learned).double()
    attention.reuse_embeddings = once
    current, older = (torch.randn(2, 6, 4, 5, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        found = attention(current, older, older)
        query, key = attention.h(current), attention.h(older)
        for i in range(2):
            expected = by_loops(query[i], key[i], older[i], 3, temperature)
            torch.testing.assert_close(found[i], expected, rtol=1e-6, atol=1e-8)


def test_a_learned_temperature_has_the_gradient_of_the_formula() -> None:
    torch.manual_seed(0)
    attention = CosineAttention(6, 4, 3, 0.3, learned=True).double()
    maps = [torch.randn(1, 6, 4, 5, dtype=torch.float64) for _ in range(2)]
    attention(*maps, maps[1]).square().sum().backward()
    parameter = attention.log_temperature
    assert isinstance(parameter, torch.nn.Parameter)
    assert parameter.grad is not None
    with torch.no_grad():
        query, key = (attention.h(x)[0] for x in maps)
        ends = [by_loops(query, key, maps[1][0], 3, 0.3 * math.exp(d)).square().sum() for d in (1e-5, -1e-5)]
    assert float(parameter.grad) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-3)


def test_the_length_of_h_no_longer_counts() -> None:
    torch.manual_seed(0)
    attention = CosineAttention(6, 4, 3)
    current, older = torch.randn(2, 1, 6, 4, 5)
    with torch.no_grad():
        before = attention(current, older, older)
        attention.h.weight.mul_(50)
        torch.testing.assert_close(attention(current, older, older), before, rtol=1e-4, atol=1e-5)


def test_the_switch_makes_it() -> None:
    for cosine, learned in (("fixed", False), ("learned", True)):
        architecture = Architecture(embedding=8, cosine=cosine, temperature=0.2)  # type: ignore[arg-type]
        model = MILA(NYUV2, 18, 18, width=0.0625, architecture=architecture)
        names = [name for name, _ in model.named_parameters() if "temperature" in name]
        assert all(isinstance(p, CosineAttention) for p in model.propagations)
        assert len(names) == (3 if learned else 0)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"cosine": "both"}, "cosine is 'none', 'fixed' or 'learned', not 'both'"),
        ({"cosine": "fixed", "temperature": 0.0}, "a temperature is more than 0, not 0.0"),
        ({"cosine": "fixed", "scaled": True}, "not by both"),
    ],
)
def test_what_makes_no_sense_is_refused(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture(**switches)
