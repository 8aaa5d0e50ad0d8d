"""Checkpoints: written whole or not at all, and read as what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mila.common.checkpoint import load_checkpoint, save_checkpoint
from mila.errors import UserError


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", "somebody", {"model": {}})
    with pytest.raises(UserError, match="is a checkpoint of 'somebody', not of 'me'"):
        load_checkpoint(tmp_path / "c", "me")
    (tmp_path / "torn").write_bytes((tmp_path / "c").read_bytes()[:-20])
    with pytest.raises(UserError, match="torn cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "torn", "me")


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "c", "me", {"step": 1})

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "c", "me", {"step": 2})
    assert load_checkpoint(tmp_path / "c", "me")["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
