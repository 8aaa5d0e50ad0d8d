"""What is passed on of the sums of clips: as good as they are for telling models apart, and small."""

from __future__ import annotations

import io

import numpy as np
import pytest

from mila.clip_shares import load_clip_shares, rounded_shares, save_clip_shares
from mila.common.types import Array


def passed_on(jackknife: dict[str, Array]) -> tuple[dict[str, Array], int]:
    """What is read again, and how many bytes it took."""
    file, again = io.BytesIO(), io.BytesIO()
    for one in (file, again):
        save_clip_shares(one, jackknife)
    assert file.getvalue() == again.getvalue()
    return load_clip_shares(io.BytesIO(file.getvalue())), len(file.getvalue())


def test_rounding_hardly_changes_what_tells_two_models_apart() -> None:
    generator = np.random.default_rng(0)
    clips = generator.normal(size=(1, 300)) + generator.normal(size=(6, 300)) * 0.3
    values = {f"metric {i}": 40 + 3 * row for i, row in enumerate(clips)}
    found, size = passed_on(values)
    assert list(found) == list(values)
    assert size < 1.3 * 6 * 300 + 400
    rounded = rounded_shares(values)
    assert list(rounded) == list(found)
    for name in found:
        np.testing.assert_array_equal(rounded[name], found[name])
    for name, value in values.items():
        assert np.abs(found[name] - (value - value.mean())).max() <= value.std() / 256 * (1 + 1e-5)
    apart, wanted = found["metric 0"] - found["metric 1"], values["metric 0"] - values["metric 1"]
    assert apart.std() == pytest.approx(wanted.std(), rel=0.002)


def test_heavy_tails_and_constants_and_what_is_not_finite() -> None:
    tail = np.zeros(5000)
    tail[7] = -1e6
    found, _ = passed_on({"tail": tail, "constant": np.full(5000, 3.5), "nothing": np.full(5000, np.nan)})
    assert list(found) == ["tail", "constant"]
    assert found["tail"][7] == pytest.approx(-1e6, rel=1e-3)
    assert not found["constant"].any()
    assert passed_on({})[0] == {}


def test_file_of_other_arrays_is_refused() -> None:
    file = io.BytesIO()
    np.savez(file, shares=np.arange(3))
    with pytest.raises(ValueError, match="no shares of clips"):
        load_clip_shares(io.BytesIO(file.getvalue()))
