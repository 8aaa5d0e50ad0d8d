"""The sentence that a page begins with."""

from __future__ import annotations

import numpy as np

from mila.tasks import CITYSCAPES
from reports.differences import ONE_SEED, Family
from reports.lead import _leader, lead
from tests.support.fake_claims import runs
from tests.support.fake_scores import by_clip


def test_a_row_that_every_test_puts_first_is_ahead() -> None:
    made = runs(MILA=[0.70, 0.71, 0.69], MTAN=[0.60, 0.61, 0.59], **{"D101-MultiTask": [0.50, 0.51, 0.49]})
    assert lead(made.results, CITYSCAPES) == "in segmentation (mIoU), MILA (ours) is ahead of all 2 other rows."


def test_what_is_not_told_apart_is_not_called_ahead() -> None:
    made = runs(MILA=[0.70, 0.71, 0.69], MTAN=[0.70, 0.69, 0.705], **{"D101-MultiTask": [0.50, 0.51, 0.49]})
    words = "in segmentation (mIoU), MILA (ours) has the best number, told apart from 1 of 2 other rows."
    assert lead(made.results, CITYSCAPES) == words
    alike = runs(MILA=[0.70, 0.71, 0.69], MTAN=[0.70, 0.69, 0.705])
    assert lead(alike.results, CITYSCAPES).endswith("is told apart from no other row.")


def test_one_seed_says_nothing_of_methods_and_one_row_nothing_at_all() -> None:
    assert ONE_SEED.capitalize() in lead(runs(MILA=[0.7], MTAN=[0.6]).results, CITYSCAPES)
    assert lead(runs(MILA=[0.7, 0.71]).results, CITYSCAPES) == ""


def test_a_network_that_is_told_apart_from_all_others_is_not_called_ahead() -> None:
    values = np.random.default_rng(0).normal(size=(3, 1, 60))
    family = Family([by_clip("a", values[0] + 3), by_clip("b", values[1]), by_clip("c", values[2])])
    words = "in segmentation (mIoU), a has the best number, told apart from all 2 other rows"
    assert _leader(CITYSCAPES.tasks[0], family, networks=True) == words
