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

from experiments.collect import collect_rows
from experiments.commands.run import main
from experiments.grids import FIGURES, GRIDS, TABLES, find_grids
from experiments.models import build
from experiments.plan import Plan, make_plan
from experiments.profiles import PAPER, QUICK, SMOKE, Profile
from experiments.runner.launch import longest_paths
from experiments.runner.run_stage import run_stage
from experiments.sources import Source
from experiments.stages import Data, Evaluate, Stage, Train, in_order
from experiments.store import Store
from mila.common import versions
from mila.errors import UserError
from mila.schedule import Schedule
from mila.tasks import CITYSCAPES, FLOW, NYUV2
from mila.weighting import make_weighting
from tests.support.paths import ROOT


def plan(**changes: Any) -> Plan:
    return make_plan(**{"grid": GRIDS["table1"], "profile": SMOKE, "data": "rooms", "mode": "video", **changes})


# --- stages and their hashes -----------------------------------------------------------------------------------------


def test_table1_is_laid_out_without_repetition() -> None:
    stages = in_order(plan().stages())
    kinds = [stage.kind for stage in stages]
    # constant, single task, slow and fast encoder, two MTANs, two Cross-Stitches, MultiNet++, three MILAs; four of them
    # with K = 5 offsets
    assert {kind: kinds.count(kind) for kind in kinds} == {"data": 2, "train": 12, "evaluate": 7 + 4 * 5, "measure": 10}
    place = {stage.key: i for i, stage in enumerate(stages)}
    assert all(place[needed.key] < place[stage.key] for stage in stages for needed in stage.needs)


def trains_of(name: str, profile: Profile = SMOKE) -> dict[str, Train]:
    """The training of each row of a grid."""
    grid = GRIDS[name]
    data = "rooms" if grid.suite == NYUV2 else "street"
    return {row.label: row.evaluations[0][0].train for row in plan(grid=grid, data=data, profile=profile).rows}


def test_tables_that_share_a_row_train_it_once() -> None:
    two, six, eight, nine, ten = (trains_of(f"table{n}") for n in ("2", "6a", "8", "9", "10"))
    for ours, theirs in (
        (eight["MTAN-SegNet"], two["MTAN-SegNet"]),
        (eight["MTAN-ResNet101"], two["MTAN*"]),
        (eight["Cross-Stitch-ResNet101"], two["Cross-Stitch*"]),
        (six["ILA (ours)"], two["MILA w/o MF&TS"]),
        (nine["Equal"], two["MILA (ours)"]),
        (ten["D101-Multi"], two["D101-MultiTask"]),
        (ten["D18-Multi"], nine["Equal"].starts[1].stage),
    ):
        assert ours.key == theirs.key
    assert trains_of("table6b")["ILA (ours)"].key == trains_of("table1")["MILA w/o MF&TS"].key
    three, four = trains_of("table3"), trains_of("table4")
    assert three["ILA, L1, adversarial"].key == two["MILA w/o MF&TS"].key
    assert four["5 × 5"].key == two["MILA (ours)"].key
    assert len({train.key for train in (*three.values(), *four.values())}) == 11  # with the constant


def test_longer_intervals_get_longer_clips_and_more_offsets() -> None:
    whole = plan(grid=GRIDS["table5"], data="street")
    assert whole.test_data.length == 11
    assert whole.suite.name == "cityscapes7"
    offsets = {row.label: len(row.evaluations[0]) for row in whole.rows}
    assert offsets["D101-18, K = 5, ILA (ours)"] == 5
    assert offsets["D101-34, K = 10, optical flow (Accel)"] == 10
    cost = {row.label: row.measure for row in whole.rows}["D101-34, K = 10, ILA (ours)"]
    assert cost is not None
    assert (cost.suite, dict(cost.arguments)["fast"]) == ("cityscapes19", 34)


def test_grids_are_found_by_number_and_by_what_they_are_about() -> None:
    assert find_grids("ablation_window") == find_grids("table4") == (GRIDS["table4"],)
    assert find_grids("propagation_keyframe_interval") == (GRIDS["table5"], GRIDS["table11"])
    assert set(find_grids("all")) == {grid for grids in (TABLES | FIGURES).values() for grid in grids}
    with pytest.raises(UserError, match="there is no grid 'table99'; choose one of: table1, .*ablation_window"):
        find_grids("table99")


