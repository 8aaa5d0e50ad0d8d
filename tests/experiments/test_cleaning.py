"""Deleting stages: never what is finished, never what lies outside the store, whoever works there meanwhile."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from experiments.commands.run import main
from experiments.stages import Evaluate, Stage
from experiments.store import Store
from tests.support.smoke_plans import smoke_plan

RECORD = {"seconds": 1.0, "finished": "2026-01-01T00:00:00+00:00", "environment": {}}


def some_stages() -> list[Evaluate]:
    return [row.evaluations[0][0] for row in smoke_plan().rows]


def answer_after(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen between the question whether to delete and the answer "yes"."""

    def answer(*_: object) -> str:
        happens()
        return "yes"

    monkeypatch.setattr(Console, "input", answer)


def finish(store: Store, stage: Stage) -> None:
    store.finish(stage, {"metrics": {}}, **RECORD)


@pytest.mark.parametrize("words", [[], ["--grid", "table1", "--profile", "smoke"]])
def test_what_is_finished_before_the_answer_is_kept(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, (first, second, *_) = Store(tmp_path / "store"), some_stages()
    for stage in (first, second):
        store.begin(stage)
    answer_after(monkeypatch, lambda: finish(store, first))
    assert main(["--clean", "--results", str(tmp_path), *words]) == 0
    assert "1 stages deleted, 1 are finished by now and were kept." in capsys.readouterr().out
    assert store.state(first) == "done"
    assert not store.folder(second).exists()


def test_what_vanishes_before_the_answer_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, (stage, *_) = Store(tmp_path / "store"), some_stages()
    folder = store.begin(stage)
    answer_after(monkeypatch, lambda: shutil.rmtree(folder))
    assert main(["--clean", "--results", str(tmp_path)]) == 0
    assert "0 stages deleted." in capsys.readouterr().out


def test_who_waits_for_a_stage_that_is_deleted_does_it_anew(tmp_path: Path) -> None:
    store, (stage, *_) = Store(tmp_path), some_stages()
    held, begun = threading.Event(), threading.Event()

    def work() -> None:
        held.wait()
        with store.lock(stage):
            store.begin(stage)
            begun.set()

    worker = threading.Thread(target=work)
    worker.start()
    with store.lock(stage):
        folder = store.begin(stage)
        held.set()
        assert not begun.wait(0.2)
        shutil.rmtree(folder)
    worker.join(10)
    assert begun.is_set()
    assert (folder / "stage.json").is_file()


def test_nothing_outside_the_store_is_deleted(tmp_path: Path) -> None:
    store, (first, second, third, *_) = Store(tmp_path / "store"), some_stages()
    precious = tmp_path / "precious" / second.key
    precious.mkdir(parents=True)
    for name in ("stage.json", "thesis.txt"):
        (precious / name).write_text("{}")
    folder = store.begin(first)
    (folder / "clips").symlink_to(precious)
    store.folder(second).symlink_to(precious)  # a stage that is a link
    (store.root / "train").symlink_to(precious.parent)  # a kind that is a link
    unknown = [store.root / "notes" / third.key, store.root / "evaluate" / "my notes"]
    for path in unknown:
        path.mkdir(parents=True)
        (path / "stage.json").write_text("{}")
    for words in ([], ["--grid", "table1", "--profile", "smoke"]):
        assert main(["--clean", "--yes", "--results", str(tmp_path), *words]) == 0
    assert not folder.exists()
    assert sorted(path.name for path in precious.iterdir()) == ["stage.json", "thesis.txt"]
    assert all((path / "stage.json").is_file() for path in unknown)


@pytest.mark.parametrize("name", ["record.json", "lock", "error.txt"])
def test_what_is_no_file_is_deleted_too(name: str, tmp_path: Path) -> None:
    store, (stage, *_) = Store(tmp_path / "store"), some_stages()
    (store.begin(stage) / name).mkdir()
    assert main(["--clean", "--yes", "--results", str(tmp_path)]) == 0
    assert not store.folder(stage).exists()
