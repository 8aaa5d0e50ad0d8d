"""Trained models are read from folders of results by their hashes; what is wrong there is one sentence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mila
from mila.common.stored_files import checksum
from mila.common.trusted import remember
from mila.common.user_code import run_source
from mila.errors import UserError
from mila.model import MILA
from mila.streaming.description import DESCRIPTION, METHOD
from mila.streaming.saved import describe, open_model
from mila.tasks import CITYSCAPES7
from tests.support.fake_models import fake_video
from tests.support.saved_models import KEY, METHOD_CODE, SCORE, finish, small_mila, write_training


@torch.no_grad()
def test_a_training_and_its_score_give_the_trained_model(tmp_path: Path) -> None:
    trained, frames = small_mila(), fake_video(4)
    folder, about = write_training(tmp_path, trained)
    before = torch.get_rng_state()
    names: list[tuple[Path, str | None]] = [(tmp_path, KEY), (tmp_path, SCORE[:5]), (tmp_path / "store", KEY[:4])]
    for run, name in (*names, (folder, None), (folder.parent.parent / "evaluate" / SCORE, None)):
        model, description = open_model(run, name)
        assert isinstance(model, MILA)
        assert not model.training
        assert model.mimicry is None
        assert trained.mimicry is not None
        (expected,) = trained(frames, 2).values()
        torch.testing.assert_close(model(frames, 2)["segmentation"], expected, rtol=0, atol=0)
        made = {"seconds": 12.5, "finished": "2026-01-02T03:04:05+00:00", "environment": {"commit": "0123456789ab"}}
        assert description.provenance == {**about.provenance, **made}
    assert torch.equal(torch.get_rng_state(), before)
    assert describe(tmp_path, KEY).suite == CITYSCAPES7
    assert isinstance(mila.load(str(tmp_path), KEY), MILA)


def test_pytorch_is_imported_when_a_model_is_loaded() -> None:
    code = "import sys, mila, mila.streaming.saved; mila.load; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    with pytest.raises(AttributeError, match="has no attribute 'laod'"):
        mila.laod  # noqa: B018


def test_what_names_no_model_is_said(tmp_path: Path) -> None:
    folder, _ = write_training(tmp_path, small_mila())

    def said(*given: Any) -> str:
        with pytest.raises(UserError) as error:
            describe(*given)
        return str(error.value)

    assert said(tmp_path / "x", KEY).endswith(
        "x is neither a folder of results nor a file of `mila export`; give one of them."
    )
    assert said(tmp_path).endswith("may hold many models; give the hash of a training in it as well.")
    assert said(tmp_path, "ffff").endswith("store has no stage 'ffff'; reports show the hash of each training.")
    assert said(tmp_path, "").endswith("store has no stage ''; reports show the hash of each training.")
    assert said(tmp_path, "../").endswith("has no stage '../'; reports show the hash of each training.")
    assert "is of the kind 'data' and has no model; give the hash of a training or of a score." in said(tmp_path, "00")
    (tmp_path / "store" / "train" / KEY).rename(tmp_path / "store" / "train" / ("7" + KEY[1:]))
    assert said(tmp_path, "7").endswith("has 2 stages '7'...; give more digits of the hash.")
    assert said(tmp_path, SCORE).endswith(
        "evaluate/" + SCORE + " is of the kind 'evaluate' and has no model; give the hash of a training or of a score."
    )
    assert not folder.exists()


def test_a_score_leads_nowhere_but_to_a_training(tmp_path: Path) -> None:
    folder, _ = write_training(tmp_path, small_mila())
    about = folder.parent.parent / "evaluate" / SCORE / "stage.json"
    about.write_text(json.dumps({"kind": "evaluate", "needs": [f"../../store/train/{KEY}", 3, None]}))
    with pytest.raises(UserError, match="is of the kind 'evaluate' and has no model"):
        describe(tmp_path, SCORE)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.pt", DESCRIPTION, METHOD, "record.json", "stage.json"])
@pytest.mark.parametrize("damage", [_flip, Path.unlink])
def test_what_is_damaged_is_named(name: str, damage: Callable[[Path], object], tmp_path: Path) -> None:
    tiny = run_source(Path("tiny.py"), METHOD_CODE.encode()).Tiny(CITYSCAPES7)
    folder, _ = write_training(tmp_path, tiny, method=METHOD_CODE, scales=(1, 2))
    damage(folder / name)
    if name == "stage.json" and damage is _flip:
        (folder / name).write_text("[]")
    with pytest.raises(UserError, match=re.escape(f"{folder}")) as error:
        open_model(tmp_path if name != "stage.json" else folder, KEY if name != "stage.json" else None, trust_code=True)
    assert re.search("delete|not finished|cannot be read|give the hash", str(error.value))


def test_runs_that_cannot_be_built_again_are_said(tmp_path: Path) -> None:
    folder, _ = write_training(tmp_path, small_mila())
    path = folder / "record.json"
    record = json.loads(path.read_text())
    del record["files"][DESCRIPTION], record["checksum"]
    path.write_text(json.dumps({**record, "checksum": checksum(record)}))
    with pytest.raises(UserError, match="was trained before trainings kept what builds their model again; delete it"):
        describe(tmp_path, KEY)
    wrong: list[Any] = [{}, {"model.pt": 3}, [], {DESCRIPTION: {}}]
    for files in wrong:
        odd = {**record, "files": files}
        path.write_text(json.dumps({**odd, "checksum": checksum(odd)}))
        with pytest.raises(UserError, match="record.json is not what was written there; delete"):
            describe(tmp_path, KEY)
    path.unlink()
    with pytest.raises(UserError, match="is a training that is not finished; run its command again, which continues"):
        describe(tmp_path, KEY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": "os.path"}, "names os.path, which is no module of the suite; it is not run"),
        ({"code": "milanese"}, "names milanese, which is no module of the suite; it is not run"),
        ({"code": "mila.gone"}, "No module named 'mila.gone'"),
        ({"name": "load"}, "there is no model 'load' in mila.model"),
        ({"name": "Tensor"}, "there is no model 'Tensor' in mila.model"),
        ({"arguments": {"gone": 1}}, "unexpected keyword argument 'gone'"),
        (
            {"arguments": {"keyframe_interval": 0}},
            "use the one that trained it .commit 0123456789ab., or train",
        ),
        ({"arguments": {"slow": 18, "width": 0.0625}}, "do not fit the MILA that this version of the suite builds"),
        (
            {"format": 2},
            "has format 2, and this version of the suite reads 1.; use the version of the suite",
        ),
    ],
)
def test_what_this_version_does_not_build_is_said(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder, _ = write_training(tmp_path, small_mila())
    values = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps({**values, **change}))
    finish(folder)
    with pytest.raises(UserError, match=said):
        mila.load(tmp_path, KEY)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder of results with a method of somebody's own, whose file has not been run in this test."""
    monkeypatch.setenv("MILA_CACHE", str(tmp_path / "cache"))
    module = run_source(Path("tiny.py"), METHOD_CODE.encode())
    write_training(
        tmp_path / "results", module.Tiny(CITYSCAPES7), method=METHOD_CODE, options=module.Options(3), scales=(1, 2)
    )
    run_source.cache_clear()
    capsys.readouterr()
    return tmp_path / "results"


