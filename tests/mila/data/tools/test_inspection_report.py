"""The printed summary of an inspection."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mila.data.tools.inspection import Inspection, inspect
from mila.data.tools.inspection_report import print_inspection
from tests.support.inspection import SMALL, write_snippets


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    return write_snippets(tmp_path / "städte 1")


def printed(inspection: Inspection, width: int = 80, **options: Any) -> list[str]:
    file = io.StringIO()
    print_inspection(inspection, Console(file=file, width=width), **options)
    return file.getvalue().splitlines()


def test_the_summary(cities: Path) -> None:
    lines = printed(inspect(cities, **SMALL))
    assert lines[:2] == ["Cityscapes, official folders", str(cities)]
    assert "tasks  cityscapes (labels, depth); there are also cityscapes-metres, cityscapes19" in lines
    assert "clips  video; there are also pan, still" in lines
    assert [line.split() for line in lines if line.startswith("train")] == [["train", "5", "100", "19", "19", "5", "5"]]
    assert lines[-1] == "Everything that the splits name is there and reads well."


def test_the_summary_of_what_is_wrong(cities: Path) -> None:
    sound = inspect(cities, **SMALL)
    problems = tuple(f"{cities}/[red]file {i:03d}.png{'x' * 90} is broken; mend it." for i in range(60))
    strays = tuple(f"disparity/{i:02d}.txt" for i in range(12))
    split = replace(sound.splits[0], matched=3)
    found = replace(sound, problems=problems, strays=strays, unlabelled=1, splits=(split,))
    lines = printed(found)
    assert [line for line in lines if "broken" in line] == list(problems[:50])  # whole, and as they are
    assert "... and 10 more; --all lists them." in lines
    assert [line for line in lines if line.startswith("disparity/")] == list(strays[:10])
    assert "12 files have no official name and are not read:" in lines
    assert "1 image without labels: not used." in lines
    assert "train: 3 clips with raw video, 2 without (pans)." in lines
    assert lines[-1] == "60 problems, listed above."
    everything = printed(found, every=True)
    assert [line for line in everything if "broken" in line] == list(problems)
    assert [line for line in everything if line.startswith("disparity/")] == list(strays)
    assert not any("more;" in line for line in everything)
    assert printed(replace(found, problems=problems[:1]))[-1] == "1 problem, listed above."
