"""What is imported: by `--help` no PyTorch, by a world no library of a reader, torchvision for colour jitter alone."""

from __future__ import annotations

import pytest

from tests.support.imports import imported


@pytest.mark.parametrize("words", [["--help"], ["prepare", "--help"], ["inspect", "--help"], ["export", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"from mila.data.__main__ import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
    assert imported(code) == set()


def test_a_world_imports_no_reader_s_libraries() -> None:
    code = (
        "import mila.data.packed, mila.data.readers.layouts\n"
        "from mila.data.worlds.clips import WorldClips\n"
        "WorldClips('street', 'train', clips=1, height=8, width=16).clip(0, 2)"
    )
    assert imported(code) == set()


@pytest.mark.slow
def test_augmentation_imports_torchvision_for_colour_alone() -> None:
    code = (
        "import torch\n"
        "from mila.data.augment import augment\n"
        "from mila.tasks import CITYSCAPES\n"
        "augment(torch.zeros(1, 1, 3, 8, 16), {}, CITYSCAPES, '%s', 0, 0)"
    )
    assert imported(code % "mtan") == {"torch"}
    assert "torchvision" in imported(code % "default")