def test_the_source_that_a_training_kept_is_run_for_those_who_trust_it(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = own / "store" / "train" / KEY / METHOD
    with pytest.raises(UserError) as error:
        mila.load(own, KEY)
    assert str(error.value) == (
        f"{kept} would be run, and you have not run it yourself as a --method; read it first, and if you trust it, "
        "give trust_code=True (--trust-code)."
    )
    assert describe(own, KEY).name == "Tiny"
    assert capsys.readouterr().out == ""  # nothing was run
    model: Any = mila.load(own, KEY, trust_code=True)
    assert (model.options.features, model.scales) == (3, (1, 2))
    assert capsys.readouterr().out == "the method's file is run\n"
    assert not list(kept.parent.glob("__pycache__"))
    mine = tmp_path / "mine.py"
    mine.write_text(METHOD_CODE)
    remember([mine])
    assert type(mila.load(own, KEY)).__name__ == "Tiny"  # its content is known
    kept.write_text(METHOD_CODE + "\n")
    finish(kept.parent)
    with pytest.raises(UserError, match="is not what was written there"):  # the description has another digest
        mila.load(own, KEY)


def test_the_source_may_be_given(own: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(METHOD_CODE)
    assert type(mila.load(own, KEY, code=mine)).__name__ == "Tiny"
    mine.write_text(METHOD_CODE + "\n")
    with pytest.raises(UserError, match="mine.py is not the tiny.py that .* was trained with .SHA-256 .*; give that"):
        mila.load(own, KEY, code=mine)
    with pytest.raises(UserError, match="gone.py cannot be read .No such file or directory.; give a Python file"):
        mila.load(own, KEY, code=tmp_path / "gone.py")


def test_models_of_the_suite_take_no_source(tmp_path: Path) -> None:
    write_training(tmp_path, small_mila())
    with pytest.raises(UserError, match=r"holds a model of the suite's own .MILA.; leave x.py out"):
        mila.load(tmp_path, KEY, code="x.py")
