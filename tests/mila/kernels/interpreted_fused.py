"""The kernels of path `triton` against the loop in double. `test_fused` runs this file in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from mila.attention import InterFrameLocalAttention, local_attention
from mila.kernels import fused
from tests.support.attention_loop import differentiable_loop, maps
from tests.support.triton_interpreter import mend

TOLERANCES = {torch.float32: 5e-6, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@pytest.fixture(autouse=True)
def mended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The interpreter mended; and every test ends with the kernels in use, unless it is about their failing."""
    mend(monkeypatch)
    monkeypatch.setattr("mila.kernels.fused._failures", [])
    yield
    assert fused.failure() is None or "broken" in str(fused.failure())


def attend(tensors: Sequence[Tensor], window: int) -> Tensor:
    query, key, value = tensors
    return local_attention(query, key, value, window, "triton")


def looped(tensors: Sequence[Tensor], window: int) -> Tensor:
    query, key, value = tensors
    return differentiable_loop(query, key, value, window)


def prepared(shape: tuple[int, int, int, int, int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Maps of batch, C', C, height and width whose scores are a few units, as leaves that want gradients."""
    query, key, value = maps(*shape)
    return [x.to(dtype).requires_grad_() for x in (query * shape[1] ** -0.5, key, value)]


def check(tensors: list[Tensor], window: int) -> None:
    """Result and gradients against the loop in double."""
    exact = [x.detach().double().requires_grad_() for x in tensors]
    out, expected = attend(tensors, window), looped(exact, window)
    assert out.dtype == tensors[2].dtype
    tolerance = max(TOLERANCES[x.dtype] for x in tensors)
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double).to(out.dtype)
    found = torch.autograd.grad(out, tensors, grad)
    for got, tensor, want in zip(found, tensors, torch.autograd.grad(expected, exact, grad.double()), strict=True):
        assert got.dtype == tensor.dtype
        torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)


