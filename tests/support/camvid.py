"""CamVid's layout on small files, and the reader that docs/add_a_data_set.md shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.pages import blocks
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "add_a_data_set.md"
CLASSES = 11
VOID = 11
"""As the files have it."""


def camvid_file(folder: Path) -> Path:
    """The page's file."""
    path = folder / "camvid.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(blocks(PAGE, "python")[0], encoding="utf-8")
    return path


def fake_camvid(root: Path, height: int = 45, width: int = 60) -> Path:
    """Stills a second apart to train on, consecutive frames to score and to choose on; all 11 classes and void."""
    _split(root, "train", "0001TP_", [30 * n for n in range(1, 7)], height, width)
    _split(root, "val", "0016E5_", [7959 + 2 * n for n in range(8)], height, width)
    _split(root, "test", "Seq05VD_f", [2 * n for n in range(8)], height, width)
    return root


def _split(root: Path, split: str, stem: str, numbers: list[int], height: int, width: int) -> None:
    for folder in (split, f"{split}annot"):
        (root / folder).mkdir(parents=True)
    for number in numbers:
        drawn = np.random.default_rng(number)
        digits = 6 if stem.startswith("0001") else 5
        name = f"{stem}{number:0{digits}d}.png"
        labels = (np.arange(height)[:, None] // 4 + np.arange(width) // 4 + number // 2) % (CLASSES + 1)
        colours = np.random.default_rng(0).integers(0, 256, (CLASSES + 1, 3))
        image = np.clip(colours[labels] + drawn.integers(-9, 10, (height, width, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(root / split / name)
        Image.fromarray(labels.astype(np.uint8)).save(root / f"{split}annot" / name)
