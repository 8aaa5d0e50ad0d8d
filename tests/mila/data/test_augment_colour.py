"""Colour jitter: the same in every frame of a clip, against the three formulas, between black and white."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mila.data.augment import augment
from mila.data.clips import denormalise, normalise
from mila.tasks import NYUV2
from tests.support.augmentation import (
    SEED,
    mirrored,
    source_pixels,
    transforms,
    world_batch,
)


def test_a_colour_becomes_the_same_colour_in_every_frame() -> None:
    """Also when the rest of a frame gets brighter, as when the camera turns to a window."""
    clip = world_batch("rooms", 1, 24, 32)[0].repeat(1, 3, 1, 1, 1)
    bottom = denormalise(clip)
    for t, level in enumerate((0.0, 0.5, 1.0)):
        bottom[:, t, :, 12:] = level
    clip = normalise(bottom * 255)
    pixels = []
    for step in range(5):
        moved, _ = augment(clip, {}, NYUV2, "default", SEED, step)
        from_top = source_pixels("default", step, 2, 24, 32) < 11 * 32  # a row apart: bilinear reaches a pixel far
        for b in range(2):
            colours = moved[b, :, :, from_top[b]]
            assert torch.equal(colours, colours[:1].expand_as(colours))
            pixels.append(colours.shape[-1])
    assert sum(pixels) > 1000


def measured_factors(step: int) -> tuple[float, float, float]:
    """Brightness, contrast and saturation factors of the first clip of a step, from three pictures made for it."""

    def after(rgb: Tensor) -> Tensor:
        frames = normalise(rgb.view(1, 1, 3, 1, -1).expand(1, 1, 3, 8, -1) * 255)
        return denormalise(augment(frames, {}, NYUV2, "default", SEED, step)[0])[0, 0].double()

    brightness = (after(torch.full((3, 16), 0.5))[0, 4, 8] / 0.5).item()
    grey = after(torch.tensor([0.4] * 8 + [0.5] * 8).expand(3, 16))[0]
    contrast = (grey.max() - grey.min()).item() / (0.1 * brightness)
    red, green, _ = after(torch.tensor([0.5, 0.4, 0.4])[:, None].expand(3, 16))[:, 4, 8].tolist()
    return brightness, contrast, (red - green) / (0.1 * brightness * contrast)


def test_colour_jitter_is_brightness_contrast_saturation() -> None:
    """Where there is no zoom: against the three formulas, with ITU-R 601's weights of grey."""
    gray, tested = torch.tensor([0.2989, 0.587, 0.114], dtype=torch.float64)[:, None, None], 0
    rgb = 0.35 + 0.25 * torch.rand(1, 3, 3, 8, 16, generator=torch.Generator().manual_seed(3))
    factors = []
    for step in range(40):
        b, c, s = measured_factors(step)
        factors.append((b, c, s))
        t = transforms(step, 1, 8, 16)[0]
        if t.scale > 1.1:
            continue
        tested += 1
        got = denormalise(augment(normalise(rgb * 255), {}, NYUV2, "default", SEED, step)[0])[0].double()
        expected = rgb[0].double() * b
        mean = (expected * gray).sum(1).mean()  # of the clip, not of a frame
        expected = c * expected + (1 - c) * mean
        expected = s * expected + (1 - s) * (expected * gray).sum(1, keepdim=True)
        assert got.numpy() == pytest.approx(mirrored(expected.numpy(), t.flip), abs=2e-3)
    assert tested >= 8
    for values in zip(*factors, strict=True):
        assert 0.8 - 1e-3 < min(values) < 0.85
        assert 1.15 < max(values) < 1.2 + 1e-3
    assert np.abs(np.corrcoef(np.array(factors).T) - np.eye(3)).max() < 0.5


def test_jittered_frames_stay_between_black_and_white() -> None:
    noise = torch.randint(256, (4, 2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    for step in range(5):
        rgb = denormalise(augment(normalise(noise), {}, NYUV2, "default", SEED, step)[0])
        assert rgb.min() > -1e-5
        assert rgb.max() < 1 + 1e-5