def test_the_papers_protocol() -> None:
    whole = make_plan(GRIDS["table2"], PAPER, "street", mode="video")
    trains = {t.title: t for t in in_order(whole.stages()) if isinstance(t, Train)}
    single, ours = trains["street D101-SingleTask, seed 0"], trains["street MILA (ours), seed 0"]
    assert dict(single.arguments)["weights"] == "ResNet101_Weights.IMAGENET1K_V1"
    assert dict(single.arguments)["depth"] == 101
    assert not [name for name in dict(ours.arguments) if "weights" in name]  # it starts from encoders trained here
    assert dict(ours.starts[1].stage.arguments)["weights"] == "ResNet18_Weights.IMAGENET1K_V1"
    for train in (single, ours):
        assert train.schedule == Schedule(epochs=50, batch=4, lr=1e-4, betas=(0.9, 0.99), decay="step")
        assert train.states(2975) == (*(f"epoch-{epoch:04d}.pt" for epoch in range(41, 50)), "model.pt")
    assert (whole.test_data.source.height, whole.test_data.source.width) == (256, 512)
    assert dict(ours.arguments)["width"] == 1


def test_scores_are_means_over_the_last_epochs(tmp_path: Path) -> None:
    short = replace(SMOKE, encoder=replace(SMOKE.encoder, epochs=3), last_epochs=2)
    whole = plan(profile=short)
    (score,) = next(row for row in whole.rows if row.label == "D101-MultiTask").evaluations[0]
    store = Store(tmp_path)
    for stage in in_order([score]):
        assert run_stage(stage, store, "cpu").error is None
    states = store.record(score).result["states"]
    assert list(states) == ["epoch-0002.pt", "model.pt"]
    assert states["epoch-0002.pt"] != states["model.pt"]
    for name, value in store.record(score).result["metrics"].items():
        assert value == pytest.approx((states["epoch-0002.pt"][name] + states["model.pt"][name]) / 2, nan_ok=True)


def test_rows_start_from_the_encoders_of_appendix_a() -> None:
    rows = trains_of("table1")
    multi, single = rows["D101-MultiTask"].key, rows["D101-SingleTask"].key
    for label in ("MultiNet++*", "MILA w/o MF&TS", "MILA w/o TS", "MILA (ours)"):
        starts = {start.ours: start.stage for start in rows[label].starts}
        assert starts["slow"].key == multi
        assert dict(starts["fast"].arguments)["depth"] == SMOKE.depths[18]
        assert starts["decoders"].key == starts["fast"].key
    assert {s.stage.key for s in rows["MTAN*"].starts} == {multi}
    assert {s.stage.key for s in rows["Cross-Stitch*"].starts} == {single}
    for label in ("D101-SingleTask", "D101-MultiTask", "MTAN-SegNet", "Cross-Stitch-SegNet"):
        assert rows[label].starts == ()
        assert rows[label].schedule == SMOKE.encoder
    assert rows["MTAN*"].schedule == SMOKE.method


def test_augmentation_is_the_profiles_and_for_clips_with_targets_of_the_tasks() -> None:
    rows = trains_of("table6b", replace(SMOKE, augmentation="default"))
    trained = {t.title: t for row in rows.values() for t in (row, *(start.stage for start in row.starts))}
    assert {title: t.augmentation for title, t in trained.items()} == {
        title: "none" if "FlowNet" in title or "constant" in title else "default" for title in trained
    }


def test_cityscapes_is_scored_on_its_official_val_split(tmp_path: Path) -> None:
    def source(split: Any) -> Source:
        return Source("cityscapes", split, 32, 64, "pan", CITYSCAPES, None, tmp_path)

    for split in ("train", "val", "test"):
        (tmp_path / "gtFine" / split).mkdir(parents=True)
    with pytest.raises(UserError, match="none is left to choose on"):
        source("val").open()
    with pytest.raises(UserError, match="of split val"):
        source("test").open()
    with pytest.raises(UserError, match=r"holds Cityscapes, official folders, but --data is 'nyuv2'; correct one"):
        replace(source("test"), name="nyuv2", suite=NYUV2).open()


