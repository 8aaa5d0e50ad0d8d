"""SLURM's parts that need no SLURM: site file, layout of arrays, copy of the code, states, a training told to stop."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baselines.multi_task import MultiTask
from experiments.commands.run import main
from experiments.slurm import job_states
from experiments.slurm.code_copy import check, snapshot
from experiments.slurm.job_states import Job, QueueError, read_states
from experiments.slurm.site import make_site, read_site
from experiments.slurm.submissions import Entry, Submission, Submissions
from experiments.slurm.submit import make_arrays
from mila.common.files import write_json
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.clips import WorldClips
from mila.errors import StoppedError, UserError
from mila.schedule import one_part
from mila.tasks import NYUV2
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import Recipe
from tests.support.paths import ROOT

# --- the site file ---------------------------------------------------------------------------------------------------


def test_the_example_of_the_docs_is_read(tmp_path: Path) -> None:
    page = ROOT / "docs" / "slurm.md"
    (text,) = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    site = make_site(read_site(tmp_path / "site.toml"))
    assert (site.kinds["data"].partition, site.kinds["train"].partition) == ("cpu", "gpu")
    assert site.kinds["train"].gpus == 1
    assert site.kinds["measure"].account == "vision"
    assert site.setup == ("module load cuda",)
    assert site.sbatch == {"mail-type": "FAIL"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('partitoin = "gpu"', "there is no key 'partitoin'; choose one of: minutes"),
        ("[train]\nhours = 3", "[train]: there is no key 'hours'; choose one of: minutes"),
        ("[trian]\nminutes = 3", "there is no key 'trian'"),
        ("[train]\nsetup = []", "[train]: there is no key 'setup'"),
        ('[train]\nminutes = "3 h"', "minutes must be a whole number, not '3 h'"),
        ("[train]\nminutes = 0", "minutes must be at least 1, not 0"),
        ("parallelism = true", "parallelism must be a whole number, not True"),
        ("train = 3", "'train' is the name of a section"),
        ("setup = [1]", "setup must be a list of texts"),
        ("[sbatch]\nexclude = [1]", "[sbatch] must be texts"),
        ("memory_gb = nan", "memory_gb must be a number that is finite, not nan"),
        ("[train]\nmemory_gb = inf", "[train]: memory_gb must be a number that is finite, not inf"),
        ('[sbatch]\narray = "0-3"', "'array' under [sbatch] is set by the suite itself; leave it out"),
        ("[sbatch]\njob_name = 1", "'job_name' under [sbatch] is set by the suite itself"),
        ('[sbatch]\ntime = "1:00"', "'time' under [sbatch] has a key of its own; write minutes = "),
        ("partition = ", "is not TOML"),
    ],
)
def test_mistakes_in_the_site_file_are_named(
    tmp_path: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.toml"
    site.write_text(text)
    words = ["--grid", "table2", "--profile", "smoke", "--slurm", str(site), "--results", str(tmp_path / "results")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert str(site) in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_machine_without_slurm_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for words in (["--grid", "table2", "--slurm"], ["--status"], ["--cancel"], ["--wait"], ["--retry-failed"]):
        assert main([*words, "--results", str(tmp_path / "results")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: there is no SLURM on this machine")
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


# --- arrays ----------------------------------------------------------------------------------------------------------


def entries(*stages: tuple[str, str, str]) -> list[Entry]:
    """(key, kind, needs separated by blanks)."""
    return [Entry(key, key, kind, needs.split()) for key, kind, needs in stages]


def test_stages_that_wait_for_the_same_jobs_form_an_array() -> None:
    stages = entries(
        ("d", "data", ""),
        ("t1", "train", "d"),
        ("t2", "train", "d done"),
        ("t3", "train", "d t1 t2"),
        *((f"e{i}", "evaluate", "t3 d") for i in range(5)),
        ("c", "measure", ""),
    )
    arrays = make_arrays(stages, {s.key for s in stages}, dict.fromkeys(("data", "train", "evaluate", "measure"), 3))
    found = [(array.kind, array.keys, sorted(array.needs), array.width) for array in arrays]
    assert found == [
        ("data", ["d"], [], 1),
        ("measure", ["c"], [], 1),
        ("train", ["t1", "t2"], ["d"], 2),
        ("train", ["t3"], ["d", "t1", "t2"], 1),
        ("evaluate", ["e0", "e1", "e2", "e3", "e4"], ["d", "t3"], 3),
    ]


@given(
    needs=st.lists(st.tuples(st.sampled_from(["train", "evaluate"]), st.sets(st.integers(0, 19))), max_size=20),
    bound=st.integers(1, 4),
    jobs=st.sets(st.integers(0, 19)),
)
def test_arrays_keep_dependencies_and_bounds(needs: list[tuple[str, set[int]]], bound: int, jobs: set[int]) -> None:
    stages = [Entry(str(i), "", kind, [str(n) for n in sorted(ns) if n < i]) for i, (kind, ns) in enumerate(needs)]
    for stage in stages:
        stage.job = "7" if int(stage.key) in jobs else None
    busy = {stage.key for stage in stages}
    arrays = make_arrays(stages, busy, {"train": bound, "evaluate": bound})
    assert sorted(key for array in arrays for key in array.keys) == sorted(s.key for s in stages if s.job is None)
    place = {key: index for index, array in enumerate(arrays) for key in array.keys}
    before: list[set[int]] = []  # of each array, all that must have ended when it starts
    for index, array in enumerate(arrays):
        assert all(place.get(key, -1) < index for key in array.needs)
        assert all(array.needs == set(stages[int(key)].needs) for key in array.keys)
        assert all(earlier < index for earlier in array.after)
        direct = set(array.after) | {place[key] for key in array.needs if key in place}
        before.append(direct.union(*(before[i] for i in direct)))
    # whatever may run at once, however long each takes, is within the bound
    for index, array in enumerate(arrays):
        others = [j for j in range(index) if arrays[j].kind == array.kind and j not in before[index]]
        together = array.width + sum(arrays[j].width for j in others if not any(j in before[k] for k in others))
        assert together <= bound


# --- the copy of the code --------------------------------------------------------------------------------------------


def test_a_copy_of_the_code_is_shared_complete_and_guarded(tmp_path: Path) -> None:
    method = tmp_path / "own.py"
    method.write_text("x = 1")
    copy, (own,) = snapshot(tmp_path / "code", [method])
    assert snapshot(tmp_path / "code", [method]) == (copy, [own])
    assert own.read_text() == "x = 1"
    for name in ("mila/data/readers/nyuv2_classes.csv", "reports/templates/base.html.j2", "experiments/grids/own.py"):
        assert not stat.S_IMODE((copy / name).stat().st_mode) & 0o222
    assert not list(copy.rglob("__pycache__"))
    method.write_text("x = 2")
    assert snapshot(tmp_path / "code", [method])[0] != copy
    own.chmod(0o644)
    own.write_text("x = 3")
    with pytest.raises(UserError, match="is not the code that it was"):
        check(copy)


# --- states ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def submitted(tmp_path: Path) -> tuple[Submission, Submissions]:
    submissions = Submissions(tmp_path)
    stages = {e.key: e for e in entries(("d", "data", ""), ("t", "train", "d"), ("e", "evaluate", "t d"))}
    for number, entry in enumerate(stages.values(), 1):
        entry.job = str(number)
    name = submissions.new_name("test run")
    submission = Submission(name, "now", [], "", "", str(tmp_path / "store"), "cpu", None, {}, stages)
    submissions.save(submission)
    assert submissions.load(submissions.find("")) == submission
    return submission, submissions


@pytest.mark.parametrize(
    ("queue", "accounting", "left", "expected"),
    [
        ({"1": "RUNNING", "2": "PENDING", "3": "PENDING"}, {}, {}, ["running", "pending", "pending"]),
        ({"2": "COMPLETING", "3": "PENDING"}, {}, {"d": "record"}, ["done", "running", "pending"]),
        ({}, {}, {"d": "record", "t": "error"}, ["done", "failed", "skipped"]),
        ({"3": "PENDING"}, {}, {"d": "record", "t": "error"}, ["done", "failed", "pending"]),
        ({}, {}, {}, ["lost", "skipped", "skipped"]),
        ({}, {}, {"d": "record"}, ["done", "lost", "skipped"]),
        ({}, {"2": "OUT_OF_MEMORY"}, {"d": "record"}, ["done", "failed", "skipped"]),
        ({"2": "CANCELLED"}, {}, {"d": "record"}, ["done", "cancelled", "skipped"]),
        ({"2": "PENDING:BadConstraints", "3": "PENDING"}, {}, {"d": "record"}, ["done", "stuck", "stuck"]),
        ({"2": "PENDING:launch failed requeued held"}, {}, {"d": "record"}, ["done", "stuck", "skipped"]),
        ({"2": "PENDING"}, {}, {"d": "record", "t": "error"}, ["done", "pending", "lost"]),
    ],
)
def test_states(
    submitted: tuple[Submission, Submissions],
    monkeypatch: pytest.MonkeyPatch,
    queue: dict[str, str],
    accounting: dict[str, str],
    left: dict[str, str],
    expected: list[str],
) -> None:
    submission, submissions = submitted

    def jobs(states: dict[str, str]) -> Callable[[Any], dict[str, Job]]:
        return lambda _: {job: Job(state.partition(":")[0], state.partition(":")[2]) for job, state in states.items()}

    monkeypatch.setattr(job_states, "read_queue", jobs(queue))
    monkeypatch.setattr(job_states, "read_accounting", jobs(accounting))
    for key, what in left.items():
        folder = Path(submission.store) / submission.entries[key].kind / key
        folder.mkdir(parents=True)
        if what == "error":
            (folder / "error.txt").write_text("Traceback\nValueError: no luck\n")
        else:
            monkeypatch.setattr(
                job_states, "is_done", lambda entry, _: entry.key in left and left[entry.key] != "error"
            )
    assert [status.state for status in read_states(submission, submissions)] == expected


def test_a_queue_that_does_not_answer_says_nothing_about_jobs(
    submitted: tuple[Submission, Submissions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QueueError, match="Unable to contact"):
        read_states(*submitted)


def test_a_damaged_submission_is_named(submitted: tuple[Submission, Submissions]) -> None:
    submission, submissions = submitted
    write_json(submissions.folder(submission.name) / "submission.json", {"stages": []})
    with pytest.raises(UserError, match="submission.json is damaged"):
        submissions.load(submission.name)


# --- a training that is told to stop ---------------------------------------------------------------------------------


def test_a_told_training_stops_after_its_step_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    pack(WorldClips("rooms", "train", clips=4, height=24, width=32), 1, tmp_path / "clips")
    clips, recipe = PackedClips(tmp_path / "clips"), Recipe(one_part(epochs=3, batch=2, lr=1e-3), 0)  # 6 steps

    def model() -> MultiTask:
        torch.manual_seed(0)
        return MultiTask(NYUV2, 18, width=0.0625)

    whole, part = model(), model()
    curve = train(whole, clips, recipe, Checkpoint(tmp_path / "whole", "me"))
    seen: list[int] = []
    path = tmp_path / "part"

    def go_on(model: MultiTask, stop: Callable[[], bool]) -> list[dict[str, float]]:
        callbacks = Callbacks(lambda done, _: seen.append(done), stop=stop)
        return train(model, clips, recipe, Checkpoint(path, "me"), callbacks=callbacks)

    with pytest.raises(StoppedError):
        go_on(part, lambda: len(seen) == 2)
    assert path.is_file()
    with pytest.raises(StoppedError):  # told before it began
        go_on(model(), lambda: True)
    with pytest.raises(StoppedError):
        go_on(model(), lambda: len(seen) == 3)
    part = model()
    assert go_on(part, lambda: len(seen) == 6) == curve
    assert seen == [1, 2, 3, 4, 5, 6]  # told at the last step, it is finished
    for one, two in zip(whole.state_dict().values(), part.state_dict().values(), strict=True):
        assert torch.equal(one, two)
