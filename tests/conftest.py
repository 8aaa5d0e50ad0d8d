"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import torch

from tests.support.fake_files import write_cities, write_plain

# As the runner's workers: one compute thread a process, also in the processes that tests start. Tests run side by side,
# and their numbers must not depend on the number of cores.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# What files contain and which methods were run is remembered here, not in the cache of whoever runs the tests.
_cache = tempfile.TemporaryDirectory(prefix="mila-cache-")
os.environ["MILA_CACHE"] = _cache.name


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    """`fake_files.write_plain` in a folder whose name has a space and a letter beyond ASCII."""
    return write_plain(tmp_path / "données NYU")


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    """`fake_files.write_cities` likewise."""
    return write_cities(tmp_path / "städte 1")
