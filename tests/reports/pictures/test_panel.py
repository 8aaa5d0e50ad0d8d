"""The picture panel."""

from __future__ import annotations

import base64
import io
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from experiments.store import Store
from reports.pictures.panel import png_uri, spread_evenly
from reports.report import build_report
from tests.support.fake_results import plan_of


def test_pictures_of_five_rows_at_first_and_last_offset(page: str) -> None:
    section = page[page.index('id="pictures"') : page.index('id="scores"')]
    # Frame, truth, three frame-by-frame networks, two video methods at offsets 0 and 4; two clips; three tasks.
    assert section.count("<td") == (2 + 2 * (3 + 2 * 2)) * 2 * 3  # an error below each prediction
    assert section.count(">offset 4<") == 2 * 3
    shown = ["D101-SingleTask", "MTAN-SegNet", "MTAN*", "MILA w/o MF&amp;TS", "MILA (ours)"]
    assert re.findall(r'class="method">(.*?)<', section) == shown * 3
    assert "Of the finished rows, 5 are shown" in section


def test_pages_of_large_pictures_show_fewer_clips(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.pictures.panel.BUDGET", 10)
    page = build_report(plan_of(0, 1), store, tmp_path).page.read_text()
    section = page[page.index('id="pictures"') : page.index('id="scores"')]
    assert section.count("<td") == (2 + 2 * (3 + 2 * 2)) * 1 * 3  # one clip is always shown
    assert "1 more clip would make" in section


@given(st.integers(1, 300), st.booleans())
def test_pictures_lose_nothing(colours: int, opaque: bool) -> None:
    pixels = np.zeros((20, 20, 3 if opaque else 4), np.uint8)
    pixels[..., 0] = (np.arange(400) % colours % 256).reshape(20, 20)
    pixels[..., 2] = (np.arange(400) % colours // 256).reshape(20, 20)
    text = png_uri(pixels).removeprefix("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert (image.mode == "P") == (opaque and colours <= 256)
    assert np.array_equal(np.asarray(image.convert("RGB" if opaque else "RGBA")), pixels)


@given(st.integers(2, 6), st.integers(0, 9))
def test_chosen_rows_are_evenly_spread(n: int, more: int) -> None:
    rows = range(n + more)
    chosen = spread_evenly(rows, n)
    assert len(chosen) == n
    assert (chosen[0], chosen[-1]) == (0, rows[-1])
    gaps = [b - a for a, b in pairwise(chosen)]
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 2  # each place is rounded by itself