def noted_launches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """A list in which all kernels that are launched from now on are noted, with their grids."""
    launched: list[tuple[str, tuple[int, ...]]] = []
    launch = fused._launch

    def noted(kernel: str, grid: tuple[int, int, int], *others: object, **options: int) -> None:
        launched.append((kernel, grid))
        launch(kernel, grid, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("mila.kernels.fused._launch", noted)
    return launched


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((1, 3, 4, 3, 5), 1),
        ((2, 3, 5, 4, 6), 3),
        ((1, 5, 7, 3, 17), 5),  # a pixel in the second tile
        ((1, 2, 3, 1, 19), 5),  # one row
        ((1, 2, 3, 5, 1), 5),  # one column
        ((1, 1, 1, 1, 1), 3),  # one pixel
        ((1, 3, 4, 4, 3), 7),  # smaller than the window
        ((1, 3, 4, 3, 16), 9),
        ((1, 3, 4, 2, 5), 11),
        ((1, 3, 4, 2, 18), 13),
        ((1, 3, 4, 2, 18), 15),
        ((1, 37, 66, 2, 3), 3),  # several blocks of channels, the last ones ragged
    ],
)
def test_agrees_with_the_loop(shape: tuple[int, int, int, int, int], window: int) -> None:
    check(prepared(shape), window)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    check(prepared((1, 5, 7, 3, 9), dtype), 5)


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((2, 5, 7, 3, 17), 5),  # a pixel in the second tile
        ((1, 2, 3, 1, 1), 5),  # one pixel
        ((1, 37, 66, 2, 3), 7),  # smaller than the window; channels that are no power of two
        ((1, 3, 520, 5, 18), 9),  # several blocks of channels; half a tile below
        ((1, 3, 4, 7, 40), 15),
    ],
)
def test_tiles_of_tensor_cores(
    shape: tuple[int, int, int, int, int],
    window: int,
    dtype: torch.dtype,
    is_full: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half precision, where no gradient is wanted."""
    if is_full:
        monkeypatch.setattr("mila.kernels.fused._MANY_TILES", 0)
    launched = noted_launches(monkeypatch)
    tensors = [x.detach() for x in prepared(shape, dtype)]
    out = attend(tensors, window)
    assert [kernel for kernel, _ in launched] == ["attend_tiles"]
    assert out.dtype == dtype
    expected = looped([x.double() for x in tensors], window)
    torch.testing.assert_close(out.double(), expected, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


def test_tiles_keep_what_is_not_finite_near() -> None:
    """A query or key within its window; a value within its image and the tiles whose windows reach it."""
    for which in range(3):
        query, key, value = tensors = [x.detach() for x in prepared((2, 3, 4, 9, 40), torch.bfloat16)]
        tensors[which][0, :, 4, 4] = torch.nan
        broken = attend((query, key, value), 5).isnan().any(1)
        reached = torch.zeros_like(broken)
        radius = 0 if which == 0 else 2
        reached[0, 4 - radius : 5 + radius, 4 - radius : 5 + radius] = True
        assert broken[reached].all()
        if which < 2:
            assert torch.equal(broken, reached)
        else:
            assert not broken[1].any()
            assert not broken[0, [0, 1, 7, 8]].any()
            assert not broken[0, :, 16:].any()


def test_tiles_with_large_scores() -> None:
    query, key, value = (x.detach() for x in prepared((1, 3, 4, 3, 5), torch.float16))
    exact = [x.double() for x in (query * 100, key * 100, value)]
    out = attend((query * 100, key * 100, value), 5)
    torch.testing.assert_close(out.double(), looped(exact, 5), rtol=5e-3, atol=5e-3)


def test_mixed_types_as_autocast_gives_them() -> None:
    query, key, value = prepared((1, 3, 4, 3, 5))
    half = [x.detach().bfloat16().requires_grad_() for x in (query, key)]
    check([*half, value], 3)
    check([half[0], key, value.detach().bfloat16().requires_grad_()], 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_of_a_full_card(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mila.kernels.fused._MANY", 0)
    check(prepared((1, 3, 4, 3, 17), dtype), 5)


def test_several_blocks_of_channels() -> None:
    check(prepared((1, 5, 520, 2, 5)), 3)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_channels_last(which: int) -> None:
    tensors = prepared((2, 3, 4, 3, 5))
    moved = tensors[which].detach().to(memory_format=torch.channels_last)
    tensors[which] = moved.requires_grad_()
    check(tensors, 3)
    assert attend(tensors, 3).is_contiguous(memory_format=torch.channels_last)  # whatever comes in


def test_any_other_layout() -> None:
    tensors = prepared((2, 3, 4, 3, 5))
    strided = [x.detach().repeat_interleave(2, -1)[..., ::2].requires_grad_() for x in tensors]
    assert not any(x.is_contiguous() for x in strided)
    check(strided, 3)
    out = attend(tensors, 3)
    (ones,) = torch.autograd.grad(out.sum(), tensors[2])  # its gradient is one number, expanded
    exact = [x.detach().double().requires_grad_() for x in tensors]
    (expected,) = torch.autograd.grad(looped(exact, 3).sum(), exact[2])
    torch.testing.assert_close(ones.double(), expected, rtol=1e-5, atol=1e-5)


def test_branches_and_batch_are_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [x.detach().unflatten(0, (2, 3)) for x in prepared((6, 2, 3, 2, 4))]
    launched = noted_launches(monkeypatch)
    out = attend(tensors, 3)
    assert launched == [("attend", (2, 1, 6))]
    expected = torch.stack([looped([x[:, i].double() for x in tensors], 3) for i in range(3)], 1)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_module_with_and_without_scale(scaled: bool) -> None:
    torch.manual_seed(0)
    ila = InterFrameLocalAttention(6, embedding=4, window=3, scaled=scaled, path="triton")
    current, older = torch.randn(2, 1, 6, 3, 4).unbind()
    query, key = ila.h(current) * (0.5 if scaled else 1.0), ila.h(older)
    expected = looped([x.detach().double() for x in (query, key, older)], 3)
    torch.testing.assert_close(ila(current, older, older).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("needed", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_the_gradients_that_are_needed(needed: tuple[bool, ...]) -> None:
    exact = [x.detach().double().requires_grad_() for x in prepared((1, 3, 4, 2, 5))]
    expected = torch.autograd.grad(looped(exact, 3).square().sum(), exact)
    tensors = [x.detach().float().requires_grad_(wanted) for x, wanted in zip(exact, needed, strict=True)]
    attend(tensors, 3).square().sum().backward()
    for tensor, wanted, want in zip(tensors, needed, expected, strict=True):
        assert (tensor.grad is not None) == wanted
        if tensor.grad is not None:
            torch.testing.assert_close(tensor.grad.double(), want, rtol=1e-5, atol=1e-5)


def test_second_gradients_and_vmap() -> None:
    tensors = prepared((1, 2, 3, 2, 3))
    exact = [x.detach().double().requires_grad_() for x in tensors]
    second = []
    for inputs, out in ((tensors, attend(tensors, 3)), (exact, looped(exact, 3))):
        first = torch.autograd.grad(out.square().sum(), inputs, create_graph=True)
        second.append(torch.autograd.grad(sum((g.square().sum() for g in first), torch.zeros(())), inputs))
    for got, want in zip(*second, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-4)
    mapped = [torch.stack([x.detach(), x.detach() * 2]) for x in tensors]
    out = torch.func.vmap(lambda q, k, v: attend((q, k, v), 3))(*mapped)
    for i in range(2):
        torch.testing.assert_close(out[i].double(), looped([x[i].double() for x in mapped], 3), rtol=1e-5, atol=1e-5)


def test_large_scores_do_not_overflow() -> None:
    query, key, value = (x.detach() for x in prepared((1, 3, 4, 3, 5)))
    exact = [x.double() for x in (query * 300, key * 300, value)]
    out = attend((query * 300, key * 300, value), 3)
    torch.testing.assert_close(out.double(), looped(exact, 3), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_not_finite_stays_near(which: int) -> None:
    """A query or key within its window; a value within its image and the tiles beside it."""
    query, key, value = tensors = [x.detach() for x in prepared((2, 3, 4, 5, 20))]
    tensors[which][0, :, 2, 2] = torch.nan
    broken = attend((query, key, value), 3).isnan().any(1)
    reached = torch.zeros_like(broken)
    radius = 0 if which == 0 else 1
    reached[0, 2 - radius : 3 + radius, 2 - radius : 3 + radius] = True
    if which < 2:
        assert torch.equal(broken, reached)
    else:
        assert broken[reached].all()
        assert not broken[1].any()
        assert not broken[0, [0, 4]].any()


class Broken:
    """A kernel that does not compile."""

    def __getitem__(self, grid: object) -> Broken:
        return self

    def __call__(self, *_: object, **__: object) -> None:
        raise ValueError("\n  broken: no such instruction\n  in line 3")


def test_tiles_that_fail_are_said_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mila.kernels.tiled_kernel.attend_tiles", Broken())
    monkeypatch.setattr("mila.kernels.fused._tiled_failures", [])
    tensors = [x.detach() for x in prepared((1, 3, 4, 2, 3), torch.bfloat16)]
    expected = looped([x.double() for x in tensors], 5)
    with pytest.warns(RuntimeWarning, match="no tensor cores from now on.*kernel 'attend_tiles' failed with ValueErr"):
        out = attend(tensors, 5)
    launched = noted_launches(monkeypatch)
    for found in (out, attend(tensors, 5)):  # a second warning would be an error
        torch.testing.assert_close(found.double(), expected, rtol=4e-2, atol=4e-2)
    assert [kernel for kernel, _ in launched] == ["attend"]
    assert fused.failure() is None


def test_keys_of_many_channels_take_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = noted_launches(monkeypatch)
    attend([x.detach() for x in prepared((1, 65, 4, 2, 3), torch.bfloat16)], 5)
    assert [kernel for kernel, _ in launched] == ["attend"]


@pytest.mark.parametrize("kernel", ["attend", "differentiate_scores", "sum_gradients"])
def test_a_kernel_that_fails_is_said_once_and_replaced(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"mila.kernels.triton_kernels.{kernel}", Broken())
    tensors = prepared((1, 3, 4, 2, 3))
    said = (
        f"path 'triton' is given up for 'band'.*kernel '{kernel}' failed with ValueError: broken: no such instruction$"
    )
    with pytest.warns(RuntimeWarning, match=said) as warned:
        check(tensors, 3)
    assert len(warned) == 1
    check(tensors, 3)  # a second warning would be an error
    assert str(fused.failure()).endswith("broken: no such instruction")


def test_what_the_kernels_cannot_take_is_refused() -> None:
    tensors = [x.detach() for x in prepared((1, 2, 3, 2, 3))]
    with pytest.raises(
        ValueError, match="'triton' cannot be taken here: its largest window is 15, not 17; take 'auto'"
    ):
        attend(tensors, 17)
    with pytest.raises(ValueError, match="it takes float32, bfloat16 and float16, not float64"):
        attend([x.double() for x in tensors], 3)
