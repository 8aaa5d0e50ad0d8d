"""The store and the runner under faults: edited records, other versions, dying workers, time limits, memory, NaN."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from rich.console import Console

from experiments.collect import collect_rows
from experiments.commands import store_commands
from experiments.commands.run import main
from experiments.grids import GRIDS
from experiments.plan import Plan, make_plan
from experiments.profiles import SMOKE
from experiments.runner.attempt import Attempt
from experiments.runner.launch import launch
from experiments.runner.run_stage import is_out_of_memory, run_stage
from experiments.runner.stage_functions import STAGE_FUNCTIONS
from experiments.stages import Evaluate, Stage, in_order
from experiments.store import Store
from mila.errors import UserError
from mila.schedule import one_part


@dataclass(frozen=True)
class FakeStage(Stage):
    """A stage that does what `act` says."""

    kind: ClassVar[str] = "fake"
    act: str = "work"
    after: tuple[Stage, ...] = ()

    @property
    def needs(self) -> tuple[Stage, ...]:
        return self.after

    @property
    def work(self) -> float:
        return 1.0

    def config(self) -> dict[str, Any]:
        return {"act": self.act, "title": self.title}

    def modules(self) -> tuple[str, ...]:
        return ("mila.errors",)


def act(stage: FakeStage, _store: Store, attempt: Attempt) -> dict[str, Any]:
    """What `FakeStage` stages do; every attempt leaves a mark."""
    folder = attempt.folder
    attempts = len(list(folder.glob("attempt-*")))
    (folder / f"attempt-{attempts}").touch()
    attempt.progress(1, 2)
    if stage.act == "die" or (stage.act == "die once" and attempts == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if stage.act == "raise":
        raise ZeroDivisionError("one too many")
    if stage.act == "never end":
        while True:
            time.sleep(0.01)
    if stage.act == "too large":
        torch.empty(2**60, dtype=torch.uint8)
    if stage.act == "full disk":
        raise OSError(28, "No space left on device", str(folder / "model.pt"))
    print("a word for the log")
    return {"attempts": attempts + 1}


STAGE_FUNCTIONS[FakeStage] = act  # workers import this module, too


def run_all(stages: list[Stage], store: Store, **how: Any) -> Any:
    return launch(stages, store, 2, "cpu", Console(quiet=True), **how)


def test_a_stage_leaves_a_record_and_a_log(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), FakeStage("one")
    assert run_stage(stage, store, "cpu").error is None
    assert store.state(stage) == "done"
    log = (store.folder(stage) / "log.txt").read_text().splitlines()
    assert [line.split("  ", 1)[1][:20] for line in log] == [
        "fake: one on cpu, co",
        "a word for the log",
        "finished after 0.0 s",
    ]
    assert json.loads((tmp_path / "store.json").read_text()) == {"format": 2}


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda text: text.replace('"attempts": 1', '"attempts": 2'), "a number"),
        (lambda text: text[: len(text) // 2], "cut short"),
        (lambda text: text.replace('"checksum"', '"sum"'), "no checksum"),
        (lambda text: "[]", "no object"),  # noqa: ARG005
    ],
)
def test_an_edited_record_is_told_and_never_used(edit: Any, why: str, tmp_path: Path) -> None:
    store, stage = Store(tmp_path), FakeStage("one")
    run_stage(stage, store, "cpu")
    path = store.folder(stage) / "record.json"
    path.write_text(edit(path.read_text()))
    os.utime(path, ns=(1, 1))
    for reader in (store, Store(tmp_path)):
        assert reader.state(stage) == "damaged", why
    with pytest.raises(UserError, match=r"record\.json is not what was written there .*; delete .* to run the stage"):
        store.record(stage)
    outcome = run_stage(stage, store, "cpu")
    assert outcome.error is not None
    assert "is not what was written there" in outcome.error
    assert not outcome.bad_input
    assert len(list(store.folder(stage).glob("attempt-*"))) == 1  # it was not run again over the evidence


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), FakeStage("one")
    run_stage(stage, store, "cpu")
    (tmp_path / "store.json").write_text('{"format": 3}')
    with pytest.raises(
        UserError, match=r"written by another version of the suite \(format 3, this one has 2\); move it"
    ):
        Store(tmp_path)
    (tmp_path / "store.json").unlink()  # as before there was this file
    with pytest.raises(UserError, match=r"format 1, this one has 2"):
        Store(tmp_path)
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(UserError, match=r"store\.json cannot be read"):
        Store(tmp_path)


def test_a_description_that_is_lost_is_damage(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), FakeStage("one")
    run_stage(stage, store, "cpu")
    (store.folder(stage) / "stage.json").write_text("{")
    assert Store(tmp_path).state(stage) == Store.state_of(store.folder(stage)) == "damaged"
    with pytest.raises(UserError, match=r"stage\.json is not what was written there"):
        Store(tmp_path).record(stage)


def test_a_store_reads_a_record_again_where_it_is_another_and_sends_none_to_workers(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), FakeStage("one")
    run_stage(stage, store, "cpu")
    assert store.record(stage) is store.record(stage)
    about = {"seconds": 1.0, "finished": "2026-01-02T03:04:05+00:00", "environment": {}}
    store.finish(stage, {"attempts": 7}, **about)
    assert store.record(stage).result == {"attempts": 7}
    sent = pickle.dumps(store)
    assert b"attempts" not in sent
    assert pickle.loads(sent).record(stage) == store.record(stage)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_tried_again_and_the_others_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    once, always, fine = FakeStage("once", "die once"), FakeStage("always", "die"), FakeStage("fine")
    child = FakeStage("child", after=(always,))
    summary = run_all([once, always, fine, child], store)
    assert sorted(summary.done) == ["fine", "once"]
    assert list(summary.failed) == ["always"]
    assert "its worker process died twice" in summary.failed["always"]
    assert summary.skipped == ["child"]


@pytest.mark.slow
def test_a_stage_that_raises_or_never_ends_fails_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stages: list[Stage] = [FakeStage("raises", "raise"), FakeStage("hangs", "never end"), FakeStage("fine")]
    summary = run_all(stages, store, time_limit=1.0)
    assert summary.done == ["fine"]
    assert "ZeroDivisionError: one too many" in summary.failed["raises"]
    assert summary.failed["hangs"].startswith("it took longer than 0.0166667 minutes; raise --time-limit")
    assert not summary.bad_input
    assert store.state(stages[1]) == "failed"
    assert "failed: it took longer" in (store.folder(stages[1]) / "log.txt").read_text()
    assert "Traceback" in (store.folder(stages[0]) / "error.txt").read_text()


def test_too_little_memory_and_a_full_disk_are_sentences(tmp_path: Path) -> None:
    store = Store(tmp_path)
    outcome = run_stage(FakeStage("large", "too large"), store, "cpu")
    assert outcome.error is not None
    assert outcome.error.startswith("this machine has too little memory; reduce --jobs, or the profile's frame size")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    full = run_stage(FakeStage("full", "full disk"), store, "cpu")
    assert full.error is not None
    assert "the disk is full" in full.error
    assert store.state(FakeStage("full", "full disk")) == "failed"


def test_a_missing_gpu_is_a_sentence_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ["--grid", "table1", "--profile", "smoke", "--device", "cuda", "--results", str(tmp_path / "results")]
    assert main(words) == 2
    assert capsys.readouterr().err == ("error: --device cuda: PyTorch finds no GPU here; use --device cpu or auto.\n")
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("terminal", "width"), [(True, 140), (True, 70), (False, 70)])
def test_the_display_counts_every_state_and_says_why_a_stage_failed(terminal: bool, width: int, tmp_path: Path) -> None:
    bad, fine = FakeStage("bad with a long title, " * 3, "raise"), FakeStage("fine")
    child, text = FakeStage("child", after=(bad,)), io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, soft_wrap=True, color_system=None)
    launch([bad, fine, child], Store(tmp_path), 1, "cpu", console)
    output = text.getvalue()
    assert f"{bad.title} failed: ZeroDivisionError: one too many" in output
    if terminal:
        assert "3/3" in output
        assert "1 failed, 1 left out, 1 done" in output
    else:
        assert re.search(r"^\[\d/3, about \d+ s left\] fine$", output, re.MULTILINE)
        assert len(output.splitlines()) == 2


def plan(**changes: Any) -> Plan:
    return make_plan(**{"grid": GRIDS["table1"], "profile": SMOKE, "data": "rooms", "mode": "video", **changes})


def test_a_loss_that_is_not_finite_names_the_step_and_the_losses(tmp_path: Path) -> None:
    wild = replace(SMOKE, scratch=one_part(epochs=8, batch=4, lr=1e30))
    row = next(row for row in plan(profile=wild).rows if row.label == "D101-MultiTask")
    store = Store(tmp_path)
    outcomes = [run_stage(stage, store, "cpu") for stage in in_order([row.evaluations[0][0].train])]
    reason = outcomes[-1].error
    assert reason is not None
    assert reason.startswith("training diverged at step ")
    assert "of 16 (segmentation " in reason
    assert "depth " in reason
    assert reason.endswith("lower the learning rate.")
    assert not outcomes[-1].bad_input
    assert store.state(row.evaluations[0][0].train) == "failed"


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluate]:
    """A results folder with one finished row of Table 1, and its score."""
    results = tmp_path_factory.mktemp("results")
    row = next(row for row in plan().rows if row.label == "D101-MultiTask")
    store = Store(results / "store")
    for stage in in_order([row.evaluations[0][0]]):
        assert run_stage(stage, store, "cpu").error is None
    return results, row.evaluations[0][0]


@pytest.mark.slow
def test_a_reported_number_can_be_recomputed(
    small_run: tuple[Path, Evaluate], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results, stage = small_run
    words = ["--results", str(results), "--profile", "smoke", "--device", "cpu"]
    assert main([*words, "--verify", stage.key[:10]]) == 0
    output = capsys.readouterr().out
    assert "the same." in output
    assert "miou" in output
    assert main([*words, "--verify", "0" * 16]) == 2
    assert "has no stage '0000000000000000'" in capsys.readouterr().err
    other = Store(tmp_path / "store")
    for needed in in_order([stage]):
        run_stage(needed, other, "cpu")
    record = other.record(stage)
    record.result["metrics"]["miou"] += 0.01
    other.finish(stage, record.result, seconds=1.0, finished=record.finished, environment=record.environment)
    assert store_commands.verify(stage.key, [stage], other, "cpu", Console(record=True)) == 1


@pytest.mark.parametrize("name", ["model.pt", "checkpoint.pt"])
def test_a_checkpoint_that_is_cut_short_is_told(name: str, small_run: tuple[Path, Evaluate], tmp_path: Path) -> None:
    """Of a finished training, when it is scored; of an interrupted one, when it is continued."""
    results, score = small_run
    shutil.copytree(results / "store", tmp_path / "store")
    store = Store(tmp_path / "store")
    stage = score if name == "model.pt" else score.train
    (store.folder(stage) / "record.json").unlink()
    path = store.folder(score.train) / name
    path.write_bytes((store.folder(score.train) / "model.pt").read_bytes()[:1000])
    outcome = run_stage(stage, store, "cpu")
    assert outcome.error is not None
    assert f"{path} cannot be read as a checkpoint" in outcome.error
    assert outcome.error.endswith(f"delete {path.parent} to train again.")
    assert outcome.bad_input
    assert store.state(stage) == "failed"


def test_pages_that_cannot_be_written_lose_no_record(
    small_run: tuple[Path, Evaluate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, stage = small_run
    shutil.copytree(results / "store", tmp_path / "store")
    (tmp_path / "reports").write_text("")  # in the way of the folder
    words = ["--results", str(tmp_path), "--profile", "smoke", "--grid", "table1", "--report"]
    assert main(words) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"error: the pages in {tmp_path / 'reports'} cannot be made (")
    assert "what was run is kept" in output
    assert len(output.splitlines()) == 1
    assert Store(tmp_path / "store").state(stage) == "done"


def test_a_stage_can_be_shown(small_run: tuple[Path, Evaluate], capsys: pytest.CaptureFixture[str]) -> None:
    results, stage = small_run
    assert main(["--results", str(results), "--show", stage.key[:8]]) == 0
    output = capsys.readouterr().out
    for words in (stage.title, stage.key, '"offset": 0', "miou", "finished after", '"torch"'):
        assert words in output
    assert main(["--results", str(results), "--show", "zzz"]) == 2
    assert main(["--results", str(results), "--show", "../.."]) == 2


def test_status_says_what_is_left(small_run: tuple[Path, Evaluate], capsys: pytest.CaptureFixture[str]) -> None:
    results, stage = small_run
    words = ["--results", str(results), "--profile", "smoke", "--grid", "table1"]
    assert main([*words, "--status"]) == 1
    output = capsys.readouterr().out
    assert "51 stages: 4 done, 47 waiting." in output
    store = Store(results / "store")
    with store.lock(stage):
        assert store.is_locked(stage)
    assert not store.is_locked(stage)


def test_cleaning_asks_and_leaves_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, done, failed, busy = (
        Store(tmp_path / "store"),
        FakeStage("done"),
        FakeStage("bad", "raise"),
        FakeStage("busy", "raise"),
    )
    for stage in (done, failed, busy):
        run_stage(stage, store, "cpu")
    answers = iter(["no", "yes"])
    monkeypatch.setattr(Console, "input", lambda *_: next(answers))
    words = ["--results", str(tmp_path), "--clean"]
    with store.lock(busy):
        assert main(words) == 0
        assert store.state(failed) == "failed"
        assert main(words) == 0
    assert "1 stages deleted, 1 are being worked on" in capsys.readouterr().out
    assert [store.state(stage) for stage in (done, failed, busy)] == ["done", "waiting", "failed"]
    assert not store.folder(failed).exists()
    assert main([*words, "--yes"]) == 0
    assert not store.folder(busy).exists()
    assert main(words) == 0
    assert "nothing to delete" in capsys.readouterr().out


def test_a_report_is_possible_of_what_is_there(small_run: tuple[Path, Evaluate]) -> None:
    results, stage = small_run
    path = Store(results / "store").folder(stage) / "record.json"
    whole = path.read_text()
    try:
        path.write_text(whole.replace('"offset"', '"ofset"'))
        (row,) = (r for r in collect_rows(plan(), Store(results / "store")) if r.plan.label == "D101-MultiTask")
        assert row.values == {}
        assert row.missing == "a record was changed"
        words = ["--results", str(results), "--profile", "smoke", "--grid", "table1", "--report"]
        assert main(words) == 0
        assert "a record was changed" in (results / "reports" / "table1-smoke.html").read_text()
    finally:
        path.write_text(whole)


def test_planning_and_collecting_scale(tmp_path: Path) -> None:
    """Not a measurement: thousands of stages must not be worked through pair by pair."""
    whole = plan(seeds=tuple(range(25)))
    stages = in_order(whole.stages())
    assert len({stage.key for stage in stages}) == len(stages) > 900
    assert all(row.missing == "not run" for row in collect_rows(whole, Store(tmp_path)))
