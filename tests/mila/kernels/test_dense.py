"""The path for small maps: the same numbers as a loop, on the maps that it is taken for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mila.attention import choose_path, local_attention
from mila.kernels.dense import pays
from tests.support.attention_loop import maps, per_pixel


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 2),
    embedding=st.integers(1, 3),
    channels=st.integers(1, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 9),
    window=st.sampled_from([1, 3, 5, 7]),
)
def test_agrees_with_a_loop_over_pixels(
    batch: int, embedding: int, channels: int, height: int, width: int, window: int
) -> None:
    query, key, value = maps(batch, embedding, channels, height, width)
    out = local_attention(query, key, value, window, "dense")
    torch.testing.assert_close(out, per_pixel(query, key, value, window), rtol=0, atol=1e-12)


def test_gradients() -> None:
    tensors = [t.requires_grad_() for t in maps(2, 2, 3, 4, 5)]
    assert torch.autograd.gradcheck(lambda q, k, v: local_attention(q, k, v, 3, "dense"), tensors)
    assert torch.autograd.gradgradcheck(lambda q, k, v: local_attention(q, k, v, 3, "dense"), tensors)


@pytest.mark.parametrize(
    ("height", "width", "window", "taken"),
    [(8, 16, 5, True), (16, 16, 1, True), (17, 16, 5, False), (33, 65, 15, False), (37, 48, 15, True)],
)
def test_it_is_taken_for_small_maps_and_wide_windows(height: int, width: int, window: int, taken: bool) -> None:
    assert pays(height, width, window) == taken
    query, key, value = maps(1, 2, 3, height, width)
    assert choose_path("auto", query, key, value, window) == ("dense" if taken else "band")


def test_a_value_that_is_not_finite_reaches_its_image_and_no_other() -> None:
    query, key, value = maps(2, 3, 4, 7, 9)
    value[0, 1, 3, 4] = torch.nan
    broken = local_attention(query, key, value, 3, "dense").isnan()
    assert broken[0, 1].all()
    assert broken.sum() == 7 * 9
