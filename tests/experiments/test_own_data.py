"""A data set in a user's file, through the runner: what identifies it, what it is trained and counted for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.commands.options import Options, read_options
from experiments.commands.plans import plans_of
from experiments.commands.run import main
from experiments.models import without_weights
from experiments.plan import Plan
from experiments.slurm.code_copy import snapshot
from experiments.stages import Evaluate, Train, in_order
from mila.common.user_code import load_file
from mila.data.__main__ import main as data_main
from mila.errors import UserError
from mila.tasks import CITYSCAPES, suite_as_json
from reports.pages.index import read_index
from tests.support.camvid import camvid_file, fake_camvid
from tests.support.own_data import own_file
from tests.support.paths import ROOT
from tests.support.smoke_plans import smoke_plan


@pytest.fixture(autouse=True)
def _anew() -> None:
    load_file.cache_clear()


def plans(file: Path, grid: str = "table2", *more: str) -> list[Plan]:
    return plans_of(read_options(["--grid", grid, "--profile", "smoke", "--data", str(file), *more]))


def test_what_the_file_says_counts_and_not_where_it_lies(tmp_path: Path) -> None:
    (here,), (there,) = plans(own_file(tmp_path / "here")), plans(own_file(tmp_path / "there"))
    keys = [stage.key for stage in in_order(here.stages())]
    assert keys == [stage.key for stage in in_order(there.stages())]
    (changed,) = plans(own_file(tmp_path / "changed", ("drawn.uniform(1, 90", "drawn.uniform(1, 80")))
    assert not {changed.train_data.key, changed.test_data.key} & set(keys)
    _, (copy,) = snapshot(tmp_path / "code", [tmp_path / "here" / "mine.py"])  # what jobs of a cluster read
    (in_job,) = plans(copy, "table2", "--data-root", str(tmp_path))
    assert [stage.key for stage in in_order(in_job.stages())] == keys


def test_costs_are_counted_for_its_tasks_at_its_size(tmp_path: Path) -> None:
    (plan,) = plans(own_file(tmp_path))
    measure = plan.rows[-2].measure
    assert measure is not None
    assert measure.suite == plan.suite
    assert measure.config()["size"] == [64, 96]
    assert measure.config()["tasks"] == suite_as_json(plan.suite)["tasks"]
    paper = smoke_plan(grid=plan.grid, data="street").rows[-2].measure
    assert paper is not None
    assert paper.suite == CITYSCAPES
    assert paper.config() == {
        **{name: measure.config()[name] for name in ("model", "arguments")},
        "suite": "cityscapes",
        "size": [256, 512],
    }


def test_it_starts_from_the_world_that_it_says_it_is_like(tmp_path: Path) -> None:
    (plan,) = plans_of(Options(grid="table6a", data=str(own_file(tmp_path))))
    stages = in_order(plan.stages())
    given = {value for s in stages if isinstance(s, Train) for n, value in s.arguments if n.endswith("weights")}
    assert {str(value).split("-")[0] for value in given if value} == {"rooms"}
    assert {flow.data.source.name for flow in plan.flow} == {"rooms"}
    assert all(without_weights(s.arguments) for s in stages if isinstance(s, Train) and s.model == "mila")


def test_every_grid_fits_and_the_same_rows_come_once(tmp_path: Path) -> None:
    file = own_file(tmp_path)
    assert [plan.grid.name for plan in plans(file, "table6")] == ["table6a"]
    assert [plan.grid.name for plan in plans(file, "table6b")] == ["table6b"]
    names = [plan.grid.name for plan in plans(file, "all")]
    assert {f"table{n}" for n in (1, 2, 3, 4, 5, 8, 9, 10, 11)} | {"figure1", "figure7", "figure8"} <= set(names)
    assert len(names) == len(set(names))


def test_the_split_to_choose_on_is_the_file_s(tmp_path: Path) -> None:
    file, root = camvid_file(tmp_path), fake_camvid(tmp_path / "data")
    (plan,) = plans(file, "ablation_mimicry", "--data-root", str(root))
    assert plan.test_data.manifest["split"] == "val"
    with pytest.raises(UserError, match=r"mine \(mine\.py\): its test split is the one that is scored .*none is left"):
        plans(own_file(tmp_path), "ablation_mimicry")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--suite", "nyuv2"], "mine.py has the tasks 'mine' and no others; leave --suite out."),
        (["--mode", "pan"], "'mine' has no clips of mode 'pan'; choose one of: video."),
        (["--grid", "table99"], "there is no grid 'table99'"),
    ],
)
def test_options_that_do_not_go_with_it(words: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        plans(own_file(tmp_path), "table1", *words)


@pytest.mark.parametrize("name", ["missing.py", "folder.py"])
def test_a_file_that_is_not_there_is_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.py").mkdir()
    assert main(["--grid", "table1", "--data", str(tmp_path / name), "--results", str(tmp_path / "results")]) == 2
    said = f"error: --data {tmp_path / name}: there is no such Python file; give the path of one"
    assert capsys.readouterr().err == f"{said} (docs/add_a_data_set.md).\n"
    assert not (tmp_path / "results").exists()


def test_what_is_wrong_with_its_clips_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = own_file(tmp_path, ("labels.astype(np.int64)", "labels.astype(np.int64) + 5"))
    assert main(["--grid", "table2", "--data", str(file), "--results", str(tmp_path / "results")]) == 2
    assert f"error: {file}: clip 0 of train: label 6 is none of 0 to 1, nor -1" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_camvid_from_its_files_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What docs/add_a_data_set.md shows: inspected, prepared, trained, scored, and on a page that compares nothing."""
    file, root, store = camvid_file(tmp_path), fake_camvid(tmp_path / "data"), tmp_path / "store"
    assert len(file.read_text(encoding="utf-8").splitlines()) < 80
    size, own = ["--height", "45", "--width", "60"], ["--data", str(file)]
    assert data_main(["inspect", *own, str(root), *size, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet-test.png").is_file()
    assert data_main(["prepare", *own, str(root), str(store), *size]) == 0
    assert data_main(["inspect", str(store), "--no-sheet"]) == 0  # without the file
    said = capsys.readouterr().out
    assert "test: 7 of 8 images have frames before them." in said
    assert f"{store} is ready: give it to experiments/run.py as --data-root, with --data {file}." in said
    results = tmp_path / "results"
    words = ["--grid", "table2", "--profile", "smoke", *own, "--rows", "MILA (ours)", "--results", str(results)]
    assert main([*words, "--data-root", str(store), "--jobs", "1"]) == 0
    (entry,) = read_index(results / "reports").real
    assert entry.page == "table2-data-camvid-smoke.html"
    assert not list((results / "reports").glob("claims*"))
    page = (results / "reports" / entry.page).read_text(encoding="utf-8")
    assert "data of your own: camvid, 7 of 8 images have frames before them – not on Cityscapes" in page
    scores = [p.parent.name for p in sorted((results / "store" / Evaluate.kind).glob("*/record.json"))]
    record = json.loads((results / "store" / Evaluate.kind / scores[0] / "record.json").read_text(encoding="utf-8"))
    assert 0 <= record["result"]["metrics"]["miou"] <= 1
    assert main(["--verify", scores[0], "--results", str(results)]) == 0  # its hash is enough
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert main(["--verify", scores[0], "--results", str(results)]) == 2
    assert "read by a file that you have not run as it is now; if you trust it, add --data" in capsys.readouterr().err


@pytest.mark.slow
def test_the_file_may_be_a_script_that_runs_itself(tmp_path: Path) -> None:
    """Its workers, which start anew, find the data as well."""
    file, results = own_file(tmp_path), tmp_path / "results"
    words = ["--grid", "table2", "--profile", "smoke", "--rows", "D101-MultiTask", "--jobs", "2"]
    script = f"""

if __name__ == "__main__":
    from experiments.commands.run import main

    raise SystemExit(main([*{words!r}, "--data", __file__, "--results", {str(results)!r}]))
"""
    file.write_text(file.read_text(encoding="utf-8") + script, encoding="utf-8")
    own = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, file.name], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (results / "reports" / "table2-data-mine-smoke.html").is_file()