def test_flow_rows_start_from_flownet_trained_on_the_worlds_exact_flow() -> None:
    for name, world in (("table6a", "street"), ("table6b", "rooms")):
        rows = trains_of(name)
        for label in ("Optical flow, warping", "Accel: flow, score fusion"):
            (flow,) = (start.stage for start in rows[label].starts if start.stage.model == "flownet")
            assert flow.data.source.suite == FLOW
            assert flow.data.source.name == world
            assert flow.data.source.split == "train"
        whole = plan(grid=GRIDS[name], data=world)
        assert [(e.train.key, e.data.source.split) for e in whole.flow] == [(flow.key, "test")]
        assert not [s for s in whole.stages(["SVC"]) if isinstance(s, Evaluate) and s.data.source.suite == FLOW]


def test_slow_only_rows_have_the_papers_depths_in_their_order() -> None:
    rows = trains_of("table10", QUICK)
    depths = [dict(rows[f"D{d}-Multi"].arguments)["depth"] for d in (101, 50, 18)]
    assert depths == [QUICK.depths[d] for d in (101, 50, 18)] == sorted(depths, reverse=True)
    ours = dict(rows["D50-Multi + Ours"].arguments)
    assert (ours["slow"], ours["fast"], ours["keyframe_interval"]) == (QUICK.depths[50], None, 1)


@pytest.mark.parametrize("name", GRIDS)
def test_every_row_of_every_grid_builds_at_its_sizes_and_takes_its_starts(name: str) -> None:
    for train in trains_of(name).values():
        model = build(train.model, train.data.source.suite, dict(train.arguments))
        for start in train.starts:
            theirs = build(start.stage.model, start.stage.data.source.suite, dict(start.stage.arguments))
            state = theirs.get_submodule(start.theirs).state_dict()
            model.get_submodule(start.ours).load_state_dict(state)
        if train.schedule is not None:
            assert make_weighting(train.weighting, [t.name for t in model.suite.tasks]) is not None


def test_cost_is_counted_at_the_papers_size_whatever_the_profile() -> None:
    for profile in (SMOKE, QUICK):
        measure = {row.label: row.measure for row in plan(profile=profile).rows}["MILA (ours)"]
        assert measure is not None
        assert measure.config()["size"] == [288, 384]
        assert measure.config()["arguments"] == {"slow": 101, "fast": 18, "keyframe_interval": 5}  # the paper's


def test_seeds_multiply_trainings_and_their_scores() -> None:
    one, three = (in_order(plan(seeds=seeds).stages()) for seeds in ((0,), (0, 1, 2)))
    count = {n: sum(isinstance(s, kind) for s in three) for n, kind in (("train", Train), ("data", Data))}
    assert count == {"train": 3 * 11 + 1, "data": 2}
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
        replace(stage, train=replace(train, weighting="dwa")),
        replace(stage, train=replace(train, augmentation="mtan")),
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
    reached = versions._imports((ROOT / "mila" / "model.py").read_text())
    assert reached
    assert not [name for name in reached if name.startswith("baselines")]


def test_the_longest_chain_of_work_is_known() -> None:
    stages = {stage.key: stage for stage in in_order(plan().stages())}
    behind = longest_paths(stages, {key: {"train": 10.0, "data": 2.0}.get(s.kind, 1.0) for key, s in stages.items()})
    by_title = {stage.title: behind[key] for key, stage in stages.items()}
    assert by_title["rooms MILA (ours), seed 0"] == 10 + 1
    assert by_title["rooms D18-MultiTask, seed 0"] == 10 + 10 + 1
    assert by_title["clips rooms train"] == 2 + 10 + 10 + 1
    assert by_title["clips rooms test"] == 2 + 1
    assert by_title["cost of MILA (ours)"] == 1


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
    value = collect_rows(plan(seeds=seeds), store)[-2].values["miou"]
    assert value.mean == pytest.approx(0.02 + 0.05)
    assert value.std == pytest.approx(np.std([0.02, 0.12], ddof=1))
    assert value.seeds == 2
    assert value.by_offset == pytest.approx([0.05 + 0.01 * o for o in range(5)])
    # Without one of its offsets a seed does not count.
    (store.folder(row.evaluations[1][4]) / "record.json").unlink()
    result = collect_rows(plan(seeds=seeds), store)[-2]
    assert result.values["miou"].seeds == 1
    assert result.values["miou"].std is None
    assert result.missing == "1 of 2 seeds run"
    assert collect_rows(plan(), store)[2].missing == "not run"


