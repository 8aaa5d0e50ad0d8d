"""Plans, hashes, the store, and the command line: errors, interruption, continuation."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import Timeout
from PIL import Image

from experiments import versions
from experiments.collect import collect
from experiments.execute import run_stage
from experiments.grids.table1 import TABLE1
from experiments.plan import Plan, make_plan
from experiments.profiles import QUICK, SMOKE
from experiments.stages import Data, Evaluate, Stage, Train, in_order
from experiments.store import Store

ROOT = Path(__file__).resolve().parents[1]


def plan(**changes: Any) -> Plan:
    return make_plan(TABLE1, **{"profile": SMOKE, "data": "rooms", "mode": "video", **changes})


# --- stages and their hashes -----------------------------------------------------------------------------------------


def test_table1_is_laid_out_without_repetition() -> None:
    stages = in_order(plan().stages())
    kinds = [stage.kind for stage in stages]
    # constant, single task, slow and fast encoder, MultiNet++, three MILAs; K = 5 offsets where there are keyframes
    assert {kind: kinds.count(kind) for kind in kinds} == {"data": 2, "train": 8, "evaluate": 3 + 4 * 5, "measure": 6}
    place = {stage.key: i for i, stage in enumerate(stages)}
    assert all(place[needed.key] < place[stage.key] for stage in stages for needed in stage.needs)
    assert [row.label for row in plan().rows if not row.evaluations] == [
        "MTAN-SegNet",
        "Cross-Stitch-SegNet",
        "MTAN*",
        "Cross-Stitch*",
    ]


def test_the_multi_task_row_is_the_slow_encoder_of_the_others() -> None:
    rows = {row.label: row for row in plan().rows}
    multi_task = rows["D101-MultiTask"].evaluations[0][0].train
    for label in ("MultiNet++*", "MILA w/o MF&TS", "MILA w/o TS", "MILA (ours)"):
        starts = {start.ours: start.stage for start in rows[label].evaluations[0][0].train.starts}
        assert starts["slow"].key == multi_task.key
        assert dict(starts["fast"].arguments)["depth"] == SMOKE.fast


def test_cost_is_counted_at_the_papers_size_whatever_the_profile() -> None:
    for profile in (SMOKE, QUICK):
        measure = {row.label: row.measure for row in plan(profile=profile).rows}["MILA (ours)"]
        assert measure is not None
        assert measure.config()["size"] == [288, 384]
        assert measure.config()["arguments"] == {"slow": 101, "fast": 18, "keyframe_interval": 5}


def test_seeds_multiply_trainings_and_their_scores() -> None:
    one, three = (in_order(plan(seeds=seeds).stages()) for seeds in ((0,), (0, 1, 2)))
    count = {n: sum(isinstance(s, kind) for s in three) for n, kind in (("train", Train), ("data", Data))}
    assert count == {"train": 3 * 7 + 1, "data": 2}
    assert {s.key for s in one} < {s.key for s in three}


def test_hash_covers_what_matters_and_nothing_else() -> None:
    stage = plan().rows[-2].evaluations[0][3]
    assert isinstance(stage, Evaluate)
    assert replace(stage, title="another name").key == stage.key
    assert plan().rows[-2].evaluations[0][3].key == stage.key
    train = stage.train
    assert train.schedule is not None
    different = [
        replace(stage, offset=2),
        replace(stage, train=replace(train, seed=1)),
        replace(stage, train=replace(train, schedule=replace(train.schedule, lr=3e-4))),
        replace(stage, train=replace(train, arguments=(("slow", 18), ("fast", 18)))),
        replace(stage, train=replace(train, starts=())),
        replace(stage, data=replace(stage.data, source=replace(stage.data.source, clips=5))),
        replace(stage, data=replace(stage.data, source=replace(stage.data.source, split="val"))),
    ]
    assert len({s.key for s in (stage, *different)}) == len(different) + 1


def test_hash_covers_the_code_that_runs_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "houseparty"
    package.mkdir()
    for name, text in {"__init__": "", "a": "from houseparty import b", "b": "x = 1", "c": "y = 1"}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(versions, "_PACKAGES", ("houseparty",))

    def digest() -> str:
        versions.code_digest.cache_clear()
        return versions.code_digest("houseparty.a")

    before = digest()
    (package / "c.py").write_text("y = 2")
    assert digest() == before
    (package / "b.py").write_text("x = 2")
    assert digest() != before
    versions.code_digest.cache_clear()


def test_training_depends_on_the_code_of_its_model_and_of_no_other() -> None:
    mila_code = versions.code_digest("mila.model")
    assert mila_code != versions.code_digest("baselines.multi_task")
    source = (ROOT / "mila" / "model.py").read_text()
    assert "baselines" not in source


# --- the store -------------------------------------------------------------------------------------------------------


def test_state_is_read_off_the_disk(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), plan().rows[0].evaluations[0][0]
    assert store.state(stage) == "waiting"
    store.begin(stage)
    store.fail(stage, "no luck")
    assert Store(tmp_path).state(stage) == "failed"
    store.begin(stage)
    assert store.state(stage) == "waiting"
    store.finish(stage, {"metrics": {}}, seconds=1.5, finished="2026-01-01T00:00:00+00:00", environment={})
    assert Store(tmp_path).state(stage) == "done"
    assert store.record(stage).seconds == 1.5
    assert store.record(stage).stage["title"] == stage.title
    assert store.earlier_seconds() == {("evaluate", stage.title): 1.5}


def test_a_new_attempt_forgets_what_a_kill_left(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), plan().rows[0].evaluations[0][0]
    folder = store.begin(stage)
    (folder / ".model.pt.x7").write_bytes(b"half")
    (folder / "checkpoint.pt").write_bytes(b"whole")
    store.begin(stage)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.pt", "stage.json"]


def test_errors_are_kept_and_never_raised(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), plan().rows[0].evaluations[0][0]
    outcome = run_stage(stage, store, "cpu")  # nothing that it needs is there
    assert outcome.bad_input
    assert "not a finished packed data set" in (outcome.error or "")
    assert store.state(stage) == "failed"
    (tmp_path / "file").write_text("")
    outcome = run_stage(stage, Store(tmp_path / "file"), "cpu")
    assert outcome.error is not None
    assert not outcome.bad_input


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = run(*SMOKE_RUN, "--results", str(tmp_path / "file"), code=2).stderr
    assert error.startswith("error: results cannot be written to")


def test_one_stage_has_one_worker(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), plan().rows[0].evaluations[0][0]
    with store.lock(stage), pytest.raises(Timeout):
        store.lock(stage).acquire(timeout=0.05)


def finish(store: Store, stage: Stage, result: dict[str, Any]) -> None:
    store.begin(stage)
    store.finish(stage, result, seconds=1.0, finished="2026-01-01T00:00:00+00:00", environment={})


def test_a_row_is_the_mean_over_offsets_then_over_seeds(tmp_path: Path) -> None:
    store, seeds = Store(tmp_path), (0, 1)
    row = plan(seeds=seeds).rows[-2]
    for seed, evaluations in enumerate(row.evaluations):
        finish(store, evaluations[0].train, {"curve": []})
        for evaluation in evaluations:
            finish(store, evaluation, {"metrics": {"miou": 0.1 * seed + 0.01 * evaluation.offset}})
    value = collect(plan(seeds=seeds), store)[-2].values["miou"]
    assert value.mean == pytest.approx(0.02 + 0.05)
    assert value.std == pytest.approx(np.std([0.02, 0.12], ddof=1))
    assert value.seeds == 2
    assert value.by_offset == pytest.approx([0.05 + 0.01 * o for o in range(5)])
    # Without one of its offsets a seed does not count.
    (store.folder(row.evaluations[1][4]) / "record.json").unlink()
    result = collect(plan(seeds=seeds), store)[-2]
    assert result.values["miou"].seeds == 1
    assert result.values["miou"].std is None
    assert result.missing == "1 of 2 seeds run"
    assert collect(plan(), store)[2].missing == "not built yet"


# --- the command line ------------------------------------------------------------------------------------------------


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "experiments" / "run.py"), *words]


def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words), capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_help_and_list_name_everything() -> None:
    text = run("--help").stdout
    for option in ("--list", "--grid", "--profile", "--data", "--data-root", "--seeds", "--dry-run"):
        assert option in text
    text = run("--list").stdout
    for name in ("table1", "quick", "smoke", "rooms", "street", "nyuv2", "cityscapes"):
        assert name in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say what to run with --grid"),
        (["--grid", "table99"], "there is no grid 'table99'; choose one of: table1"),
        (["--grid", "table1", "--profile", "huge"], "there is no profile 'huge'"),
        (["--grid", "table1", "--data", "kitti"], "there is no data set 'kitti'"),
        (["--grid", "table1", "--data", "street"], "'street' has those of 'cityscapes'"),
        (["--grid", "table1", "--data", "nyuv2"], "say where it lies with --data-root"),
        (["--grid", "table1", "--data", "nyuv2", "--data-root", "no/such folder"], "no/such folder"),
        (["--grid", "table1", "--data-root", "."], "leave it out"),
        (["--grid", "table1", "--mode", "still"], "no clips of mode 'still'"),
        (["--grid", "table1", "--seeds", "1", "1"], "--seeds takes different numbers"),
        (["--grid", "table1", "--jobs", "0"], "--jobs takes a number"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(words: list[str], sentence: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    error = run(*words, "--results", str(results), code=2).stderr
    assert sentence in error
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert not results.exists()


def nyu(folder: Path, images: int = 8) -> Path:
    """A folder in the plain NYUv2 layout: slanted coloured planes."""
    for name in ("rgb", "depth", "labels13"):
        (folder / name).mkdir(parents=True)
    y, x = np.mgrid[:120, :160]
    for i in range(images):
        depth = 40 + x // (2 + i % 3) + y // 4
        rgb = np.stack([x + 10 * i, y + 60, (x + y) // 2], -1) % 256
        Image.fromarray(rgb.astype(np.uint8)).save(folder / "rgb" / f"{i:04d}.jpg")
        Image.fromarray(depth.astype(np.uint8)).save(folder / "depth" / f"{i:04d}.png")
        Image.fromarray((1 + (x // 20 + i) % 13).astype(np.uint8)).save(folder / "labels13" / f"{i:04d}.png")
    (folder / "train.txt").write_text("\n".join(str(i) for i in range(images - 3)))
    (folder / "test.txt").write_text("\n".join(str(i) for i in range(images - 3, images)))
    return folder


def test_an_unreadable_image_ends_the_run_with_its_name(tmp_path: Path) -> None:
    data, results = nyu(tmp_path / "données NYU"), tmp_path / "results"
    image = data / "rgb" / "0002.jpg"
    image.write_bytes(image.read_bytes()[:500])
    words = ("--grid", "table1", "--profile", "smoke", "--data", "nyuv2", "--data-root", str(data))
    error = run(*words, "--results", str(results), code=2).stderr
    assert "0002.jpg" in error
    assert "Traceback" not in error
    assert not (results / "reports").exists()
    assert not list(results.glob("store/train/*/record.json"))
    image.write_bytes(image.with_name("0001.jpg").read_bytes())
    assert "rooms" not in run(*words, "--results", str(results)).stdout
    assert (results / "reports" / "table1-nyuv2-smoke.csv").is_file()


def records(results: Path) -> dict[str, Any]:
    """What every stage computed, by its folder."""
    return {p.parent.name: json.loads(p.read_text())["result"] for p in results.glob("store/*/*/record.json")}


SMOKE_RUN = ("--grid", "table1", "--profile", "smoke")


def ends(group: int, seconds: float) -> bool:
    """Whether every process of a group ends within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_killed_runs_continue_to_the_same_numbers(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    text = run(*SMOKE_RUN, "--results", str(whole)).stdout
    assert "39 stages run, 0 were done before" in text
    expected = records(whole)
    assert len(expected) == 39

    finished = 0
    for how, enough in ((signal.SIGKILL, 1), (signal.SIGINT, 8), (signal.SIGKILL, 20)):
        runner = subprocess.Popen(
            command(*SMOKE_RUN, "--results", str(part)),
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(records(part)) < enough:
            assert runner.poll() is None
            time.sleep(0.05)
        if how == signal.SIGKILL:
            runner.kill()  # the runner alone: its workers must notice
        else:
            os.killpg(runner.pid, how)  # as Ctrl-C in a terminal
        _, error = runner.communicate(timeout=60)
        if how == signal.SIGINT:
            assert runner.returncode == 130
            assert "the same command continues" in error
        with contextlib.suppress(ProcessLookupError):
            assert ends(runner.pid, 20)
        assert len(records(part)) >= finished
        finished = len(records(part))
        assert not (part / "reports").exists()

    last = run(*SMOKE_RUN, "--results", str(part)).stdout
    assert f"{39 - finished} stages run, {finished} were done before" in last
    assert records(part) == expected

    # A further run does nothing and writes the same report.
    page = part / "reports" / "table1-smoke.html"
    before = page.read_bytes()
    assert "0 stages run, 39 were done before" in run(*SMOKE_RUN, "--results", str(part)).stdout
    assert page.read_bytes() == before
    forecast = run(*SMOKE_RUN, "--results", str(part), "--dry-run").stdout
    assert "0 of 39 stages would run" in forecast
    assert "never run" not in forecast

    # Another model's weights in a stage's folder are noticed, and nothing is scored with them.
    trains = sorted(part.glob("store/train/*/model.pt"))
    trains[0].write_bytes(trains[1].read_bytes())
    for record in part.glob("store/evaluate/*/record.json"):
        record.unlink()
    error = run(*SMOKE_RUN, "--results", str(part), code=2).stderr
    assert f"is a checkpoint of '{trains[1].parent.name}', not of '{trains[0].parent.name}'" in error
    assert "Traceback" not in error
    assert page.read_bytes() == before
