"""Eqs. 1 and 2 against a loop over pixels, their gradients, and their memory."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.benchmarks.attention_contenders import unfold_attention
from experiments.benchmarks.taking_turns import peak_memory
from mila.attention import AttentionPath, InterFrameLocalAttention, Window, attention_weights, local_attention
from tests.support.attention_loop import maps, per_pixel

PATHS: tuple[AttentionPath, ...] = ("band", "dense", "reference")
"""What runs without a GPU; which of them `auto` takes depends on the size."""


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    embedding=st.integers(1, 4),
    channels=st.integers(1, 5),
    height=st.integers(1, 7),
    width=st.integers(1, 11),
    window=st.sampled_from([1, 3, 5, 7]),
)
def test_agrees_with_a_loop_over_pixels(
    path: AttentionPath, batch: int, embedding: int, channels: int, height: int, width: int, window: int
) -> None:
    query, key, value = maps(batch, embedding, channels, height, width)
    expected = per_pixel(query, key, value, window)
    torch.testing.assert_close(local_attention(query, key, value, window, path), expected, rtol=0, atol=1e-12)


def test_global_is_the_window_that_covers_everything() -> None:
    query, key, value = maps(2, 3, 4, 5, 6)
    expected = per_pixel(query, key, value, 11)
    torch.testing.assert_close(local_attention(query, key, value, "global"), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(local_attention(query, key, value, 11), expected, rtol=0, atol=1e-12)


def test_global_in_chunks_changes_neither_values_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = tensors = [t.requires_grad_() for t in maps(2, 3, 4, 5, 6)]
    whole = local_attention(query, key, value, "global")
    expected = torch.autograd.grad(whole.square().sum(), tensors)
    monkeypatch.setattr("mila.attention.GLOBAL_SCORES", 2 * 30 * 7)
    chunked = local_attention(query, key, value, "global")
    torch.testing.assert_close(chunked, whole)
    for got, want in zip(torch.autograd.grad(chunked.square().sum(), tensors), expected, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("window", [1, 3, 5, "global"])
def test_gradients(window: Window, path: AttentionPath) -> None:
    tensors = [t.requires_grad_() for t in maps(2, 2, 3, 4, 5)]
    assert torch.autograd.gradcheck(lambda q, k, v: local_attention(q, k, v, window, path), tensors)


@pytest.mark.parametrize("path", PATHS)
def test_second_gradients(path: AttentionPath) -> None:
    tensors = [t.requires_grad_() for t in maps(1, 2, 2, 3, 4)]
    assert torch.autograd.gradgradcheck(lambda q, k, v: local_attention(q, k, v, 3, path), tensors)


@pytest.mark.parametrize("path", PATHS)
def test_inputs_of_any_memory_layout(path: AttentionPath) -> None:
    query, key, value = maps(2, 3, 4, 6, 7)
    expected = local_attention(query, key, value, 3, path)
    query, key = (t.to(memory_format=torch.channels_last) for t in (query, key))
    flipped = value.flip(-1).flip(-1).transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(local_attention(query, key, flipped, 3, path), expected)


def test_weights_sum_to_one_and_neighbours_outside_get_none() -> None:
    query, key, _ = maps(1, 3, 1, 4, 5)
    weights = attention_weights(query, key, 5)
    torch.testing.assert_close(weights.sum((-1, -2)), torch.ones(1, 4, 5, dtype=torch.float64))
    corner = weights[0, 0, 0]
    assert corner[:2].eq(0).all()
    assert corner[:, :2].eq(0).all()
    assert corner[2:, 2:].gt(0).all()


def test_features_follow_a_shift() -> None:
    """A map moved by two pixels is found again: distinctive features pull from where they came."""
    value = torch.randn(1, 4, 8, 9, generator=torch.Generator().manual_seed(0))
    code = (
        torch.nn.functional.normalize(torch.randn(1, 24, 8, 9, generator=torch.Generator().manual_seed(1)), dim=1) * 20
    )
    moved = local_attention(code.roll(2, 3), code, value, 5)
    torch.testing.assert_close(moved[..., 2:], value.roll(2, 3)[..., 2:], atol=1e-3, rtol=0)


@pytest.mark.parametrize("window", [0, 2, -1, "local"])
def test_wrong_windows_are_refused(window: int | str) -> None:
    query, key, value = maps(1, 2, 2, 3, 3)
    with pytest.raises(ValueError, match="odd number or 'global'"):
        local_attention(query, key, value, window)  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    query, key, value = maps(1, 2, 2, 3, 3)
    with pytest.raises(ValueError, match="one shape"):
        local_attention(query[:, :1], key, value, 3)
    with pytest.raises(ValueError, match="share batch, height and width"):
        local_attention(query, key, value[..., 1:], 3)


def test_module_is_eq_1_on_h_of_both_maps() -> None:
    torch.manual_seed(0)
    ila = InterFrameLocalAttention(6, embedding=4, window=3).double()
    current, previous = (torch.randn(1, 6, 4, 5, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        expected = per_pixel(ila.h(current), ila.h(previous), previous, 3)
        torch.testing.assert_close(ila(current, previous, previous), expected, rtol=0, atol=1e-12)
        scaled = InterFrameLocalAttention(6, embedding=4, window=3, scaled=True).double()
        scaled.load_state_dict(ila.state_dict())
        expected = per_pixel(ila.h(current) / 2, ila.h(previous), previous, 3)
        torch.testing.assert_close(scaled(current, previous, previous), expected, rtol=0, atol=1e-12)


def test_h_is_one_convolution_of_table_7() -> None:
    ila = InterFrameLocalAttention(512)
    assert sum(p.numel() for p in ila.parameters()) == 512 * 36 * 9  # 0.166 M, "0.2M"


@pytest.mark.parametrize("backward", [False, True])
def test_nothing_is_unfolded(backward: bool) -> None:
    """Peak extra memory, result and gradients included, is at most 4 value maps; unfolding alone takes L^2 of them."""
    query, key, value = tensors = [torch.randn(1, c, 33, 65, requires_grad=backward) for c in (36, 36, 512)]

    def call() -> object:
        out = local_attention(query, key, value, 5)
        return torch.autograd.grad(out.sum(), tensors) if backward else out

    call()
    value_map = 512 * 33 * 65 * 4
    assert value_map < peak_memory(call) < 4 * value_map


def test_the_benchmark_compares_like_with_like() -> None:
    query, key, value = maps(2, 3, 4, 6, 7)
    torch.testing.assert_close(unfold_attention(query, key, value, 5), per_pixel(query, key, value, 5))
    assert peak_memory(lambda: torch.empty(1000, dtype=torch.float64)) == 8000


def expected_reach(bad: tuple[int, int, int], batch: int, height: int, width: int, window: int) -> torch.Tensor:
    """Where one bad value arrives: in all tiles of 8 pixels, of the padded and flattened batch, that look at it."""
    radius = window // 2
    row, rows = width + radius, height + radius
    place = (bad[0] * rows + bad[1]) * row + bad[2]
    reached = torch.zeros(batch, height, width, dtype=torch.bool)
    for image in range(batch):
        for y in range(height):
            for x in range(width):
                start = ((image * rows + y) * row + x) // 8 * 8
                reached[image, y, x] = any(
                    start - radius <= place - dy * row <= start + 7 + radius for dy in range(-radius, radius + 1)
                )
    return reached


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 25),
    window=st.sampled_from([1, 3, 5]),
    value=st.sampled_from([math.nan, math.inf]),
    draw=st.data(),
)
def test_a_value_that_is_not_finite_reaches_the_tiles_that_look_at_it(
    height: int, width: int, window: int, value: float, draw: st.DataObject
) -> None:
    """At most 7 pixels further than its window, in flattened order; everything else is as it was."""
    bad = tuple(draw.draw(st.integers(0, size - 1)) for size in (2, height, width))
    query, key, values = maps(2, 3, 4, height, width)
    before = local_attention(query, key, values, window, "band")
    values[bad[0], :, bad[1], bad[2]] = value
    out = local_attention(query, key, values, window, "band")
    broken = ~out.isfinite().all(1)
    radius = window // 2
    inside = torch.zeros_like(broken)
    inside[bad[0], max(0, bad[1] - radius) : bad[1] + radius + 1, max(0, bad[2] - radius) : bad[2] + radius + 1] = True
    assert broken[inside].all()
    assert torch.equal(broken, expected_reach((bad[0], bad[1], bad[2]), 2, height, width, window))
    untouched = (~broken)[:, None].expand_as(out)
    assert torch.equal(out[untouched], before[untouched])


@pytest.mark.parametrize("path", ["band", "dense"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_query_or_key_that_is_not_finite_stays_within_its_window(which: int, path: AttentionPath) -> None:
    height, width, window = 9, 20, 3
    query, key, value = maps(2, 3, 4, height, width)
    (query, key)[which][0, :, 4, 9] = math.nan
    broken = local_attention(query, key, value, window, path).isnan().any(1)
    expected = torch.zeros_like(broken)
    radius = 0 if which == 0 else 1
    expected[0, 4 - radius : 5 + radius, 9 - radius : 10 + radius] = True
    assert torch.equal(broken, expected)


@pytest.mark.parametrize("window", [5, "global"])
def test_features_of_another_type_than_the_embeddings_keep_theirs(window: Window) -> None:
    query, key, value = (x.float() for x in maps(2, 3, 8, 4, 5))
    wanted = local_attention(query, key, value, window)
    found = local_attention(query, key, value.bfloat16(), window)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=2e-2)
    with torch.autocast("cpu", torch.bfloat16):
        assert local_attention(query, key, value, window).dtype == torch.float32
