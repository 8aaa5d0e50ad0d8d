"""Checkpoints: written whole or not at all, and read as what they are."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
import torch

from mila.common.checkpoint import load_checkpoint, save_checkpoint
from mila.common.files import file_digest
from mila.errors import UserError


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", "somebody", {"model": {}})
    with pytest.raises(UserError, match="is a checkpoint of 'somebody', not of 'me'"):
        load_checkpoint(tmp_path / "c", "me")
    (tmp_path / "torn").write_bytes((tmp_path / "c").read_bytes()[:-20])
    with pytest.raises(UserError, match="torn cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "torn", "me")


@pytest.mark.parametrize("known", [False, True])
def test_one_flipped_bit_is_noticed(known: bool, tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, "me", {"model": {"w": torch.full((1000,), 1.5)}})
    digest = file_digest(path) if known else None
    assert load_checkpoint(path, "me", digest)["model"]["w"].sum() == 1500
    content = bytearray(path.read_bytes())
    place = content.index(torch.full((9,), 1.5).numpy().tobytes()) + 400
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"c cannot be read .*not what was written there\); delete {tmp_path} to"):
        load_checkpoint(path, "me", digest)


class Planted:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


@pytest.mark.parametrize("how", ["object", "text", "pickle", "list", "folder"])
def test_what_is_no_checkpoint_is_refused_in_one_sentence_of_ours(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c"
    if how == "object":
        torch.save({"identity": "me", "model": Planted()}, path)
    elif how == "list":
        torch.save([1, 2], path)
    elif how == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"not a checkpoint" if how == "text" else pickle.dumps({"identity": "me", "x": Planted()}))
    for digest in (None, "0" * 64):
        with pytest.raises(UserError) as caught:
            load_checkpoint(path, "me", digest)
        (sentence,) = str(caught.value).splitlines()
        assert sentence.startswith(f"{path} cannot be read")
        for word in ("weights_only", "torch", "WeightsUnpickler", "Errno"):
            assert word not in sentence
    assert capsys.readouterr().out == ""


def test_what_the_system_refuses_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "c", "me", {})

    def refuse(error: BaseException) -> None:
        def load(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(torch, "load", load)

    refuse(OSError(errno.EMFILE, "Too many open files"))
    with pytest.raises(UserError, match=r"c cannot be opened, for too many files are open; allow more") as caught:
        load_checkpoint(tmp_path / "c", "me")
    assert "delete" not in str(caught.value)
    refuse(MemoryError())
    with pytest.raises(MemoryError):
        load_checkpoint(tmp_path / "c", "me")


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "c", "me", {"step": 1})

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "c", "me", {"step": 2})
    assert load_checkpoint(tmp_path / "c", "me")["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
