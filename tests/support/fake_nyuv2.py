"""A real data set of one image that nobody took."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def fake_nyuv2(root: Path) -> Path:
    """NYUd v2 with one image, which is in both splits; returns its folder."""
    for folder in ("rgb", "depth", "labels13"):
        (root / folder).mkdir(parents=True)
    Image.new("RGB", (64, 48), (90, 120, 30)).save(root / "rgb" / "0003.jpg")
    Image.new("L", (64, 48), 60).save(root / "depth" / "0003.png")
    Image.new("L", (64, 48), 5).save(root / "labels13" / "0003.png")
    for split in ("train", "test"):
        (root / f"{split}.txt").write_text("3\n")
    return root
