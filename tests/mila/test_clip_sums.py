"""Sums of every clip: the metrics of any split made of them are those of its images, and files give them back."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from mila.clip_sums import ClipSums, load_clip_sums, save_clip_sums
from mila.metrics import SuiteSums
from mila.tasks import FLOW, NYUV2, VOID, Suite

IMAGES, HEIGHT, WIDTH = 9, 12, 16


def draw(suite: Suite) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Predictions and targets of a few images, of which the last two have nothing annotated or just a row."""
    generator = torch.Generator().manual_seed(0)
    size = (IMAGES, HEIGHT, WIDTH)
    predictions: dict[str, Tensor] = {}
    targets: dict[str, Tensor] = {}
    for task in suite.tasks:
        predictions[task.name] = torch.randn(IMAGES, task.channels, HEIGHT, WIDTH, generator=generator)
        if task.name == "segmentation":
            targets[task.name] = torch.randint(VOID, task.channels, size, generator=generator)
            targets[task.name][-2, 1:] = targets[task.name][-1] = VOID
        elif task.name == "depth":
            targets[task.name] = torch.rand(IMAGES, 1, HEIGHT, WIDTH, generator=generator) - 0.1
            targets[task.name][-1] = 0
        else:
            guess = predictions[task.name]
            targets[task.name] = guess + 0.5 * torch.randn(guess.shape, generator=generator)
            targets[task.name][-1] = 0 if task.name == "normals" else torch.nan
    return predictions, targets


def summed(suite: Suite, images: list[int], batch: int = 4) -> ClipSums:
    predictions, targets = draw(suite)
    sums = SuiteSums(suite)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        sums.update({n: p[part] for n, p in predictions.items()}, {n: t[part] for n, t in targets.items()})
    return sums.clips()


@pytest.mark.parametrize("suite", [NYUV2, FLOW])
def test_weighted_clips_are_a_split_that_holds_them_so_often(suite: Suite) -> None:
    clips = summed(suite, list(range(IMAGES)))
    weights = np.random.default_rng(0).multinomial(IMAGES, [1 / IMAGES] * IMAGES, 5)
    weighted = clips.weighted(weights)
    for place, row in enumerate(weights):
        metrics = summed(suite, [image for image, times in enumerate(row) for _ in range(times)]).metrics()
        for name, value in metrics.items():
            # a median between the bounds that are kept is interpolated
            wanted = pytest.approx(value, rel=1e-6) if name != "normal_median" else pytest.approx(value, abs=0.5)
            assert weighted[name][place] == wanted, name


@pytest.mark.parametrize("suite", [NYUV2, FLOW])
def test_no_sum_depends_on_the_batch_size(suite: Suite) -> None:
    one, many = (summed(suite, list(range(IMAGES)), batch) for batch in (1, IMAGES))
    assert list(one.arrays) == list(many.arrays)
    for name, array in one.arrays.items():
        assert np.array_equal(array, many.arrays[name]), name


@pytest.mark.parametrize("suite", [NYUV2, FLOW])
def test_file_gives_the_sums_back(suite: Suite) -> None:
    states = {"epoch-0001.pt": summed(suite, [0, 1, 2]), "model.pt": summed(suite, list(range(IMAGES)))}
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        save_clip_sums(file, states)
    assert files[0].getvalue() == files[1].getvalue()
    read = load_clip_sums(io.BytesIO(files[0].getvalue()))
    assert list(read) == list(states)
    for name, sums in states.items():
        assert len(read[name]) == len(sums)
        assert read[name].metrics() == sums.metrics()
        for array, values in sums.arrays.items():
            assert np.array_equal(read[name].arrays[array], values)
            assert read[name].arrays[array].dtype == values.dtype


def test_file_of_other_arrays_is_refused() -> None:
    file = io.BytesIO()
    np.savez(file, a=np.arange(3))
    with pytest.raises(ValueError, match="no sums of clips"):
        load_clip_sums(io.BytesIO(file.getvalue()))
