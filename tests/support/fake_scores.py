"""Rows' scores that nobody measured: by seed, and by seed and clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mila.common.types import FloatArray
from reports.contrasts import Sample
from reports.differences import Family


def by_seed(row: str, *numbers: float) -> Sample:
    """A row of which no sums of clips were kept, with seeds from 0 on."""
    return Sample(row, dict(enumerate(numbers)), {})


def by_clip(row: str, values: FloatArray) -> Sample:
    """A row with what every clip contributes, `[seeds, clips]`."""
    return Sample(row, {seed: float(clips.mean()) for seed, clips in enumerate(values)}, dict(enumerate(values)))


def crossed(
    generator: np.random.Generator, spreads: Sequence[float], seeds: int, clips: int, leads: Mapping[int, float]
) -> Family:
    """Rows of one true number, but for their `leads`, on the same clips.

    Args:
        generator: of all chance.
        spreads: standard deviation of each row over seeds; that of a row on a clip and of what is left is 1.
        seeds: how many.
        clips: how many.
        leads: by row, what is added to its number.
    """
    rows = len(spreads)
    values = generator.normal(size=(1, 1, clips)) * 3  # what is hard for one row is hard for all
    values = values + generator.normal(size=(rows, 1, clips)) + generator.normal(size=(rows, seeds, clips))
    values += generator.normal(size=(rows, seeds, 1)) * np.array(spreads)[:, None, None]
    return Family([by_clip(str(row), values[row] + leads.get(row, 0.0)) for row in range(rows)])
