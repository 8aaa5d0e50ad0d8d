"""Exported worlds that the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.data_command import export


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three train snippets and a val snippet of 32 x 64."""
    return export("street", tmp_path_factory.mktemp("data") / "straße 1", 3, 1)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two train clips and a test clip of 36 x 48."""
    return export("rooms", tmp_path_factory.mktemp("data") / "données 2" / "nyu", 2, 1)
