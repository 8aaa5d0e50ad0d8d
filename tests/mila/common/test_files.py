"""Atomic writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mila.common.files import check_place, write_text
from mila.errors import UserError


def test_written_files_have_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "atomic", "x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["atomic", "plain"]


def test_a_place_where_nothing_can_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, why in (("file/clip.mp4", "Not a directory"), ("a" * 300, "File name too long")):
        with pytest.raises(UserError, match=rf"nothing can be written to {tmp_path / name} \({why}\); give another"):
            check_place(tmp_path / name)
    check_place(tmp_path / "new" / "deep" / "clip.mp4")
    check_place(tmp_path / "file")  # there, and in a folder that can be written to
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
