"""Clips out of single images: the window of a pan."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mila.data.readers.stills import clip_from_still, pan_box
from tests.support.fake_files import ramp


def test_pan_moves_steadily_and_stays_inside() -> None:
    for identity in map(str, range(30)):
        assert pan_box(640, 480, 0, identity) == (0, 0, 640, 480)
        boxes = np.array([pan_box(640, 480, age, identity) for age in range(20)])
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= [640, 480]).all()
        steps = np.diff((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)
        along = steps / np.linalg.norm(steps, axis=1, keepdims=True)
        assert np.allclose(along, along[0], atol=1e-6)
        lengths = np.linalg.norm(steps / [640, 480], axis=1)
        assert np.allclose(lengths[1:] / lengths[:-1], 0.98)
    assert len({pan_box(640, 480, 1, str(i)) for i in range(30)}) == 30


def test_pan_of_a_ramp_shows_the_window_that_it_says() -> None:
    width, height = 250, 250
    image = Image.fromarray(ramp(height, width))
    frames = clip_from_still(image, 8, 100, 100, mode="pan", identity="a").astype(np.float64)
    for age in range(8):
        left, top, right, bottom = pan_box(width, height, age, "a")
        red, green, _ = frames[7 - age].mean((1, 2))
        assert abs(red - ((left + right) / 2 - 0.5)) < 0.6  # a ramp's mean is its value at the window's centre
        assert abs(green - ((top + bottom) / 2 - 0.5)) < 0.6
