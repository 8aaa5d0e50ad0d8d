"""Fixtures that the tests of faults share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sound_data import LAYOUTS


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each layout in a folder of its name."""
    root = tmp_path_factory.mktemp("sound")
    for name, write in LAYOUTS.items():
        write(root / name)
    return root
