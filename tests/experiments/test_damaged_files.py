"""Whatever somebody puts in place of a stage's file is "damaged", in every command and on the page."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.commands.run import main
from experiments.records import DamagedRecordError
from experiments.results import KeptArrays
from experiments.runner.run_stage import run_stage
from experiments.stage_files import describe_files
from experiments.stages import Evaluate
from experiments.store import Store
from mila.errors import UserError
from tests.support.fake_results import fill, plan_of

WORDS = ("--grid", "table1", "--profile", "smoke")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_list(path: Path) -> None:
    path.write_text("[1]")


def nest(path: Path) -> None:
    path.write_text("[" * 100_000)


def make_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def make_link(path: Path) -> None:
    """To a file with the very same contents."""
    elsewhere = path.parent.parent / f"elsewhere-{path.name}"
    elsewhere.write_bytes(path.read_bytes() if path.exists() else b"")
    path.unlink(missing_ok=True)
    path.symlink_to(elsewhere)


DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    *((name, damage) for name in ("record.json", "stage.json") for damage in (cut, make_list, nest)),
    *(
        (name, damage)
        for name in ("record.json", "stage.json", "pictures.npz", "log.txt")
        for damage in (make_folder, make_pipe, make_link)
    ),
    ("pictures.npz", cut),
    ("pictures.npz", make_list),
    ("stage.json", Path.unlink),
    ("progress.json", make_pipe),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    fill(store, plan_of(0))
    return store


def a_score() -> Evaluate:
    return plan_of(0).rows[0].evaluations[0][0]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_file_that_is_not_what_was_written_is_damage(
    name: str, damage: Callable[[Path], None], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, results = a_score(), ["--results", str(store.root.parent)]
    path = store.folder(stage) / name
    damage(path)
    assert Store(store.root).state(stage) == Store.state_of(path.parent) == "damaged"
    with pytest.raises(DamagedRecordError, match=str(path)):
        Store(store.root).record(stage)
    outcome = run_stage(stage, Store(store.root), "cpu")
    assert str(path) in str(outcome.error)
    capsys.readouterr()
    for words in (["--show", stage.key], [*WORDS, "--dry-run"], [*WORDS, "--status"]):
        assert main([*words, *results]) in (0, 1)
        assert "damaged" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("name", "damage"), [("pictures.npz", cut), ("record.json", make_pipe), ("stage.json", nest)])
def test_the_page_marks_the_stage(name: str, damage: Callable[[Path], None], store: Store) -> None:
    stage, results = a_score(), store.root.parent
    damage(store.folder(stage) / name)
    assert main([*WORDS, "--report", "--results", str(results)]) == 0
    pages = results / "reports"
    for page in (pages / "table1-smoke.html", pages / "stages" / f"{stage.key}.html"):
        assert str(store.folder(stage) / name) in page.read_text()
        assert "damaged" in page.read_text()


@pytest.fixture
def flipped(store: Store) -> Path:
    """A file of pictures whose zip is intact and whose arrays are not what was written."""
    stage = a_score()
    record = store.record(stage)
    files, about = describe_files(record.folder), ("seconds", "finished", "environment")
    store.finish(stage, record.result, files=files, **{name: getattr(record, name) for name in about})
    path = record.folder / "pictures.npz"
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    return path


def test_flipped_bytes_in_an_intact_zip_are_damage_where_they_are_shown(
    store: Store, flipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, fresh = a_score(), Store(store.root)
    other = plan_of(0).rows[1].evaluations[0][0]
    assert (fresh.state(stage), fresh.state_of(flipped.parent)) == ("done", "done")  # no array is read for these
    assert fresh.check_arrays(other)
    assert not fresh.check_arrays(stage)
    assert (fresh.state(stage), fresh.state_of(flipped.parent, contents=True)) == ("damaged", "damaged")
    with pytest.raises(DamagedRecordError, match=r"pictures\.npz is not what was written there .*; delete"):
        fresh.record(stage)
    assert main(["--show", stage.key, "--results", str(store.root.parent)]) == 0
    assert "state    damaged" in capsys.readouterr().out


@pytest.mark.slow
def test_flipped_bytes_mark_the_stage_on_the_page(store: Store, flipped: Path) -> None:
    stage, results = a_score(), store.root.parent
    assert main([*WORDS, "--report", "--results", str(results)]) == 0
    for page in ("table1-smoke.html", f"stages/{stage.key}.html"):
        text = (results / "reports" / page).read_text()
        assert str(flipped) in text
        assert "damaged" in text


@pytest.mark.slow
def test_pictures_that_no_record_vouches_for_are_left_out_where_they_cannot_be_read(store: Store) -> None:
    stage, results = a_score(), store.root.parent
    path = store.folder(stage) / "pictures.npz"
    middle = bytearray(path.read_bytes())
    middle[60:90] = bytes(30)
    path.write_bytes(middle)
    with pytest.raises(DamagedRecordError, match=r"pictures\.npz is not what was written there; delete"):
        KeptArrays(path, ()).read()
    assert main([*WORDS, "--report", "--results", str(results)]) == 0
    assert "Without pictures: D101-SingleTask" in (results / "reports" / "table1-smoke.html").read_text()


@pytest.mark.parametrize("name", ["progress.json", "error.txt", "log.txt", "lock", "model.pt", "clips"])
def test_an_unfinished_stage_with_a_link_is_not_worked_on(name: str, tmp_path: Path) -> None:
    store, stage = Store(tmp_path / "store"), a_score()
    folder, precious = store.begin(stage), tmp_path / "precious"
    precious.write_text("precious")
    (folder / name).symlink_to(precious)
    assert store.state(stage) == "damaged"
    assert f"{folder / name} is a link, which a store does not follow; delete it" in str(
        run_stage(stage, store, "cpu").error
    )
    assert precious.read_text() == "precious"
    assert not store.is_locked(stage)


def test_a_stage_or_a_kind_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    stage = a_score()
    for number, name in enumerate((f"evaluate/{stage.key}", "evaluate")):
        store, elsewhere = Store(tmp_path / f"store-{number}"), tmp_path / f"elsewhere-{number}"
        elsewhere.mkdir()
        (store.root / name).parent.mkdir(parents=True)
        (store.root / name).symlink_to(elsewhere)
        assert "is a link, which a store does not follow" in str(run_stage(stage, store, "cpu").error)
        assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("damage", [make_pipe, make_folder, nest, make_list])
def test_a_store_whose_description_is_damaged_is_a_sentence(damage: Callable[[Path], None], store: Store) -> None:
    damage(store.root / "store.json")
    with pytest.raises(UserError, match=r"store\.json cannot be read .*; move .* away, or give another --results"):
        Store(store.root)


@pytest.mark.parametrize("text", ["[1]", '{"done": [], "total": {}, "seconds": "x"}', "[" * 100_000])
def test_progress_that_makes_no_sense_counts_from_nothing(text: str, tmp_path: Path) -> None:
    store, stage = Store(tmp_path), plan_of(0).test_data
    (store.begin(stage) / "progress.json").write_text(text)
    assert run_stage(stage, store, "cpu").error is None
    assert 0 < store.record(stage).seconds < 600


def test_too_many_open_files_is_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(UserError, match="too many files are open"):
        Store(store.root).state(a_score())


def test_what_steers_a_terminal_is_not_printed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stage, results = a_score(), store.root.parent
    folder = store.begin(stage)
    for name in ("log.txt", "error.txt"):
        (folder / name).write_text("before\x1b[2J\x9b\u202eafter\n\tnext\r\n", encoding="utf-8")
    about = (folder / "stage.json").read_text()
    (folder / "stage.json").write_text(about.replace(stage.title, "a[/q]\\u001b]0;title[bold]"))
    (folder / "record.json").unlink()
    for words in (["--show", stage.key], ["--clean"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.input", lambda *_: "no")
            assert main([*words, "--results", str(results)]) == 0
        output = capsys.readouterr().out
        assert "a[/q]]0;title[bold]" in output.replace("\n", "").replace("  ", "")
        assert not set("\x1b\x9b\u202e\r") & set(output)
        assert words == ["--clean"] or ("before[2Jafter" in output and "next" in output)
