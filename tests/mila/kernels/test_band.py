"""The paths for a CPU in the modes that PyTorch runs functions in: autocast, half precision, vmap and others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from mila.attention import AttentionPath, InterFrameLocalAttention, local_attention
from tests.support.attention_loop import differentiable_loop, maps, per_pixel

PATHS: tuple[AttentionPath, ...] = ("band", "dense", "reference")


def attend(tensors: Sequence[Tensor], window: int, path: AttentionPath) -> Tensor:
    query, key, value = tensors
    return local_attention(query, key, value, window, path)


def looped(tensors: Sequence[Tensor], window: int) -> Tensor:
    query, key, value = tensors
    return differentiable_loop(query, key, value, window)


def gradients(out: Tensor, tensors: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a sum with weights that differ from pixel to pixel."""
    factors = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad((out * factors).sum(), tensors)


def test_the_two_loops_agree() -> None:
    query, key, value = maps(2, 3, 4, 5, 6)
    for window in (1, 3, 7):
        expected = per_pixel(query, key, value, window)
        torch.testing.assert_close(differentiable_loop(query, key, value, window), expected)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kinds", [(torch.bfloat16,) * 3, (torch.float32,) * 3, (torch.bfloat16, torch.float32)])
def test_bfloat16_autocast(path: AttentionPath, kinds: tuple[torch.dtype, ...]) -> None:
    """Types of query and key, and of value: what convolutions give under autocast, and what else comes along."""
    exact = [t / 2 for t in maps(2, 3, 4, 6, 7)]
    tensors = [t.to(kind).requires_grad_() for t, kind in zip(exact, (kinds[0], kinds[0], kinds[-1]), strict=True)]
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(tensors, 5, path)
        inside = gradients(attend(tensors, 5, path), tensors)
    assert out.dtype == kinds[-1]
    rounded = [t.detach().double().requires_grad_() for t in tensors]
    expected = looped(rounded, 5)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=2e-2)
    outside = gradients(out, tensors)  # where the backward pass usually runs
    wanted = gradients(expected, rounded)
    for found in (inside, outside):
        for got, tensor, want in zip(found, tensors, wanted, strict=True):
            assert got.dtype == tensor.dtype
            torch.testing.assert_close(got.double(), want, rtol=0, atol=3e-2)


def test_the_module_under_autocast() -> None:
    torch.manual_seed(0)
    ila = InterFrameLocalAttention(6, embedding=4, window=3)
    current, older = torch.randn(2, 1, 6, 5, 7).unbind()
    expected = ila(current, older, older)
    with torch.autocast("cpu", torch.bfloat16):
        out = ila(current, older, older)
    torch.testing.assert_close(out, expected, rtol=0, atol=5e-2)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dims", [(0, 0, 0), (1, None, 0), (None, 2, None), (None, None, 4)])
def test_vmap(path: AttentionPath, dims: tuple[int | None, ...]) -> None:
    single = maps(2, 3, 4, 5, 6)
    generator = torch.Generator().manual_seed(1)
    mapped = [
        t if dim is None else torch.stack([t + torch.randn(t.shape, generator=generator) for _ in range(3)], dim)
        for t, dim in zip(single, dims, strict=True)
    ]

    def one(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return local_attention(query, key, value, 3, path)

    out = torch.func.vmap(one, in_dims=dims)(*mapped)
    for i in range(3):
        own = [t if dim is None else t.select(dim, i) for t, dim in zip(mapped, dims, strict=True)]
        torch.testing.assert_close(out[i], looped(own, 3))


@pytest.mark.parametrize("path", PATHS)
def test_gradients_of_each_example(path: AttentionPath) -> None:
    query, key, value = maps(3, 2, 3, 4, 5)

    def loss(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return local_attention(query[None], key[None], value[None], 3, path).square().sum()

    found = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1, 2)))(query, key, value)
    tensors = [t.requires_grad_() for t in (query, key, value)]
    expected = torch.autograd.grad(looped(tensors, 3).square().sum(), tensors)
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("path", PATHS)
def test_branches_at_once(path: AttentionPath) -> None:
    tensors = [t.unflatten(0, (2, 3)).requires_grad_() for t in maps(6, 2, 3, 4, 5)]
    out = attend(tensors, 3, path)
    assert out.shape == (2, 3, 3, 4, 5)
    branches = [attend([t[:, i] for t in tensors], 3, path) for i in range(3)]
    torch.testing.assert_close(out, torch.stack(branches, 1))
    for got, want in zip(gradients(out, tensors), gradients(torch.stack(branches, 1), tensors), strict=True):
        torch.testing.assert_close(got, want)


def test_unknown_paths_are_refused() -> None:
    query, key, value = maps(1, 2, 2, 3, 3)
    with pytest.raises(
        ValueError, match="the path of attention is one of auto, reference, band, dense, triton, not 'fast'"
    ):
        local_attention(query, key, value, 3, "fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 'fast'"):
        InterFrameLocalAttention(4, path="fast")  # type: ignore[arg-type]
