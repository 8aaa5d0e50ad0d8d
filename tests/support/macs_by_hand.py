"""Multiply-accumulates counted by hand, as the convention `complete` charges them."""

from __future__ import annotations


def conv(pixels: int, inputs: int, outputs: int, kernel: int, norm: bool = False) -> int:
    """A square convolution, and one multiplication a value where a batch norm follows."""
    return pixels * outputs * (inputs * kernel**2 + norm)


def resnet(depth: int, height: int, width: int, planes: tuple[int, ...] = (64, 128, 256, 512)) -> int:
    """DeepLab-ResNet block by block; strides 2 (stem), 2 (pool), 1, 2, 1, 1."""

    def half(n: int) -> int:
        return (n + 1) // 2

    blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
    height, width = half(height), half(width)
    total = conv(height * width, 3, planes[0], 7, norm=True)
    height, width = height // 2 + 1, width // 2 + 1  # the ceil-mode pool of an even number of pixels
    channels = planes[0]
    for stage, (wide, repeats) in enumerate(zip(planes, blocks, strict=True)):
        for block in range(repeats):
            before = height * width
            if stage == 1 and block == 0:
                height, width = half(height), half(width)
            pixels, out = height * width, wide if depth == 18 else 4 * wide
            if depth == 18:
                total += conv(pixels, channels, wide, 3, norm=True) + conv(pixels, wide, wide, 3, norm=True)
            else:
                total += conv(before, channels, wide, 1, norm=True)
                total += conv(pixels, wide, wide, 3, norm=True) + conv(pixels, wide, out, 1, norm=True)
            if block == 0 and (stage > 0 or depth != 18):
                total += conv(pixels, channels, out, 1, norm=True)
            channels = out
    return total
