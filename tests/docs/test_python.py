"""Every Python block of the pages runs, and the README's stream predicts what its clip does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.pages import PAGES, blocks, name_of
from tests.support.paths import ROOT

WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_every_block_runs(page: Path) -> None:
    torch.manual_seed(0)
    values: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), values)
    if page == ROOT / "README.md":
        assert set(values["streamed"]) == set(values["predictions"]) == {"segmentation", "depth", "normals"}
        for task, prediction in values["predictions"].items():
            torch.testing.assert_close(values["streamed"][task], prediction, rtol=1e-4, atol=1e-4)


def test_there_are_blocks_to_run() -> None:
    assert {name_of(page) for page in WITH_PYTHON} >= {"README.md", "docs/your_own_method.md"}
