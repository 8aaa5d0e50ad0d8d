"""Every command of the pages is run, small: at the profile `smoke`, one row of a table, on data that the test writes.

Sessions of nox are replaced by what they run. What needs a cluster is read by the same command line, with `--dry-run`
or without any submission; sessions that run these tests, or install, must exist.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nox
import pytest
import torch
from PIL import Image

import noxfile
from experiments.commands.run import main as run_grid
from experiments.grids import find_grids
from experiments.profiles import SMOKE
from experiments.shipped import STUDY
from mila.__main__ import main as use_model
from mila.backbone import DeepLabResNet
from mila.data.__main__ import main as run_data
from tests.support.camvid import camvid_file, fake_camvid
from tests.support.fake_files import write_plain
from tests.support.fake_videos import fake_frames, write_video
from tests.support.pages import PAGES, Command, blocks, commands, name_of
from tests.support.paths import ROOT
from tests.support.saved_models import KEY, SMALL, small_mila, write_training

Words = tuple[str, ...]
NOT_RUN = {"env", "lock", "tests", "tests-browser", "tests-slurm"}
"""Sessions that install, or that would run this test."""
SET_UP = {
    ("python3", "-m", "venv", ".venv"),
    (".venv/bin/pip", "install", "-q", "nox"),
    ("pip", "install", "pre-commit"),
    ("pre-commit", "install"),
    ("source", f"{noxfile.BIN.relative_to(ROOT)}/activate"),
}
SMALLER: dict[str, Words] = {
    "experiments.benchmarks.bench": ("--sizes", "small", "--parts", "checks"),
    "experiments.benchmarks.attention": ("--repeats=1", "--maps=5x6", "--windows=3", "--contenders=ours-band"),
    "experiments.benchmarks.reading": ("--rounds", "1", "--batch", "1"),
    "experiments.benchmarks.rendering": ("--repeats", "1", "--clips", "1", "--sizes", "16x32"),
    "experiments.benchmarks.latency": ("--rounds", "1", "--frames", "5", "--grids", "table3", "--profile", "smoke"),
}
"""Further words that make a benchmark short; the others take minutes at least, and only their options are read."""


def all_commands() -> list[tuple[str, Command]]:
    """(where it stands, what it runs) of all pages; sessions replaced by what they run, set-up left out."""
    found = []
    for page in PAGES:
        for command in commands(page):
            for words in replaced(command.words):
                found.append((f"{name_of(page)}, {command}", Command(command.line, words)))
    return found


def replaced(words: Words) -> list[Words]:
    """What a session of nox runs; other commands as they are, set-up left out."""
    if words in SET_UP:
        return []
    if words[0] == "PYTHONPATH=FOLDER":  # on a machine that has the folder alone
        return [tuple(word.removeprefix("FOLDER/") for word in words[1:])]
    if words[0] not in ("nox", ".venv/bin/nox"):
        return [words]
    assert words[1] == "-s", words
    name, posargs = words[2], list(words[4:])
    assert words[3:4] in ((), ("--",)), words
    sessions: dict[str, Callable[[Any], object]] = dict(nox.registry.get())
    assert name in sessions, f"there is no session {name}"
    if name in NOT_RUN:
        return []
    ran: list[Words] = []
    recorder = SimpleNamespace(posargs=posargs, run=lambda *words, **_: ran.append(("python", *words[1:])))
    sessions[name](recorder)
    return ran


def kind_of(words: Words) -> str:
    """Which test runs it: cluster, torchrun, data, model, benchmark, records or runner."""
    if words[0] == "torchrun":
        return "torchrun"
    assert words[0] == "python", f"a command that no test knows: {words}"
    if words[1] == "-m":
        return {"mila.data": "data", "mila": "model"}.get(words[2], "benchmark")
    assert words[1] == "experiments/run.py", words
    if "--from-records" in words:
        return "records"
    cluster = {"--slurm", "--wait", "--cancel", "--retry-failed"} & set(words)
    if cluster or ("--status" in words and "--grid" not in words):
        return "cluster"
    return "data" if "--data-root" in words else "runner"


def those(kind: str) -> list[tuple[str, Words]]:
    """The commands of one kind, each once, in the order of the pages."""
    found: dict[Words, str] = {}
    for where, command in all_commands():
        if kind_of(command.words) == kind:
            found.setdefault(command.words, where)
    assert found, f"no page has a command of the kind {kind}"
    return [(where, words) for words, where in found.items()]


def at_smoke(words: Words) -> list[str]:
    """Words of the runner at the profile `smoke`, with one seed, and for one row of the grid where they name none."""
    smaller = list(words)
    if "--seeds" in smaller:
        first = smaller.index("--seeds") + 1
        while smaller[first + 1 :] and smaller[first + 1].isdigit():
            del smaller[first + 1]
    if "--profile" in words:
        place = smaller.index("--profile") + 1
        if "--dry-run" not in words or not smaller[place].endswith(
            ".toml"
        ):  # what a file of one's own asks for is large
            smaller[place] = "smoke"
    elif not {"--show", "--list", "--clean"} & set(words):
        smaller += ["--profile", "smoke"]
    if "--grid" in words and not {"--rows", "--status", "--report", "--dry-run"} & set(words):
        grid = words[words.index("--grid") + 1]
        if grid == "all":  # each table is run by itself
            return [*smaller, "--dry-run"]
        part = int(words[words.index("--part") + 1]) if "--part" in words else 1
        label = "Gated keyframe" if "--method" in words else find_grids(grid)[part - 1].rows[-1].label
        smaller += ["--rows", label]
        if "--part" in words:  # that of the command without one is enough to see that a run ends in time
            if "--minutes" in smaller:
                del smaller[smaller.index("--minutes") : smaller.index("--minutes") + 2]
            smaller.append("--dry-run")
    return smaller


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: what pages name as a user's own files lies there."""
    (site,) = blocks(ROOT / "docs" / "slurm.md", "toml")
    (tmp_path / "site.toml").write_text(site, encoding="utf-8")
    method, _ = blocks(ROOT / "docs" / "your_own_method.md", "python")
    (tmp_path / "gated_keyframe.py").write_text(method, encoding="utf-8")
    camvid_file(tmp_path)
    (profile,) = blocks(ROOT / "docs" / "your_own_profile.md", "toml")
    (tmp_path / "half_size.toml").write_text(profile, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def some_score(folder: Path) -> str:
    """The hash of a score that a grid and the profile `smoke` alone make: others want their options as well."""
    for path in sorted((folder / "results/store/evaluate").glob("*/record.json")):
        command = json.loads(path.with_name("stage.json").read_text(encoding="utf-8"))["command"]
        if command[::2] == ["--grid", "--profile"] and command[3] == "smoke":
            return path.parent.name
    raise AssertionError("no page makes such a score")


@pytest.mark.slow
def test_the_runner_does_what_the_pages_say(folder: Path) -> None:
    # what looks at results comes after what makes them
    makes = [pair for pair in those("runner") if "--show" not in pair[1] and "--verify" not in pair[1]]
    makes.sort(key=lambda pair: "--clean" in pair[1])
    looks = [pair for pair in those("runner") if pair not in makes]
    assert looks
    for where, words in [*makes, *looks]:
        smaller = [some_score(folder) if word == "HASH" else word for word in at_smoke(words[2:])]
        if "--clean" in smaller:
            smaller.append("--yes")
        waiting = "--status" in smaller  # for the rows that were left out
        assert run_grid(smaller) == int(waiting), where
    assert (folder / "results/reports/table1-smoke.html").is_file()


@pytest.mark.slow
def test_records_that_ship_are_rendered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for where, words in those("records"):
        ship = STUDY.exists() and "FILE" not in words
        assert run_grid(list(words[2:])) == (0 if ship else 2), where
        assert ship or "is not there: this copy of the suite ships no such records" in capsys.readouterr().err
    assert (folder / "results" / "from-records").exists() == STUDY.exists()


@pytest.mark.slow
def test_data_are_inspected_prepared_used_and_exported(folder: Path) -> None:
    cities, rooms = folder / "data" / "cities", folder / "data" / "rooms"
    camvid = fake_camvid(folder / "data" / "camvid")
    small, few = ("--height", "32", "--width", "64"), ("--train", "4", "--test", "2")
    assert run_data(["export", "street", str(cities), *small, *few]) == 0
    assert run_data(["export", "rooms", str(rooms), "--height", "48", "--width", "64", *few]) == 0
    weights = folder / "weights"
    weights.mkdir()
    for depth in (50, 18):
        torch.save(DeepLabResNet(depth, SMOKE.width).state_dict(), weights / f"resnet{depth}-0123abcd.pth")
    for number, (where, words) in enumerate(those("data")):
        own = {"FOLDER": rooms if "nyuv2" in words else cities, "STORE": folder / "packed", "WEIGHTS": weights}
        if "export" in words:
            own["FOLDER"] = folder / f"export {number}"
        size = small
        if "camvid.py" in words:
            own, size = {"FOLDER": camvid, "STORE": folder / "packed camvid"}, ("--height", "45", "--width", "60")
        given = [str(own.get(word, word)) for word in words]
        if words[1] == "-m":
            assert run_data([*given[3:], *size, *(few if "export" in words else ())]) == 0, where
        else:
            assert run_grid(at_smoke(tuple(given[2:]))) == 0, where
    # nothing lands in the current folder but what was asked for, and results
    sheets = folder / "results" / "inspect" / "cities"
    assert sorted(path.name for path in sheets.iterdir()) == ["contact-sheet-train.png", "contact-sheet-val.png"]
    asked = {"data", "packed", "packed camvid", "weights", "results"}
    asked |= {"site.toml", "gated_keyframe.py", "camvid.py", "half_size.toml"}
    assert {path.name for path in folder.iterdir() if not path.name.startswith("export ")} == asked


@pytest.mark.slow
def test_trained_models_are_used(folder: Path) -> None:
    write_training(folder / "results", small_mila(multi_frame=False), **SMALL, multi_frame=False)
    write_video(folder / "drive.mp4", fake_frames(4))
    (folder / "frames").mkdir()
    for number, pixels in enumerate(fake_frames(3)):
        Image.fromarray(pixels).save(folder / "frames" / f"{number}.png")
    for where, words in those("model"):
        assert use_model([KEY if word == "HASH" else word for word in words[3:]]) == 0, where
    made = {"model.mila", "graphs", "programs", "predicted.mp4", "predicted", "each-segmentation.mkv"}
    assert made < {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_several_processes_share_a_training(folder: Path) -> None:
    for where, words in those("torchrun"):
        assert words[2] == "experiments/run.py", where
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", words[1], str(ROOT / words[2])]
        command += [*at_smoke(words[3:]), "--device", "cpu"]
        own = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_costs_and_benchmarks_run(folder: Path) -> None:
    for where, words in those("benchmark"):
        module, *more = words[2:]
        short = "--profile" not in more if module == "experiments.benchmarks.latency" else module in SMALLER
        short &= "FOLDER" in more or module != "experiments.benchmarks.reading"
        more = [str(write_plain(folder / "rooms")) if word == "FOLDER" else word for word in more]
        command = [sys.executable, "-m", module, *more, *(SMALLER[module] if short else ["--help"])]
        own = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"


@pytest.mark.usefixtures("folder")
def test_what_needs_a_cluster_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    for where, words in those("cluster"):
        given = ["site.toml" if word == "SITE.toml" else word for word in at_smoke(words[2:])]
        if "--slurm" in words and "--grid" in words:
            assert run_grid([*given, "--dry-run"]) == 0, where
        else:  # there is no submission here, and perhaps no SLURM
            assert run_grid(given) == 2, where
            said = capsys.readouterr().err
            assert "nothing was submitted" in said or "SLURM" in said, where


def test_every_command_of_a_page_is_known() -> None:
    kinds = {kind_of(command.words) for _, command in all_commands()}
    assert kinds == {"runner", "data", "model", "torchrun", "benchmark", "cluster", "records"}
    assert len(all_commands()) >= 30
