"""Files that the user has run: known by place and content, and copies of them by content alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mila.common.files import file_digest
from mila.common.trusted import is_trusted, is_trusted_content, remember


def test_a_file_is_known_where_it_lies_and_a_copy_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILA_CACHE", str(tmp_path / "cache"))
    mine, copy = tmp_path / "mine.py", tmp_path / "copy.py"
    for path in (mine, copy):
        path.write_text("x = 1\n")
    assert not is_trusted(mine)
    assert not is_trusted_content(file_digest(mine))
    remember([mine])
    assert is_trusted(mine)
    assert not is_trusted(copy)
    assert is_trusted_content(file_digest(copy))
    mine.write_text("x = 2\n")
    assert not is_trusted(mine)
    assert not is_trusted_content(file_digest(mine))
    assert not is_trusted(tmp_path / "gone.py")


def test_where_nothing_can_be_remembered_all_stay_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MILA_CACHE", str(tmp_path / "file"))
    remember([tmp_path / "file"])
    assert not is_trusted(tmp_path / "file")
    assert not is_trusted_content(file_digest(tmp_path / "file"))
