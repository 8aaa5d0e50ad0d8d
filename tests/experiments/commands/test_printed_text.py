"""What commands print is what there is: brackets are no markup, and no encoding of the output ends a command."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.commands.run import main
from experiments.grids.multi_task import TABLE1
from experiments.store import Store
from mila.data.__main__ import main as data_main
from tests.support.fake_results import fill, plan_of

LABEL = "a[/q] [red]:smile:"
FOLDER = "run [v2] [/bold]"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results of one row with a label in brackets."""
    plan = plan_of(0, grid=replace(TABLE1, rows=(replace(TABLE1.rows[0], label=LABEL),)))
    fill(Store(tmp_path / FOLDER / "store"), plan)
    return tmp_path / FOLDER


def test_show_and_clean_print_brackets_as_they_are(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = next(
        path.parent
        for path in results.glob("store/train/*/stage.json")
        if LABEL in json.loads(path.read_text())["title"]
    )
    assert main(["--show", training.name, "--results", str(results)]) == 0
    printed = capsys.readouterr().out
    assert f"{LABEL}, seed 0" in printed.splitlines()[0]
    assert f"folder   {training.resolve()}" in printed
    (training / "record.json").unlink()
    assert main(["--clean", "--yes", "--results", str(results)]) == 0
    assert LABEL in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_every_encoding_of_the_output_will_do(results: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding, errors="strict"))
    words = ["--grid", "table1", "--profile", "smoke", "--report", "--results", str(results)]
    assert main(words) == 0
    sys.stdout.flush()
    printed = out.getvalue().decode(encoding)
    assert "MEASURED on procedural videos (rooms)" in printed
    assert "COST at 288 " in printed
    assert f"Report: {results.resolve()}/reports/table1-smoke.html" in printed


@pytest.mark.slow
def test_data_sets_are_inspected_and_prepared_below_such_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, store = tmp_path / FOLDER, tmp_path / f"{FOLDER} store"
    size = ["--height", "64", "--width", "128"]
    assert data_main(["export", "street", str(root), "--train", "2", "--test", "2", *size]) == 0
    assert data_main(["prepare", str(root), str(store), *size, "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"{root} is ready" in printed
    assert f"{store} is ready" in printed
