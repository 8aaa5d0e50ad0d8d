"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_files import write_cities, write_plain


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    """`made_files.write_plain` in a folder whose name has a space and a letter beyond ASCII."""
    return write_plain(tmp_path / "données NYU")


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    """`made_files.write_cities` likewise."""
    return write_cities(tmp_path / "städte 1")
