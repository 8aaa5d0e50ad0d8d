"""Which split of a real data set is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.sources import Source
from mila.errors import UserError
from mila.tasks import CITYSCAPES, NYUV2
from tests.support.fake_files import write_plain


def test_cityscapes_is_scored_on_its_official_val_split(tmp_path: Path) -> None:
    def source(split: Any) -> Source:
        return Source("cityscapes", split, 32, 64, "pan", CITYSCAPES, root=tmp_path)

    for split in ("train", "val", "test"):
        (tmp_path / "gtFine" / split).mkdir(parents=True)
    with pytest.raises(UserError, match="none is left to choose on"):
        source("val").open()
    with pytest.raises(UserError, match="of split val"):
        source("test").open()
    with pytest.raises(UserError, match=r"holds Cityscapes, official folders, but --data is 'nyuv2'; correct one"):
        replace(source("test"), name="nyuv2", suite=NYUV2).open()


def test_plain_folders_may_have_a_split_to_choose_on(tmp_path: Path) -> None:
    source = Source("nyuv2", "val", 24, 32, "pan", NYUV2, root=write_plain(tmp_path))
    with pytest.raises(UserError, match="has no split 'val': NYUd v2, plain folders has train, test"):
        source.open()
    (tmp_path / "val.txt").write_text("1\n", encoding="utf-8")
    found = source.open()
    assert found.manifest()["split"] == "val"
    assert len(found) == 1
