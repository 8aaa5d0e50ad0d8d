"""What every clip contributes to every metric, in a few hundred bytes a metric: for results that are passed on.

The sums of `mila.clip_sums` are exact and several times larger. What tells two models apart needs of them only the
pseudo-values of `ClipSums.jackknife`, less their mean, and of these only as much as matters: they are rounded to a
128th of their standard deviation, which adds a 200,000th to their variance. Pages round alike what they read from sums,
so that what is passed on gives the same pages, byte for byte.

In a file, one array of structured type: the step of each metric, then the low bytes of all numbers of steps, then the
high ones, with the sign in the lowest bit, because bytes that are alike compress well.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np

from mila.clip_sums import ClipSums
from mila.common.types import Array

_STEPS = 128
"""In a standard deviation."""
_LARGEST = 2**15 - 1


def save_clip_shares(file: IO[bytes], jackknife: Mapping[str, Array]) -> None:
    """Write the pseudo-values `[N]` by metric, rounded; metrics that are not finite on every clip are left out."""
    kept = {name: _rounded(values) for name, values in jackknife.items() if np.isfinite(values).all()}
    clips = len(next((numbers for _, numbers in kept.values()), ()))
    one = np.zeros((), [(part, [(n, kind) for n in kept]) for part, kind in _parts(clips)])
    for name, (step, numbers) in kept.items():
        folded = np.where(numbers < 0, -2 * numbers - 1, 2 * numbers)
        one["step"][name] = step
        one["low"][name], one["high"][name] = folded & 255, folded >> 8
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive, archive.open("shares.npy", "w") as member:
        np.lib.format.write_array(member, one, allow_pickle=False)


def load_clip_shares(file: IO[bytes]) -> dict[str, Array]:
    """Read the pseudo-values less their mean, `[N]` by metric; nothing in the file is run.

    Raises:
        ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, lzma.LZMAError: it is not what was written.
    """
    with np.load(file, allow_pickle=False) as arrays:
        one = arrays["shares"]
    if one.shape or one.dtype.names != ("step", "low", "high"):
        raise ValueError("the file holds no shares of clips")
    found = {}
    for name in one["step"].dtype.names or ():
        folded = one["low"][name].astype(np.int64) | one["high"][name].astype(np.int64) << 8
        numbers = np.where(folded & 1, -(folded + 1) // 2, folded // 2)
        found[name] = numbers * np.float64(one["step"][name])
    return found


def mean_jackknife(states: Iterable[ClipSums]) -> dict[str, Array]:
    """The pseudo-values of a score, `[N]` by metric: means over the states that were scored."""
    values = [sums.jackknife() for sums in states]
    return {name: np.mean([state[name] for state in values], axis=0) for name in values[0]}


def rounded_shares(jackknife: Mapping[str, Array]) -> dict[str, Array]:
    """What a file of these pseudo-values would give back."""
    kept = {name: _rounded(values) for name, values in jackknife.items() if np.isfinite(values).all()}
    return {name: numbers * np.float64(step) for name, (step, numbers) in kept.items()}


def _rounded(values: Array) -> tuple[np.float32, Array]:
    """The step of a metric, and how many of them each value lies from the mean, int64 `[N]`."""
    apart = values - values.mean()
    # Metrics of heavy tails take larger steps, so that none is cut off.
    step = np.float32(max(apart.std() / _STEPS, np.abs(apart).max(initial=0) / _LARGEST))
    return step, np.rint(apart / step).astype(np.int64) if step else np.zeros(len(values), np.int64)


def _parts(clips: int) -> tuple[tuple[str, Any], ...]:
    """Fields and the type of a metric in each."""
    byte = np.dtype((np.uint8, (clips,)))
    return (("step", np.float32), ("low", byte), ("high", byte))