# --- the command line ------------------------------------------------------------------------------------------------


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "experiments" / "run.py"), *words]


def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words), capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_help_and_list_name_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    options = ("--list", "--grid", "--rows", "--method", "--profile", "--data", "--data-root", "--seeds", "--dry-run")
    for option in options:
        assert option in text
    assert main(["--list"]) == 0
    text = capsys.readouterr().out
    for name in (*TABLES, *FIGURES, "table7", *GRIDS, "quick", "smoke", "rooms", "street", "nyuv2", "cityscapes"):
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
        (["--grid", "table6", "--rows", "MTAN*"], "there is no row 'MTAN*'; choose from: None, Concatenation"),
        (["--grid", "table1", "--method", "nowhere.py"], "there is no such Python file"),
        (["--grid", "table6", "--data", "kitti"], "there is no data set 'kitti'"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert main([*words, "--results", str(results)]) == 2
    error = capsys.readouterr().err
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


def test_an_unreadable_image_ends_the_run_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, results = nyu(tmp_path / "données NYU"), tmp_path / "results"
    image = data / "rgb" / "0002.jpg"
    image.write_bytes(image.read_bytes()[:500])
    words = [*SMOKE_RUN, "--rows", "D101-MultiTask", "--data", "nyuv2", "--data-root", str(data), "--jobs", "1"]
    words += ["--results", str(results)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "0002.jpg" in error
    assert "Traceback" not in error
    assert not (results / "reports").exists()
    assert not list(results.glob("store/train/*/record.json"))
    image.write_bytes(image.with_name("0001.jpg").read_bytes())
    assert main(words) == 0
    assert "rooms" not in capsys.readouterr().out
    assert (results / "reports" / "table1-nyuv2-pan-smoke.csv").is_file()


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
    assert "51 stages run, 0 were done before" in text
    expected = records(whole)
    assert len(expected) == 51

    finished = 0
    for how, enough in ((signal.SIGKILL, 1), (signal.SIGINT, 8), (signal.SIGKILL, 20)):
        runner = subprocess.Popen(
            command(*SMOKE_RUN, "--results", str(part)),
            cwd=ROOT,
            start_new_session=True,
            # Where the tests run in the background of a script, Ctrl-C is ignored, and children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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
    assert f"{51 - finished} stages run, {finished} were done before" in last
    assert records(part) == expected

    # A further run does nothing and writes the same report.
    page = part / "reports" / "table1-smoke.html"
    before = page.read_bytes()
    assert "0 stages run, 51 were done before" in run(*SMOKE_RUN, "--results", str(part)).stdout
    assert page.read_bytes() == before
    forecast = run(*SMOKE_RUN, "--results", str(part), "--dry-run").stdout
    assert "0 of 51 stages would run" in forecast
    assert "never run" not in forecast

    # Another model's weights in a stage's folder are noticed, and nothing is scored with them.
    score = json.loads(next(part.glob("store/evaluate/*/stage.json")).read_text())
    swapped = part / "store" / "train" / score["needs"][0] / "model.pt"
    other = next(path for path in part.glob("store/train/*/model.pt") if path != swapped)
    swapped.write_bytes(other.read_bytes())
    for record in part.glob("store/evaluate/*/record.json"):
        record.unlink()
    error = run(*SMOKE_RUN, "--results", str(part), code=2).stderr
    assert f"is a checkpoint of '{other.parent.name}', not of '{swapped.parent.name}'" in error
    assert "Traceback" not in error
    assert page.read_bytes() == before
