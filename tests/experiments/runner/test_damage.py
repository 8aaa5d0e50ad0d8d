"""Damaged files of finished stages: no number is made from them, what is damaged is not done, and the advice helps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.commands.run import main
from experiments.runner.run_stage import run_stage
from experiments.stages import Evaluate, Stage, in_order
from experiments.store import Store
from mila.clip_sums import load_clip_sums
from tests.support.smoke_plans import smoke_plan


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one finished score of Table 1."""
    results = tmp_path_factory.mktemp("results")
    for stage in in_order([score()]):
        assert run_stage(stage, Store(results / "store"), "cpu").error is None
    return results


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Store:
    shutil.copytree(finished, tmp_path / "results")
    return Store(tmp_path / "results" / "store")


def score() -> Evaluate:
    row = next(row for row in smoke_plan().rows if row.label == "D101-MultiTask")
    return row.evaluations[0][0]


def invert(path: Path) -> None:
    """Turn over the bytes in the middle, as a disk that went bad does."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(255 - byte for byte in content[middle : middle + 100])
    path.write_bytes(content)


def of(name: str, stage: Evaluate) -> Stage:
    return stage.train if name.endswith(".pt") else stage.data


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clips/frames.npy", "clips/depth.npy", "clips/checksums.npy", "model.pt"])
def test_inverted_bytes_give_no_number(name: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stage = score()
    expected = store.record(stage).result["metrics"]
    folder = store.folder(of(name, stage))
    invert(folder / name)
    words = ["--results", str(store.root.parent), "--profile", "smoke", "--device", "cpu"]
    assert main([*words, "--verify", stage.key]) == 2
    said = capsys.readouterr()
    assert "the same" not in said.out
    assert f"delete {folder} " in said.err
    assert len(said.err.splitlines()) == 1
    (store.folder(stage) / "record.json").unlink()
    outcome = run_stage(stage, store, "cpu")
    assert outcome.error is not None
    assert f"delete {folder} " in outcome.error
    shutil.rmtree(folder)  # as it says
    for needed in in_order([stage]):
        assert run_stage(needed, store, "cpu").error is None
    assert store.record(stage).result["metrics"] == expected


DAMAGES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "cut clips": ("clips/frames.npy", lambda path: os.truncate(path, 1000)),
    "no clips": ("clips/manifest.json", lambda path: shutil.rmtree(path.parent)),
    "cut weights": ("model.pt", lambda path: os.truncate(path, 1000)),
    "no weights": ("model.pt", Path.unlink),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_not_done_and_the_advice_helps(
    name: str, damage: Callable[[Path], Any], store: Store
) -> None:
    needed = of(name, score())
    folder = store.folder(needed)
    assert store.state(needed) == Store.state_of(folder) == "done"
    damage(folder / name)
    for reader in (store, Store(store.root)):
        assert reader.state(needed) == Store.state_of(folder) == "damaged"
    outcome = run_stage(needed, store, "cpu")
    assert outcome.error is not None
    assert outcome.error.endswith(
        f"is not what was written there (edited, or damaged); delete {folder} to run the stage again."
    )
    shutil.rmtree(folder)  # as it says
    assert run_stage(needed, store, "cpu").error is None
    assert store.state(needed) == "done"


def test_a_record_knows_the_files_of_its_stage(store: Store) -> None:
    stage = score()
    assert sorted(store.record(stage.train).files) == ["model.json", "model.pt"]
    kept = store.record(stage.data).files
    assert {"clips/frames.npy", "clips/checksums.npy", "clips/manifest.json"} < set(kept)
    assert kept["clips/frames.npy"] == {"bytes": (store.folder(stage.data) / "clips/frames.npy").stat().st_size}
    assert sorted(store.record(stage).files) == ["clips.npz", "pictures.npz"]
    digest = store.digest(stage.train, "model.pt")
    assert digest is not None
    assert len(digest) == 64
    assert store.digest(stage.train, "epoch-0001.pt") is None


def test_a_score_is_what_its_kept_sums_of_every_clip_say(store: Store) -> None:
    stage = score()
    result = store.record(stage).result
    with (store.folder(stage) / "clips.npz").open("rb") as file:
        states = load_clip_sums(file)
    assert {name: sums.metrics() for name, sums in states.items()} == result["states"]
    assert states["model.pt"].metrics() == result["metrics"]  # the only state
    assert len(states["model.pt"]) == result["clips"] > 1
