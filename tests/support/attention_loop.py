"""Local attention one pixel and one neighbour at a time, and maps to try it on."""

from __future__ import annotations

import math

import torch


def per_pixel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int) -> torch.Tensor:
    """The paper's sums (Eqs. 1 and 2), one pixel and one neighbour at a time."""
    batch, _, height, width = value.shape
    radius = window // 2
    out = torch.zeros_like(value)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                around = [
                    (i + x, j + y)
                    for x in range(-radius, radius + 1)
                    for y in range(-radius, radius + 1)
                    if 0 <= i + x < height and 0 <= j + y < width
                ]
                scores = [float(query[b, :, i, j] @ key[b, :, r, c]) for r, c in around]
                top = max(scores)
                powers = [math.exp(s - top) for s in scores]
                for power, (r, c) in zip(powers, around, strict=True):
                    out[b, :, i, j] += power / sum(powers) * value[b, :, r, c]
    return out


def differentiable_loop(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int) -> torch.Tensor:
    """The same for gradients: a loop over pixels, each with the rectangle of its window that lies in the image."""
    height, width, radius = *value.shape[-2:], window // 2
    pixels = []
    for y in range(height):
        for x in range(width):
            rows = slice(max(0, y - radius), min(height, y + radius + 1))
            columns = slice(max(0, x - radius), min(width, x + radius + 1))
            keys, values = (m[..., rows, columns].flatten(-2) for m in (key, value))  # [B, C, neighbours]
            scores = (query[..., y, x].unsqueeze(-1) * keys).sum(1)
            pixels.append((scores.softmax(-1).unsqueeze(1) * values).sum(-1))
    return torch.stack(pixels, -1).view_as(value)


def maps(batch: int, embedding: int, channels: int, height: int, width: int) -> list[torch.Tensor]:
    """Random query, key and value `[B, C, H, W]` in float64, the same for the same sizes."""
    generator = torch.Generator().manual_seed(batch * 1000 + height * 100 + width)
    shapes = [(batch, c, height, width) for c in (embedding, embedding, channels)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
