"""`python -m mila export`: one file or graphs; what cannot be done is one sentence, and nothing is half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

import mila
from mila.__main__ import main
from mila.common.user_code import run_source
from mila.model import MILA
from mila.tasks import CITYSCAPES7
from tests.support.imports import imported
from tests.support.saved_models import KEY, METHOD_CODE, SCORE, SMALL, small_mila, write_training


@pytest.mark.parametrize("words", [["--help"], ["export", "--help"]])
def test_help_imports_no_pytorch(words: list[str]) -> None:
    code = f"from mila.__main__ import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
    assert imported(code) == set()


def test_a_score_is_exported_to_a_file_and_that_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_training(tmp_path / "results", small_mila())
    monkeypatch.chdir(tmp_path)
    assert main(["export", SCORE[:6], "model.mila"]) == 0
    assert main(["export", "model.mila", "again.mila"]) == 0
    assert main(["export", f"results/store/train/{KEY}", "third.mila"]) == 0
    assert capsys.readouterr().out.count("street Small, seed 0, 0.") == 3
    assert isinstance(mila.load("again.mila"), MILA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.mila", "model.mila", "results", "third.mila"]


@pytest.mark.slow
def test_both_kinds_of_graphs_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_training(tmp_path, small_mila(multi_frame=False), **SMALL, multi_frame=False)
    words = ["export", KEY, "--results", str(tmp_path), "--onnx", str(tmp_path / "o"), "--torch-export"]
    assert main([*words, str(tmp_path / "t")]) == 0
    out = capsys.readouterr().out
    assert out.count("keyframe, non_keyframe; ") == 2
    assert out.count("Over 7 frames their predictions are within ") == 2
    assert (tmp_path / "o" / "non_keyframe.onnx").is_file()
    assert (tmp_path / "t" / "non_keyframe.pt2").is_file()


def test_what_cannot_be_exported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILA_CACHE", str(tmp_path / "cache"))
    module = run_source(Path("tiny.py"), METHOD_CODE.encode())
    write_training(tmp_path / "results", module.Tiny(CITYSCAPES7), method=METHOD_CODE, scales=(1, 2))
    results = ["--results", str(tmp_path / "results")]
    (tmp_path / "full" / "of").mkdir(parents=True)

    def said(*words: str) -> str:
        assert main(["export", *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error

    assert "say where to export to: a FILE, --onnx FOLDER or --torch-export FOLDER." in said(KEY, *results)
    assert "both say x; give each a folder" in said(KEY, "--onnx", "x", "--torch-export", "x")
    assert "full is there already; give the name of a new folder" in said(KEY, "--onnx", str(tmp_path / "full"))
    assert "has no stage 'ff'" in said("ff", "x", *results)
    assert "modle.mila is neither a file nor a hash; give a file of `mila export`" in said("modle.mila", "x")
    assert "none is neither a folder of results nor a file" in said(KEY, "x", "--results", "none")
    assert "read it first, and if you trust it, give trust_code=True (--trust-code)." in said(KEY, "x", *results)
    out = tmp_path / "out"
    assert main(["export", KEY, str(out), "--trust-code", *results]) == 0
    assert "as code=PATH (--code PATH)." in said(str(out), "x")
    for there in ("full", "out"):
        assert f"{there} is there already; give another name, or delete" in said(KEY, str(tmp_path / there), *results)
    monkeypatch.setattr("mila.streaming.onnx_files.find_spec", lambda _: None)
    assert "pip install onnx onnxscript onnxruntime" in said(KEY, "--onnx", str(tmp_path / "x"), *results)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "out", "results"]
