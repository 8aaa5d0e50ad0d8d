"""A Cityscapes of five snippets, ways to break it, and what an inspection should find."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from mila.data.tools.inspection import Inspection
from tests.support.fake_files import ramp, save

SMALL: dict[str, Any] = {"height": 16, "width": 32, "workers": 1}
RESTORE = "restore the file from the data set's archive."
AGAIN = "unpack it again from the archive."


def assert_problems(inspection: Inspection, *expected: str) -> None:
    """These problems in this order and no others; `...` stands for the words of a library."""
    patterns = [re.escape(sentence).replace(r"\.\.\.", ".+") for sentence in expected]
    assert len(inspection.problems) == len(patterns), inspection.problems
    for pattern, sentence in zip(patterns, inspection.problems, strict=True):
        assert re.fullmatch(pattern, sentence), sentence
    assert inspection.ok == (not expected)


def cut(path: Path) -> None:
    """The file as a broken download leaves it."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def noise(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (32, 64, 3), np.uint8)


def city(root: Path, folder: str, item: int, frame: int = 19, ending: str = "leftImg8bit.png") -> Path:
    return root / folder / "train" / "ulm" / f"ulm_{item:06d}_{frame:06d}_{ending}"


def write_snippets(root: Path) -> Path:
    """Five snippets of 32 x 64 with everything; frames 20 to 29 are left away."""
    for item in range(5):
        for frame in range(20):
            save(city(root, "leftImg8bit_sequence", item, frame), ramp(32, 64, frame))
        save(city(root, "leftImg8bit", item), noise(item))
        save(city(root, "gtFine", item, ending="gtFine_labelIds.png"), np.full((32, 64), 7 + item, np.uint8))
        save(city(root, "gtFine", item, ending="gtFine_color.png"), ramp(32, 64))
        save(city(root, "disparity", item, ending="disparity.png"), np.full((32, 64), 5000, np.uint16))
        camera = city(root, "camera", item, ending="camera.json")
        camera.parent.mkdir(parents=True, exist_ok=True)
        camera.write_text('{"extrinsic": {"baseline": 0.5}, "intrinsic": {"fx": 2000}}', encoding="utf-8")
    return root
