"""Exported files: the same model on the other side, plain values and tensors alone, and no code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mila
from mila.common.checkpoint import save_checkpoint
from mila.common.user_code import run_source
from mila.errors import UserError
from mila.streaming.portable import IDENTITY, write_portable
from mila.streaming.saved import describe, open_model
from mila.tasks import CITYSCAPES7
from tests.support.fake_models import fake_video
from tests.support.saved_models import KEY, METHOD_CODE, small_mila, write_training


@torch.no_grad()
def test_a_model_comes_back_from_one_file(tmp_path: Path) -> None:
    write_training(tmp_path, small_mila())
    model, about = open_model(tmp_path, KEY)
    path = tmp_path / "new folder" / "model.mila"
    write_portable(path, model, about)
    there, description = open_model(path)
    assert description == about == describe(path)
    assert description.provenance["environment"] == {"commit": "0123456789ab"}
    assert not there.training
    frames = fake_video(4)
    torch.testing.assert_close(there(frames, 1), model(frames, 1), rtol=0, atol=0)
    plain = torch.load(path, weights_only=True)
    assert set(plain) == {"identity", "description", "model"}
    assert not [name for name in plain["model"] if name.startswith("mimicry")]
    assert [path.name for path in path.parent.iterdir()] == ["model.mila"]


def test_a_file_of_an_own_method_needs_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = run_source(Path("tiny.py"), METHOD_CODE.encode())
    write_training(tmp_path, module.Tiny(CITYSCAPES7), method=METHOD_CODE, scales=(1, 2))
    path, source = tmp_path / "model.mila", tmp_path / "tiny.py"
    write_portable(path, *open_model(tmp_path, KEY, trust_code=True))
    run_source.cache_clear()
    capsys.readouterr()
    for trust in (False, True):  # there is nothing to trust
        with pytest.raises(UserError) as error:
            mila.load(path, trust_code=trust)
        assert str(error.value) == (
            f"{path} holds the weights of Tiny and not its source; give tiny.py, the file that it was trained with, "
            "as code=PATH (--code PATH)."
        )
    source.write_text(METHOD_CODE.replace("nn.Conv2d", "nn.ConvTranspose2d"))
    with pytest.raises(UserError, match="tiny.py is not the tiny.py that .* was trained with"):
        mila.load(path, code=source)
    assert capsys.readouterr().out == ""
    source.write_text(METHOD_CODE)
    assert type(mila.load(path, code=source)).__name__ == "Tiny"


def test_other_files_are_refused(tmp_path: Path) -> None:
    folder, about = write_training(tmp_path, small_mila())
    again = "export the model again with `mila export`"

    def refuses(path: Path, said: str) -> None:
        with pytest.raises(UserError, match=said):
            describe(path)

    refuses(folder / "model.pt", f"is a checkpoint of a training, which does not say of what model; {again}")
    (tmp_path / "text").write_text("text")
    refuses(tmp_path / "text", f"cannot be read as a file of `mila export` .*; {again}")
    save_checkpoint(tmp_path / "other", IDENTITY, {"description": {"format": 9}, "model": {}})
    refuses(tmp_path / "other", f"it has format 9, and this version of the suite reads 1.; {again}, by this version")
    path = tmp_path / "model.mila"
    write_portable(path, small_mila(mimicry=None), about)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refuses(path, f"cannot be read as a file of `mila export` .*; {again}")
    with pytest.raises(UserError, match="is a file, which holds one model; leave the hash '3f' out"):
        describe(path, "3f")
    with pytest.raises(UserError, match="is a folder; give the name of a file, such as .*model.mila"):
        write_portable(tmp_path, small_mila(), about)
