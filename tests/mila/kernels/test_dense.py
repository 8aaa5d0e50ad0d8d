"""The path for small maps: when it is taken, and what is its own. Its numbers: `tests/mila/test_attention.py`."""

from __future__ import annotations

import pytest
import torch

from mila.attention import choose_path, local_attention
from mila.kernels.dense import pays
from tests.support.attention_loop import maps


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


def test_what_inference_mode_leaves_behind_can_be_trained_with() -> None:
    """What is kept of a size must not be a tensor of inference mode: those cannot be saved for a backward pass."""
    query, key, value = maps(1, 2, 3, 5, 11)
    with torch.inference_mode():
        expected = local_attention(query, key, value, 3, "dense").clone()
    out = local_attention(query.requires_grad_(), key, value, 3, "dense")
    assert torch.equal(out.detach(), expected)
    out.sum().backward()
